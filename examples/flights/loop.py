"""The closed loop, end to end, on real data, with no cluster: ``make demo-loop``.

A model of January to September is served, and users ask about the flights of October to December. At the end of each
month the payload log is joined with what became of the flights, and checked. When the trouble persists an alarm is
raised, and a retraining answers it: a model that learned from the new months too, that must beat the champion on days
that neither has seen, and that takes over the users step by step.
"""

import argparse
import calendar
import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import pandas as pd
from pyarrow.dataset import dataset
from rich.console import Console

import embedded_kserve
from embedded_kserve import LocalKServe, Mode
from examples.flights import canary
from examples.flights.canary import Watch
from examples.flights.loop_page import write_page
from examples.flights.prepare import prepare
from examples.flights.traffic import ROWS, Traffic
from kubeline import KubelineError, ModelPackage, PlatformError, version_of
from kubeline.cli import main as kubeline
from kubeline.local import write_overview
from kubeline.registry import open_registry
from kubeline.rollout import RolloutStatus

HERE = Path(__file__).parent
MONTHS = (10, 11, 12)
ASKED = 8_000  # flights of each month that users ask about at least
_LOG_SECONDS = 60.0  # within which the payload log must have what was answered


@dataclass
class Month:
    """What one month brought.

    Attributes:
        number: 10 for October.
        check: the result of the drift check.
        alarm: the decision about an alarm.
        answer: what the retraining decided, by step; empty where there was none.
        served: answered requests by version.
    """

    number: int
    check: dict[str, Any]
    alarm: dict[str, Any]
    served: dict[str, int]
    answer: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the month."""
        return calendar.month_name[self.number]


@dataclass
class Loop:
    """A run of the whole loop, in a folder of its own below `runs`, and what came of it."""

    cluster: LocalKServe
    runs: Path
    console: Console
    settings: Sequence[str] = ()
    months: list[Month] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    rollouts: list[RolloutStatus] = field(default_factory=list)
    asked: int = 0
    failed: int = 0

    @property
    def folder(self) -> Path:
        """Where the loop keeps its data, log, outcomes and history."""
        return self.runs / "loop"

    def run(self, pipeline: str, *settings: str) -> Path:
        """Run a pipeline; the folder of its outputs.

        Raises:
            PlatformError: when it fails.
        """
        before = set(self.runs.glob(f"{pipeline}-*"))
        where = [f"tracking_uri=sqlite:///{self.runs.absolute() / 'loop.db'}"]
        where += [f"history={self.folder / 'history'}"] * (pipeline != "training")
        words = [word for one in [*where, *settings] for word in ("--set", one)]
        file = "loop-monitoring.yaml" if pipeline == "monitoring" else "loop-training.yaml"
        parameters = ["--params", str(HERE / file), "--output", str(self.runs)]
        if kubeline(["run", pipeline, *parameters, *words]):
            raise PlatformError(f"the pipeline {pipeline} failed; see what it said above")
        (made,) = set(self.runs.glob(f"{pipeline}-*")) - before
        return made

    def train(self, pipeline: str, *settings: str) -> Path:
        """Run `training` or `retraining`, whose model goes to the embedded KServe and logs what it answers there."""
        log = {"args": [f"--payload_log={(self.folder / 'log').absolute()}", "--payload_seconds=1"]}
        service = json.dumps({"spec": {"predictor": {"model": log}}})
        where = [f"cluster={self.cluster.kubeconfig}", f"gateway={self.cluster.gateway_url}"]
        data = [f"data={self.folder / 'data'}", f"service.overrides={service}"]
        return self.run(pipeline, *where, *data, *self.settings, *settings)

    def champion(self) -> ModelPackage:
        """The package of the champion."""
        registry = open_registry(f"sqlite:///{self.runs.absolute() / 'loop.db'}")
        found = registry.find(canary.NAME, alias="champion")
        if found is None:
            raise PlatformError("no model has become the champion; see what the retraining said above")
        return ModelPackage.open(registry.download(found, self.folder / f"champion-{found.version}"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the loop; returns 0 when it was closed and no request failed."""
    parser = argparse.ArgumentParser(prog="python -m examples.flights.loop", description="The closed loop, end to end.")
    parser.add_argument("--mode", choices=get_args(Mode), default="knative", help="of the embedded KServe")
    mode = parser.parse_args(arguments).mode
    console, started = Console(highlight=False), time.monotonic()
    try:
        code = closed(console, Path("runs"), [pd.read_parquet(month) for month in prepare()], mode)
    except KeyboardInterrupt:
        return 130
    except KubelineError as error:
        console.print(f"demo: {error}", markup=False)
        return error.exit_code
    console.print(f"\n[bold]{'done' if not code else 'not closed'}[/] in {time.monotonic() - started:.0f} s")
    return code


