"""SIGTERM to a real step: the command of the compiled component, as pipelines start it."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp.dsl.executor import Executor

from components.rollout.component import rollout
from kubeline.model_package import ModelPackage
from kubeline.rollout.status import State
from tests.rollout.house import QUICK, Ahead, House

pytestmark = pytest.mark.slow

COMPONENT = Path(__file__).parents[2] / "components" / "rollout" / "component.yaml"
# Nobody asks anything: each step is watched for as long as the test wishes, by the real metrics.
PLAN = {**QUICK, "steps": [20], "bake_seconds": 30, "max_bake_seconds": 60, "poll_seconds": 0.1}


def executor_input(house: House, folder: Path, package: ModelPackage, **plan: Any) -> dict[str, Any]:
    """What the launcher hands to the executor."""
    folder.mkdir(exist_ok=True)
    manifest = folder / "manifest.yaml"
    manifest.write_text(yaml.safe_dump(house.manifest(package)))

    def artifact(name: str, kind: str, uri: Path) -> dict[str, Any]:
        schema = {"schemaTitle": f"system.{kind}", "schemaVersion": "0.0.1"}
        return {"artifacts": [{"name": name, "type": schema, "uri": str(uri), "metadata": {}}]}

    return {
        "inputs": {
            "parameterValues": {
                "cluster": str(house.kserve.kubeconfig),
                "gateway": house.kserve.gateway_url,
                "plan": {**PLAN, **plan},
                "plan_file": "",
                "timeout_seconds": 10.0,
            },
            "artifacts": {
                "model": artifact("model", "Model", Path(package.path)),
                "manifest": artifact("manifest", "Artifact", manifest),
            },
        },
        "outputs": {
            "parameters": {"Output": {"outputFile": str(folder / "Output")}},
            "artifacts": {
                "decision": artifact("decision", "Artifact", folder / "decision"),
                "report": artifact("report", "HTML", folder / "report"),
            },
            "outputFile": str(folder / "executor_output.json"),
        },
    }


class Warm:
    """The step in a process that has imported all it needs, which takes seconds; a process group of its own."""

    def __init__(self, given: Mapping[str, Any], log: Path) -> None:
        self._process = multiprocessing.get_context("fork").Process(target=self._run, args=(given, log))
        self._process.start()
        self.pid = int(self._process.pid or 0)

    @staticmethod
    def _run(given: Mapping[str, Any], log: Path) -> None:
        os.setsid()
        with log.open("wb") as reported:
            os.dup2(reported.fileno(), 1)
            os.dup2(reported.fileno(), 2)
        Executor(executor_input=dict(given), function_to_execute=rollout.python_func).execute()

    def poll(self) -> int | None:
        self._process.join(0)
        return self._process.exitcode

    def wait(self) -> int | None:
        self._process.join()
        return self._process.exitcode


Process = subprocess.Popen[bytes] | Warm


@contextmanager
def warm_step(house: House, folder: Path, package: ModelPackage, **plan: Any) -> Iterator[Process]:
    """As :func:`step`, without the command."""
    process = Warm(executor_input(house, folder, package, **plan), folder / "log")
    try:
        yield process
    finally:
        _wait_for_group(process, 0)


@contextmanager
def step(house: House, folder: Path, package: ModelPackage, **plan: Any) -> Iterator[Process]:
    """The step by its command, as a process group of its own, which has ended when the block has."""
    container = yaml.safe_load(COMPONENT.read_text())["deploymentSpec"]["executors"]["exec-rollout"]["container"]
    given = json.dumps(executor_input(house, folder, package, **plan))
    words = [*container["command"], *(word.replace("{{$}}", given) for word in container["args"])]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            words, env={**os.environ, "PATH": path}, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield process
    finally:
        _wait_for_group(process, 0)


def _wait_for_group(process: Process, seconds: float) -> None:
    """The shell ends at SIGTERM, the step under it when it is done."""
    until = time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            process.poll()
            os.killpg(process.pid, 0)
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    except ProcessLookupError:
        pass


def cancelled_in_a_bake(
    house: House, folder: Path, package: ModelPackage, begin: Callable[..., Any] = step, **plan: Any
) -> None:
    """Run the step until it watches the traffic, then end its process group politely, as a cancelled pipeline does."""
    with begin(house, folder, package, **plan) as process:
        until = time.monotonic() + 240
        while (
            (kept := house.store.read()) is None
            or kept.status.state != State.BAKING
            or not kept.status.step.observed_since
        ):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < until, kept
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGTERM)
        _wait_for_group(process, 240)


def output(folder: Path) -> str:
    """What the step says to the pipeline."""
    return str(json.loads((folder / "executor_output.json").read_text())["parameterValues"]["Output"])


def test_a_cancelled_step_that_holds_leaves_the_traffic_and_goes_on_at_the_same_point(
    house: House, tmp_path: Path
) -> None:
    house.stable()
    package = house.package("late")
    cancelled_in_a_bake(house, tmp_path / "first", package, on_cancel="hold")
    held = house.stored().status
    assert (held.state, held.resume, held.outcome) == (State.HELD, State.BAKING, "held")
    assert output(tmp_path / "first") == "held"
    assert sorted(house.share().values()) == [20, 80]
    with warm_step(house, tmp_path / "again", package, on_cancel="hold"):
        until = time.monotonic() + 240
        while (record := house.stored().status).state != State.BAKING and time.monotonic() < until:
            time.sleep(0.05)
        assert sorted(house.share().values()) == [20, 80]
    after = [event.state for event in record.timeline[len(held.timeline) :]]
    assert set(after) == {State.BAKING}
    assert record.rollout_id == held.rollout_id


def test_a_cancelled_step_that_aborts_takes_the_canary_back_to_nothing(house: House, tmp_path: Path) -> None:
    stable = house.stable()
    cancelled_in_a_bake(house, tmp_path / "step", house.package("late"), on_cancel="abort")
    record = house.stored().status
    assert (record.state, record.reason) == (State.ROLLED_BACK, "cancelled")
    assert output(tmp_path / "step") == "rolled_back"
    assert json.loads((tmp_path / "step" / "decision").read_text())["outcome"] == "rolled_back"
    assert [event.share for event in record.timeline if event.share][-1] == 20
    assert list(house.share().values()) == [100]
    assert house.serving() == stable.digest


def wait_until(what: Callable[[], bool], process: Process, folder: Path) -> None:
    until = time.monotonic() + 240
    while not what():
        assert process.poll() is None or what(), (folder / "log").read_text()
        assert time.monotonic() < until, (folder / "log").read_text()
        time.sleep(0.02)


def specified(house: House) -> int:
    """Per cent that the specification gives the candidate."""
    spec = house.service()["spec"]
    canaries = spec.get("canary") or [{"trafficPercent": spec["predictor"].get("canaryTrafficPercent") or 0}]
    return int(canaries[0]["trafficPercent"])


def killed_after_its_one_patch(house: House, folder: Path, package: ModelPackage) -> None:
    """A pipeline that is cancelled leaves the step a moment: it is killed before it can write its record."""
    with warm_step(house, folder, package, on_cancel="abort") as process:
        wait_until(lambda: _baking(house), process, folder)
        house.kserve.faults.add("slow", verb="patch", resource="configmaps", times=0, seconds=30)
        os.killpg(process.pid, signal.SIGTERM)
        until = time.monotonic() + 240
        while specified(house) and time.monotonic() < until:
            time.sleep(0.02)
    house.kserve.faults.clear()
    assert specified(house) == 0


def _baking(house: House) -> bool:
    kept = house.store.read()
    return kept is not None and kept.status.state == State.BAKING and bool(kept.status.step.observed_since)


def test_a_cancelled_step_takes_the_traffic_back_before_it_writes_anything_down(house: House, tmp_path: Path) -> None:
    stable, package = house.stable(), house.package("late")
    killed_after_its_one_patch(house, tmp_path / "step", package)
    left = house.stored().status
    assert (left.state, left.step.index) == (State.BAKING, 0)  # nothing was written down
    record = house.roll_out(package, **{**PLAN, "on_cancel": "abort"})  # what a later run finds it takes up
    assert record.outcome == "rolled_back"
    assert record.reason == "a step that was cancelled, or could store no status, gave the candidate 0 %"
    assert house.serving() == stable.digest
    assert list(house.share().values()) == [100]


@pytest.mark.parametrize("house", ["knative"], indirect=True)
def test_another_model_takes_up_what_a_cancelled_step_has_left(house: House, tmp_path: Path) -> None:
    house.stable()
    killed_after_its_one_patch(house, tmp_path / "step", house.package("late"))
    record = house.roll_out(house.package("next"), clock=Ahead(QUICK["lease_seconds"] + 1))
    assert record.outcome == "promoted"
    assert house.serving() == house.package("next").digest


@pytest.mark.parametrize("house", ["standard"], indirect=True)
def test_a_plan_that_differs_only_in_what_follows_a_cancellation_goes_on_with_the_same_rollout(
    house: House, tmp_path: Path
) -> None:
    house.stable()
    package = house.package("late")
    cancelled_in_a_bake(house, tmp_path / "first", package, warm_step, on_cancel="hold")
    held = house.stored().status
    assert held.state == State.HELD
    cancelled_in_a_bake(house, tmp_path / "again", package, warm_step, on_cancel="abort")
    record = house.stored().status
    assert (record.rollout_id, record.state) == (held.rollout_id, State.ROLLED_BACK)
    assert record.spec.on_cancel == "abort"
