"""Runs a compiled pipeline on this machine and tells what happens as it happens."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TextIO

from kubeline.errors import PlatformError, UserError
from kubeline.local.result import Result, TaskTime
from kubeline.registry.opening import of_runs
from kubeline.secrets import Secrets
from kubeline.tether import command

# What the log of a run tells. Starts and ends come from the KFP executor inside the step, whose lines name the
# iteration of a loop; the local runner's own lines do not, and some are lost when two tasks end together.
_ANSI = re.compile(r"\x1b\[\d+m")
_STARTED = re.compile(r'"outputFile": "(.+)/executor_output\.json"')
_SUCCEEDED = re.compile(r"Wrote executor output file to (.+)/executor_output\.json")
_FAILED = re.compile(r"Task '([^']+)' finished with status FAILURE")
_SENTENCE = re.compile(r"^\s*(UserError|PlatformError): (.+)")
_CODES = {"UserError": UserError.exit_code, "PlatformError": PlatformError.exit_code}
_BROKEN = re.compile(r"^RunError: (.+)")  # of the worker itself: the pipeline or its arguments
_EXCEPTION = re.compile(r"^\s{4,}([\w.]+(?:Error|Exception)\b.*)")


@dataclass(frozen=True)
class TaskEvent:
    """A task started or ended."""

    task: str
    state: Literal["started", "succeeded", "failed"]


@dataclass
class Run:
    """One local run of a pipeline.

    `folder` holds ``arguments.json``, ``log.txt``, ``result.json``, one folder for each task's outputs, and the page
    ``index.html``. Only its owner may read it, and no secret of the arguments or the environment is in the first three.
    """

    pipeline: str
    folder: Path
    succeeded: bool = False
    reason: str = ""  # why the first failing step failed
    started: float = field(default_factory=time.time)  # Unix seconds
    tasks: list[TaskTime] = field(default_factory=list)  # in the order in which they ended
    exit_code: int = 1  # that of the first failing step: 2 for a wrong input, 3 for a broken world; 0 after a success

    @property
    def log(self) -> Path:
        """Everything the steps printed."""
        return self.folder / "log.txt"

    def kept(self, seconds: float) -> Result:
        """What is kept of the run, which took so long."""
        return Result(
            self.pipeline,
            self.succeeded,
            self.reason,
            started=self.started,
            seconds=seconds,
            tasks=tuple(self.tasks),
        )


def run(
    pipeline: Path, name: str, arguments: Mapping[str, Any], root: Path, on_event: Callable[[TaskEvent], None]
) -> Run:
    """Run the compiled `pipeline` in a new folder below `root` and wait for its end.

    Raises:
        UserError: when `root` cannot be written.
    """
    result, secrets = Run(name, _new_folder(root, name)), Secrets(arguments)
    with _private(result.folder / "arguments.json") as file:
        json.dump(secrets.cleaned(arguments), file, indent=2)
    whole = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 (without a name, and gone with both processes)
    json.dump(arguments, whole)
    whole.flush()
    worker = ["kubeline.local.worker", str(pipeline), f"/dev/fd/{whole.fileno()}", str(result.folder)]
    # PATH: a step's command is `python3`, which must be this environment's
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    # OMP_WAIT_POLICY: steps may run side by side here, and threads that wait by spinning would starve each other
    # PYTHONSAFEPATH: a step's command is `python3 -m`, which would take modules from the folder that this was called in
    own = {"PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1", "PATH": path, "MLFLOW_TRACKING_URI": of_runs(root)}
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ, **own}
    with subprocess.Popen(  # noqa: S603 (this interpreter and files of this run)
        command(*worker),
        stdin=subprocess.PIPE,  # the tether
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
        start_new_session=True,  # so that the steps can be ended together
        pass_fds=[whole.fileno()],
        umask=0o077,
    ) as process:
        whole.close()
        clock, begun = time.monotonic(), dict[str, float]()
        try:
            for event in _follow(process, result, secrets):
                now = time.monotonic() - clock
                if event.state == "started":
                    begun[event.task] = now
                else:
                    since = begun.get(event.task, now)
                    result.tasks.append(TaskTime(event.task, event.state, result.started + since, now - since))
                on_event(event)
            code = process.wait()
            result.succeeded = code == 0
            result.exit_code = result.exit_code if code else 0
            if code and not result.reason:
                result.reason = f"the run ended with exit code {code} and without a word; see {result.log}"
        finally:
            _end(process)
    took = time.monotonic() - clock
    result.kept(took).write(result.folder)
    return result


def label(folder: Path) -> str:
    """The name of a task by the folder of its outputs; in a loop with the number of the iteration."""
    loop = folder.parent.name  # "for-loop-1-iteration-0" inside a ParallelFor
    return f"{folder.name} {loop.rpartition('-')[2]}" if "-iteration-" in loop else folder.name


def _private(path: Path) -> TextIO:
    """A new file that only its owner may read."""
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8")


def _follow(process: "subprocess.Popen[str]", result: Run, secrets: Secrets) -> Iterator[TaskEvent]:
    assert process.stdout is not None  # noqa: S101 (it is a pipe)
    running: list[str] = []
    exception, code = "", 1
    with _private(result.log) as log:
        for raw in process.stdout:
            line = _ANSI.sub("", raw)
            shown = secrets.hidden(line)
            log.write(shown)
            log.flush()
            if started := _STARTED.search(line):
                running.append(label(Path(started[1])))
                yield TaskEvent(running[-1], "started")
            elif ended := _SUCCEEDED.search(line):
                running.remove(label(Path(ended[1])))
                yield TaskEvent(label(Path(ended[1])), "succeeded")
            elif failed := _FAILED.search(line):
                task = next((task for task in running if task.split()[0] == failed[1]), failed[1])
                running = [other for other in running if other != task]
                _fail(result, f"{task}: {exception or 'ended without a word; see its log'}", code)
                yield TaskEvent(task, "failed")
            elif broken := _BROKEN.match(shown):
                _fail(result, broken[1], 1)
            elif problem := _SENTENCE.match(shown):
                exception, code = problem[2], _CODES[problem[1]]
            elif problem := _EXCEPTION.match(shown):
                exception, code = problem[1], 1
    for task in running:
        _fail(result, f"{task}: {exception or 'ended without a result'}", code)
        yield TaskEvent(task, "failed")


def _fail(result: Run, reason: str, code: int) -> None:
    """The first failure counts."""
    if not result.reason:
        result.reason, result.exit_code = reason, code


def _end(process: "subprocess.Popen[str]") -> None:
    """End the worker and its steps, when they are still there."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def _new_folder(root: Path, name: str) -> Path:
    stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    try:
        for suffix in ("", *(f"-{number}" for number in range(2, 100))):
            folder = (root / f"{name}-{stamp}{suffix}").resolve()
            with contextlib.suppress(FileExistsError):  # another run of this second, perhaps from another process
                root.mkdir(parents=True, exist_ok=True)
                folder.mkdir(mode=0o700)
                return folder
    except OSError as error:
        raise UserError(f"cannot write the run to '{root}': {error.strerror}; give another --output") from error
    raise UserError(f"'{root}' holds a hundred runs of this second; give another --output")
