"""The component and the command, as users call them."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

import embedded_kserve
from components.rollout.component import rollout
from kubeline.cli import main as kubeline
from kubeline.errors import UserError
from kubeline.model_client.golden import GoldenRows
from kubeline.model_client.protocols import RequestFailedError, http_client
from kubeline.model_package import ModelPackage
from kubeline.rollout.clock import Clock
from kubeline.rollout.probes.transports import RoutedTransport
from kubeline.rollout.status import State
from tests.rollout.house import FAIL, QUICK, House
from tests.support.artifacts import make_artifact
from tests.support.waiting import repeating

pytestmark = pytest.mark.slow

PLAN = {**QUICK, "steps": [50], "metrics": {"source": "scrape"}, "rules": {"min_requests": 20}}


def artifacts(house: House, folder: Path, package: ModelPackage) -> dict[str, Any]:
    folder.mkdir()
    manifest = make_artifact(folder, "Artifact", "manifest")
    Path(manifest.path).write_text(yaml.safe_dump(house.manifest(package)))
    model = make_artifact(folder, "Model", "model")
    model.uri = str(package.path)
    return {
        "model": model,
        "manifest": manifest,
        "decision": make_artifact(folder, "Artifact", "decision"),
        "report": make_artifact(folder, "HTML", "report"),
    }


def step(house: House, given: dict[str, Any], **plan: Any) -> str:
    where = {"cluster": str(house.kserve.kubeconfig), "gateway": house.kserve.gateway_url}
    return str(rollout.python_func(**given, **where, plan={**PLAN, **plan}))


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(house: House, capsys: pytest.CaptureFixture[str]) -> Command:
    """`command(words)`: exit code, output and errors of `kubeline rollout`."""

    def run(*words: str) -> tuple[int, str, str]:
        code = kubeline(["rollout", *words, "--kubeconfig", str(house.kserve.kubeconfig)])
        return code, *capsys.readouterr()

    return run


def test_the_step_leaves_its_decision_and_a_report(house: House, tmp_path: Path) -> None:
    given = artifacts(house, tmp_path / "step", house.package("first"))
    assert step(house, given, strategy="blue-green") == "promoted"
    decision = json.loads(Path(given["decision"].path).read_text())
    assert decision["outcome"] == "promoted"
    assert decision["smoke"]["passed"]
    assert [event["state"] for event in decision["timeline"]][-1] == "completed"
    assert given["decision"].metadata["package_digest"] == house.package("first").digest
    page = Path(given["report"].path).read_text()
    assert "promoted" in page
    assert "<dt>outcome</dt><dd>pass</dd>" in page
    assert "<script" not in page


def test_nobody_asks_and_the_real_metrics_are_no_pass(house: House, tmp_path: Path) -> None:
    house.stable()
    given = artifacts(house, tmp_path / "step", house.package("quiet"))
    assert step(house, given) == "held"
    assert Path(given["report"].path).is_file()


def test_a_manifest_of_another_package_is_refused(house: House, tmp_path: Path) -> None:
    given = artifacts(house, tmp_path / "step", house.package("one"))
    other = artifacts(house, tmp_path / "other step", house.package("two"))
    with pytest.raises(UserError, match="the manifest is of package"):
        step(house, {**given, "manifest": other["manifest"]})
    assert house.store.read() is None


def test_a_person_looks_aborts_and_rolls_back_by_command(house: House, command: Command) -> None:
    first = house.stable()
    assert house.roll_out(house.package("second"), approval=True, approval_seconds=0).outcome == "held"
    code, reported, _ = command("status", house.name)
    assert code == 0
    assert "held (no operator promoted within 0 s)" in reported
    code, reported, _ = command("promote", house.name)
    assert "promoted: the candidate is the stable model" in reported
    assert house.serving() == house.package("second").digest
    code, reported, errors = command("rollback", house.name)
    assert (code, errors) == (0, "")
    assert f"serves {first.digest[:12]} again" in reported
    code, _, errors = command("abort", house.name)
    assert code == 2
    assert "has ended (completed); there is nothing to abort" in errors
    assert "there never was a rollout" in command("status", "others")[2]


@pytest.mark.parametrize("house", ["knative"], indirect=True)
def test_the_command_as_a_person_starts_it(house: House) -> None:
    house.stable()
    program = str(Path(sys.executable).with_name("kubeline"))
    line = [program, "rollout", "status", house.name, "--kubeconfig", str(house.kserve.kubeconfig)]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=240)
    assert (done.returncode, done.stderr) == (0, "")
    assert "completed (the candidate is the stable model)" in done.stdout


@pytest.mark.parametrize(("on_cancel", "outcome"), [("hold", "held"), ("abort", "rolled_back")])
def test_a_cancelled_pipeline_holds_or_aborts_by_the_plan(on_cancel: str, outcome: str, house: House) -> None:
    stable, clock = house.stable(), Clock()

    def cancel(record: Any) -> None:
        if record.state == State.BAKING:
            clock.cancelled.set()

    record = house.roll_out(house.package("late"), clock=clock, on_change=cancel, on_cancel=on_cancel)
    assert record.outcome == outcome
    if outcome == "held":
        assert house.roll_out(house.package("late"), on_cancel=on_cancel).outcome == "promoted"
    else:
        assert house.serving() == stable.digest


def test_a_kserve_that_writes_no_weights_is_reported_and_harms_nobody(tmp_path: Path) -> None:
    with embedded_kserve.start(tmp_path / "kserve", "standard", splits=False) as running:
        house = House(running, tmp_path, "flights")
        stable = house.stable()
        record = house.roll_out(house.package("good"), settle_seconds=0.5)
        assert record.outcome == "rolled_back"
        assert "writes no weights (the release 0.20.0 does not)" in record.reason
        assert house.serving() == stable.digest
        assert list(house.share().values()) == [100]


@dataclass
class Users:
    """What became of their requests."""

    answered: int = 0
    failures: list[str] = field(default_factory=list)


@contextmanager
def users_of(house: House, package: ModelPackage) -> Iterator[Users]:
    """They ask the service all the time, until the block ends."""
    client = http_client(
        "v2", house.name, RoutedTransport(house.service()["status"]["url"], house.kserve.gateway_url, 10)
    )
    request, users = client.prepare(GoldenRows.of(package), [0]), Users()

    def ask() -> None:
        try:
            client.send(request)
            users.answered += 1
        except RequestFailedError as error:
            users.failures.append(str(error))

    with repeating(ask, pause=0.005):
        yield users


def test_users_are_answered_all_the_time(house: House) -> None:
    """Good and bad candidates come while requests are sent without a pause."""
    with users_of(house, house.stable()) as users:
        assert house.roll_out(house.package("bad"), FAIL).outcome == "rolled_back"
        assert house.roll_out(house.package("good")).outcome == "promoted"
    assert users.failures == []
    assert users.answered > 100


def test_the_real_judge_promotes_by_the_metrics_pages_of_the_pods(house: House) -> None:
    rules = {"min_requests": 20, "max_latency_shift": None, "max_prediction_drift": None}
    with users_of(house, house.stable()) as users:
        record = house.roll_out(
            house.package("good"), None, steps=[50], bake_seconds=0.75, max_bake_seconds=20, rules=rules
        )
    assert record.outcome == "promoted", record.reason
    assert users.failures == []
    analysis = record.analyses[-1]
    assert (analysis.outcome, analysis.evidence is None) == ("pass", False)
    assert (analysis.evidence or {})["canary"]["requests"] >= 20
    assert (analysis.evidence or {})["stable"]["requests"] >= 20
