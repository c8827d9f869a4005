"""Runs the steps of pipelines in forks of one process that has loaded their libraries: ``process.py DESCRIPTOR``.

A step is a process of its own here as well, with the files, variables and folder of the one that it stands for; only
the seconds in which it would load pandas, scikit-learn and ONNX Runtime anew are saved.
"""

import contextlib
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
from typing import Any

# What steps import in their bodies, and what these import when they need it.
MODULES = (
    "kfp.dsl",
    "kfp.dsl.executor",
    "kubeline.data.split",
    "kubeline.deployment.step",
    "kubeline.drift.check",
    "kubeline.drift.alarm.step",
    "kubeline.evaluation.evaluate",
    "kubeline.infra_validation.validate",
    "kubeline.loading.load",
    "kubeline.model_card",
    "kubeline.notification.notify",
    "kubeline.prediction.predict",
    "kubeline.preflight.run",
    "kubeline.registry.register",
    "kubeline.schema.validate",
    "kubeline.training.select",
    "kubeline.training.train",
    "kubeline.training.transform",
    "boto3",
    "duckdb",
    "fsspec",
    "mlflow",
    "mlflow.store.tracking.sqlalchemy_store",
    "onnxruntime",
    "pandas",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "s3fs",
    "skl2onnx",
    "sklearn.ensemble",
    "sklearn.linear_model",
)


def main(descriptor: int) -> None:
    """Answer one connection after another, each in a process of its own."""
    with socket.socket(fileno=descriptor) as listener:
        select.select([listener], [], [])  # nothing is loaded before it is needed
        os.environ["_KFP_RUNTIME"] = "true"  # as a step's command has it
        for name in MODULES:
            importlib.import_module(name)
        while True:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _answer(connection)
            connection.close()
            with contextlib.suppress(ChildProcessError):  # what they took is counted as what this one took
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


def _answer(connection: socket.socket) -> None:
    """Run the step in a fork, end it when whoever asked for it is gone, and say its exit code."""
    _, files, _, _ = socket.recv_fds(connection, 1, 3)
    request = json.loads(b"".join(iter(lambda: connection.recv(65_536), b"")))
    step = os.fork()
    if step == 0:
        connection.close()
        _become(request, files)
    ended = os.pidfd_open(step)
    gone = select.poll()
    gone.register(connection, select.POLLHUP)
    gone.register(ended, select.POLLIN)
    if ended not in dict(gone.poll()):
        os.kill(step, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(step, 0)[1])
    with contextlib.suppress(OSError):
        connection.sendall(str(code if code >= 0 else 128 - code).encode())
    os._exit(0)


def _become(request: dict[str, Any], files: list[int]) -> None:
    """Be the process that was asked for, to its end."""
    os.setpgid(0, 0)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["variables"])
    sys.argv = ["kfp.dsl.executor_main", *request["arguments"]]
    code = 0
    try:
        runpy.run_module("kfp.dsl.executor_main", run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main(int(sys.argv[1]))
