"""The component: the real server is started, asked, timed and stopped."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.infra_validate.component import infra_validate
from kubeline.errors import PlatformError, UserError
from kubeline.model_package import Blessing, ModelPackage
from kubeline.model_package.blessing import require
from tests.support.artifacts import Maker
from tests.support.packages import write_tiny_package
from tests.support.waiting import wait_for


class Checked:
    """The outputs of one run of the component."""

    def __init__(self, artifact: Maker, model: Any, **parameters: Any) -> None:
        self.blessing = artifact("Artifact", "blessing")
        self.metrics = artifact("Metrics", "metrics")
        self.report = artifact("HTML", "report")
        parameters = {"max_latency_ms": 60_000.0, **parameters}  # whatever else the machine does
        self.verdict = infra_validate.python_func(
            model=model, blessing=self.blessing, metrics=self.metrics, report=self.report, requests=20, **parameters
        )

    @property
    def reasons(self) -> str:
        return "; ".join(Blessing.read(self.blessing.path).reasons)

    @property
    def page(self) -> str:
        return Path(self.report.path).read_text(encoding="utf-8")


@pytest.fixture
def tiny(artifact: Maker) -> Callable[..., Any]:
    """`tiny(**options)`: a model artifact with a package of a hand-made graph."""

    def make(**options: Any) -> Any:
        model = artifact("Model", "model")
        write_tiny_package(Path(model.path), **options)
        return model

    return make


def run_of(name: str, folder: Path) -> "subprocess.Popen[bytes]":
    """A process that runs the check on the package in `folder`, as a step does; named to be found."""
    code = (
        "import sys; from pathlib import Path; from kubeline.model_package import ModelPackage\n"
        "from kubeline.model_client.server import start\n"
        "with start(ModelPackage.open(sys.argv[1]), Path(sys.argv[2])) as server:\n"
        "    server.wait_until_ready(__import__('time').monotonic(), 60)\n"
        "    print(server.process.pid, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(folder), str(folder.parent / name)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.slow
def test_the_trained_flights_model_is_promoted(package: Any, artifact: Maker) -> None:
    checked = Checked(artifact, package)
    assert checked.verdict == "promote", checked.reasons
    digest = ModelPackage.open(package.path).digest
    evidence = require(checked.blessing, "infra_validation", digest).evidence
    assert set(evidence["protocols"]) == {"v1 HTTP", "v2 HTTP", "v2 gRPC"}
    assert evidence["rows"] > 0
    assert evidence["max_difference"] == 0
    assert 0 < evidence["ready_seconds"] < evidence["cold_start_seconds"]
    assert checked.metrics.metadata["latency_p95_ms"] >= checked.metrics.metadata["latency_p50_ms"] > 0
    assert checked.metrics.metadata["peak_memory_mib"] > 0
    assert "promote" in checked.page


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_models_of_other_tasks_are_promoted(tiny: Maker, artifact: Maker, task: str) -> None:
    checked = Checked(artifact, tiny(task=task))
    assert checked.verdict == "promote", checked.reasons


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_answers_other_than_recorded_hold_the_model(tiny: Maker, artifact: Maker, task: str) -> None:
    checked = Checked(artifact, tiny(task=task, wrong_by=0.01))
    assert checked.verdict == "hold"
    for protocol in ("v1 HTTP", "v2 HTTP", "v2 gRPC"):
        assert f"{protocol} answered 4 of 4 golden rows otherwise than recorded; worst is row" in checked.reasons
    assert checked.metrics.metadata["max_difference"] == pytest.approx(0.01, rel=0.1)
    assert "never seen" in checked.page
    with pytest.raises(UserError, match="infra_validation says hold"):
        require(checked.blessing, "infra_validation", checked.blessing.metadata["package_digest"])


def test_a_difference_within_the_tolerance_is_allowed(tiny: Maker, artifact: Maker) -> None:
    assert Checked(artifact, tiny(wrong_by=0.01), tolerance=0.02).verdict == "promote"


def test_a_slow_server_holds_the_model(tiny: Maker, artifact: Maker) -> None:
    checked = Checked(artifact, tiny(), gate={"margin": 0.01, "max_latency_ms": 0.001})
    assert checked.verdict == "hold"
    assert "v2 gRPC is too slow: 95 % of requests with one row take up to" in checked.reasons


def test_a_server_that_does_not_start_holds_the_model_and_reports_its_last_words(tiny: Maker, artifact: Maker) -> None:
    checked = Checked(artifact, tiny(model=b"not a model"))
    assert checked.verdict == "hold"
    assert "the server ended with exit code 2; its last words: error: ONNX Runtime cannot run" in checked.reasons
    assert "ONNX Runtime cannot run" in checked.page
    assert checked.metrics.metadata == {"golden_rows": 4}


def test_a_missing_package_is_an_error_and_no_verdict_on_the_model(
    tiny: Maker, artifact: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lacking").mkdir()
    (tmp_path / "lacking" / "uvicorn.py").write_text("raise ModuleNotFoundError(\"No module named 'uvicorn'\")")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "lacking"))
    with pytest.raises(PlatformError, match="cannot run here, so the model was not checked: No module named 'uvicorn'"):
        Checked(artifact, tiny())
    assert not (tmp_path / "blessing").exists()


def test_a_server_that_is_not_ready_in_time_holds_the_model(tiny: Maker, artifact: Maker) -> None:
    checked = Checked(artifact, tiny(), timeout_seconds=0.01)
    assert checked.verdict == "hold"
    assert "the server was not ready in 0.01 s" in checked.reasons


def test_a_package_without_golden_rows_is_not_promoted(tiny: Maker, artifact: Maker) -> None:
    checked = Checked(artifact, tiny(rows=0))
    assert checked.verdict == "hold"
    assert "no golden rows" in checked.reasons


def test_a_tampered_package_is_an_error_and_leaves_nothing(tiny: Maker, artifact: Maker) -> None:
    model = tiny()
    (Path(model.path) / "model.onnx").write_bytes(b"other")
    with pytest.raises(UserError, match=r"model\.onnx of the model package .* was changed"):
        Checked(artifact, model)
    assert [file.name for file in Path(model.path).parent.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"max_latency_ms": 0.0}, "max_latency_ms is 0; expected more than 0"),
        ({"timeout_seconds": -1.0}, "timeout_seconds is -1; expected more than 0"),
        ({"tolerance": -0.1}, "tolerance is -0.1; expected 0 or more"),
        ({"tolerance": float("nan")}, "tolerance is nan"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(
    tiny: Maker, artifact: Maker, parameters: dict[str, float], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        Checked(artifact, tiny(), **parameters)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_the_server_ends_with_a_killed_step(tmp_path: Path, end: signal.Signals) -> None:
    write_tiny_package(tmp_path / "package")
    step = run_of("log", tmp_path / "package")
    assert step.stdout is not None
    server = int(step.stdout.readline())
    assert is_running(server)
    step.send_signal(end)
    step.wait(60)
    wait_for(lambda: not is_running(server))


def test_the_server_does_not_outlive_the_check(tiny: Maker, artifact: Maker) -> None:
    before = set(_servers())
    Checked(artifact, tiny())
    assert set(_servers()) <= before


def test_the_blessing_is_plain_json_without_infinite_numbers(tiny: Maker, artifact: Maker) -> None:
    checked = Checked(artifact, tiny(task="regression", wrong_by=float("nan")))
    assert checked.verdict == "hold"
    document = Path(checked.blessing.path).read_text(encoding="utf-8")
    assert json.loads(document, parse_constant=pytest.fail)["verdict"] == "hold"


def _servers() -> list[str]:
    """The ids of server processes that this process started."""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    return children.read_text(encoding="utf-8").split()
