"""The server's process holds what answers predictions, and no library of tables, of training or of web pages."""

import json
import subprocess
import sys
from pathlib import Path

from tests.support.packages import write_tiny_package

HEAVY = {
    "pandas",
    "pyarrow",
    "kserve",
    "fastapi",
    "starlette",
    "sklearn",
    "scipy",
    "kubernetes",
    "kfp",
    "opentelemetry",
    "numpy.random",  # which numpy imports when it is first named
}
WORKER = """
import json, sys
import kubeline_serving.__main__
from kubeline_serving.options import read_options
from kubeline_serving.worker import Worker
Worker(read_options(["--model_dir", sys.argv[1], "--model_name", "tiny"]))
print(json.dumps(sorted(sys.modules)))
"""
CHECK = """
import json, sys
import kubeline.infra_validation.validate, grpc
from kubeline.model_client.protocols import GrpcClient
from kubeline.model_client.server import RunningServer
GrpcClient(RunningServer(None, "tiny", 1, 1, None)).close()
print(json.dumps(sorted(sys.modules)))
"""


def modules_of(script: str, *arguments: str) -> set[str]:
    """The modules and libraries that a fresh interpreter has loaded at the end of a script."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True, timeout=240
    )
    names = json.loads(done.stdout.splitlines()[-1])
    return {part for name in names for part in (name, name.partition(".")[0])}


def test_a_worker_with_a_loaded_model_has_no_heavy_library(tmp_path: Path) -> None:
    write_tiny_package(tmp_path / "package")
    loaded = modules_of(WORKER, str(tmp_path / "package"))
    assert {"onnxruntime", "grpc", "uvicorn"} <= loaded
    assert loaded & HEAVY == set()


def test_the_server_check_needs_no_sdk_of_kserve() -> None:
    assert modules_of(CHECK) & {"kserve", "fastapi", "kubernetes"} == set()