def closed(
    console: Console,
    runs: Path,
    flights: Sequence[pd.DataFrame],
    mode: Mode,
    asked: int = ASKED,
    settings: Sequence[str] = (),
) -> int:
    """The whole loop.

    Args:
        console: where it is reported.
        runs: folder of the runs.
        flights: those of each month of the year.
        mode: of the embedded KServe.
        asked: flights of each month that users ask about at least.
        settings: more parameters of the trainings, as of `kubeline run --set`.

    Returns:
        0 when an alarm was answered by a model that serves, and no request failed.
    """
    started = time.time()
    shutil.rmtree(runs / "loop", ignore_errors=True)
    (runs / "loop.db").unlink(missing_ok=True)
    with embedded_kserve.start(runs / "loop" / "kserve", mode) as cluster:
        loop = Loop(cluster, runs, console, settings)
        learnable = [_with_day(month) for month in flights]
        _write(loop.folder / "data", dict(enumerate(learnable, start=1)))
        console.print("\n[bold]a first model[/] learns from January to September, and is served")
        loop.train("training", "where=departure < '2013-10-01'")
        loop.names[version_of(loop.champion().digest)] = "first"
        for number in MONTHS:
            _live(loop, number, learnable[number - 1].sample(frac=1, random_state=0), asked)
    page = write_page(loop.runs, loop.months, loop.names, loop.rollouts, (loop.asked, loop.failed), started)
    write_overview(loop.runs)
    console.print(f"\n[bold]{loop.asked:,} requests, {loop.failed} failed[/]\npage  {page}", soft_wrap=True)
    promoted = any(record.outcome == "promoted" for record in loop.rollouts)
    return int(loop.failed > 0 or not promoted)


def _live(loop: Loop, number: int, flights: pd.DataFrame, asked: int) -> None:
    """A month: users ask, an alarm of the month before is answered meanwhile, and in the end the month is checked."""
    loop.console.print(f"\n[bold]2013-{number:02d}[/]: users ask about its flights", soft_wrap=True)
    host = canary.host(loop.cluster)
    questions = (loop.cluster.gateway_url, host, canary.NAME, loop.champion().signature, flights)
    answer: dict[str, dict[str, Any]] = {}
    with Traffic(*questions, label=f"month-{number}") as traffic:
        if loop.months and loop.months[-1].alarm["verdict"] == "alarm":
            answer = _answered(loop, traffic)
        while len(traffic.answers) < min(asked, len(flights)) // ROWS:
            time.sleep(0.2)
    loop.asked, loop.failed = loop.asked + len(traffic.answers), loop.failed + traffic.failed
    outcomes = flights[["day", "departure", "late"]].iloc[: len(flights) // ROWS * ROWS].reset_index(drop=True)
    outcomes["request.id"] = [f"month-{number}-{place // ROWS}" for place in outcomes.index]
    outcomes["request.row"] = outcomes.index % ROWS
    _write(loop.folder / "outcomes", {number: outcomes})
    _wait_until_logged(loop.folder / "log", f"month-{number}-", len(traffic.answers) - traffic.failed)
    month = _checked(loop, number, traffic.by_version())
    month.answer = answer
    loop.months.append(month)


def _wait_until_logged(log: Path, label: str, requests: int) -> None:
    """Wait until the payload log has the answered requests whose ids begin with `label`."""
    until = time.monotonic() + _LOG_SECONDS
    while (found := _logged(log, label)) < requests:
        if time.monotonic() > until:
            raise PlatformError(f"the payload log has {found:,} of {requests:,} requests after {_LOG_SECONDS:g} s")
        time.sleep(0.2)


def _logged(log: Path, label: str) -> int:
    """Requests in the log, those that were asked again under the same id counted each time."""
    files = [str(file) for file in log.rglob("*.parquet")]
    ids = dataset(files).to_table(columns=["request.id"])["request.id"].to_pylist() if files else []
    return len([one for one in ids if one.startswith(label)]) // ROWS


def _answered(loop: Loop, traffic: Traffic) -> dict[str, dict[str, Any]]:
    """Answer the alarm while users ask; what each step decided."""
    loop.console.print("\n[bold]the alarm is answered[/]: a retraining, while users ask", soft_wrap=True)
    with Watch(loop.cluster, traffic, loop.names) as watch:
        made = loop.train("retraining")
    if watch.record is not None:
        loop.rollouts.append(watch.record)
        loop.names[version_of(watch.record.candidate.digest)] = "retrained"
    steps = {"take-alarm": "decision", "evaluate": "blessing", "rollout": "decision"}
    return {step: found for step, name in steps.items() if (found := _document(made, step, name))}


def _checked(loop: Loop, number: int, served: dict[str, int]) -> Month:
    end = f"{2013 + number // 12}-{number % 12 + 1:02d}-01"
    data = [f"data={loop.folder / 'log'}", f"source.labels={loop.folder / 'outcomes'}"]
    made = loop.run("monitoring", *data, f"at={end}")
    return Month(number, _document(made, "drift-check", "result"), _document(made, "alarm", "decision"), served)


def _document(run: Path, step: str, name: str) -> dict[str, Any]:
    """What a step of a run has written; empty where it did not run."""
    found = [*run.glob(f"*/{step}/{name}")]
    return dict(json.loads(found[0].read_text(encoding="utf-8"))) if found else {}


def _with_day(flights: pd.DataFrame) -> pd.DataFrame:
    """The flights with their day: those of a day have its weather in common, and stay together."""
    return flights.assign(day=flights["departure"].dt.strftime("%Y-%m-%d"))


def _write(folder: Path, months: Mapping[int, pd.DataFrame]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, rows in months.items():
        rows.to_parquet(folder / f"2013-{number:02d}.parquet", index=False)


if __name__ == "__main__":
    sys.exit(main())
