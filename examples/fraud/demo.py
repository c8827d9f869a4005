"""Fraud in a stream of card payments, end to end, with no cluster: ``make example-fraud``.

A model of January to June is served, and asked about each payment of July and August. Each month is checked when it is
over, with the outcomes that are known by then, and again when all are. August is not as the months before it, and the
team's webhook gets an alert.
"""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from examples.fraud.alerts import Alert, webhook
from examples.fraud.application import MODEL, TOPIC, Answers, ask, serving
from examples.fraud.prepare import DATA, HERE, prepare, seen
from kubeline import KubelineError, PlatformError
from kubeline.cli import main as kubeline

# When each check is made, and the end of the month that it is of.
CHECKS = (("2025-08-01", "2025-08-01"), ("2025-09-01", "2025-09-01"), ("2025-09-15", "2025-09-01"))


@dataclass(frozen=True)
class Check:
    """A check of a month.

    Attributes:
        made: when.
        until: the end of the month.
        result: of the drift check.
        alarm: the decision about an alarm.
        alerts: messages that came of it.
    """

    made: str
    until: str
    result: dict[str, Any]
    alarm: dict[str, Any]
    alerts: list[Alert]


@dataclass
class Example:
    """A run of the example, in the folder `work`, on the database `data`, and what came of it.

    Attributes:
        work: folder of the registry, the payload log, the outcomes, the history and the runs.
        data: the SQLite file of `prepare`.
        broker: HOST:PORT of Kafka; empty for the payload log.
        since: day of the first payment that is asked about; the last one is of 31 August.
        settings: more parameters of the training, as of `kubeline run --set`.
        answers: what the served model was asked.
        checks: of the months.
    """

    work: Path
    data: Path
    broker: str = ""
    since: str = "2025-07-01"
    settings: Sequence[str] = ()
    answers: Answers = field(default_factory=lambda: Answers(0, 0, 0))
    checks: list[Check] = field(default_factory=list)

    @property
    def tracking_uri(self) -> str:
        """The registry of the example."""
        return f"sqlite:///{self.work.absolute() / 'mlflow.db'}"

    @property
    def stream(self) -> str:
        """Where what was answered is read from."""
        return f"kafka://{self.broker}/{TOPIC}" if self.broker else str(self.work / "log")

    def train(self) -> Path:
        """Train a model, and register it as the champion; the folder of the run."""
        return self._run("training", f"data=sqlite:///{self.data.absolute()}", *self.settings)

    def serve(self) -> None:
        """Ask the served model about each payment of the stream."""
        asked = seen(self.data, self.since, "2025-09-01")
        with serving(f"models:/{MODEL}@champion", self.tracking_uri, self.work / "log") as port:
            self.answers = ask(port, asked, self.broker)

    def check(self, made: str, until: str, alerts: list[Alert]) -> Check:
        """Check the month before `until` with the outcomes that are known at the time `made`."""
        known = seen(self.data, self.since, "2025-09-01").rename(columns={"payment": "request.id"})
        known = known.loc[known["settled_at"] < made, ["request.id", "card", "fraud"]]
        (self.work / "outcomes").mkdir(exist_ok=True)
        known.to_parquet(self.work / "outcomes" / "known.parquet", index=False)
        sources = [f"data={self.stream}", f"source.labels={self.work / 'outcomes'}", f"history={self.work / 'history'}"]
        before = len(alerts)
        run = self._run("monitoring", f"at={until}", *sources)
        decided = _document(run, "drift-check", "result"), _document(run, "alarm", "decision")
        self.checks.append(Check(made, until, *decided, alerts[before:]))
        return self.checks[-1]

    def _run(self, pipeline: str, *settings: str) -> Path:
        before = set(self.work.glob(f"{pipeline}-*"))
        words = [word for one in (f"tracking_uri={self.tracking_uri}", *settings) for word in ("--set", one)]
        if kubeline(["run", pipeline, "--params", str(HERE / f"{pipeline}.yaml"), "--output", str(self.work), *words]):
            raise PlatformError(f"the pipeline {pipeline} failed; see what it said above")
        (made,) = set(self.work.glob(f"{pipeline}-*")) - before
        return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the example; returns 0 when the changed month, and it alone, raised an alarm, and no question failed."""
    parser = argparse.ArgumentParser(prog="python -m examples.fraud.demo", description="Fraud in a stream of payments.")
    parser.add_argument("--broker", default="", metavar="HOST:PORT", help="of Kafka, for a topic of what was answered")
    console, started = Console(highlight=False), time.monotonic()
    work = Path("runs") / "fraud"
    shutil.rmtree(work, ignore_errors=True)
    try:
        code = run(console, Example(work, prepare(DATA), parser.parse_args(arguments).broker))
    except KeyboardInterrupt:
        return 130
    except KubelineError as error:
        console.print(f"example: {error}", markup=False)
        return error.exit_code
    console.print(f"\n[bold]{'done' if not code else 'not as expected'}[/] in {time.monotonic() - started:.0f} s")
    return code


def run(console: Console, example: Example) -> int:
    """The whole example, reported on the console; the exit code of `main`."""
    console.print("[bold]a model[/] learns from the payments that were settled by the end of June", soft_wrap=True)
    example.train()
    console.print("\n[bold]July and August[/]: the served model is asked about each payment", soft_wrap=True)
    example.serve()
    answers = example.answers
    console.print(
        f"  {answers.answered:,} payments are answered, {answers.failed} failed; {answers.held} held as fraud"
    )
    console.print(f"  what the model said is in {example.stream}", soft_wrap=True)
    with webhook() as alerts:
        for made, until in CHECKS:
            console.print(f"\n[bold]{made}[/]: the month before {until} is checked", soft_wrap=True)
            show(console, example.check(made, until, alerts))
    raised = [check.alarm["verdict"] == "alarm" for check in example.checks]
    return int(answers.failed > 0 or raised != [check.until == "2025-09-01" for check in example.checks])


def show(console: Console, check: Check) -> None:
    """What a check found, in sentences."""
    result, measured, expected = check.result, check.result["performance"], check.result["estimate"]
    labelled = measured["rows"] if measured else 0
    console.print(f"  {labelled:,} of {result['current_rows']:,} payments are settled, and have a label")
    for found, how in ((expected, "without labels, the {label} is estimated at"), (measured, "by the labels, it is")):
        if found:
            bounds = f"[{found['lower']:.2f}, {found['upper']:.2f}]"
            console.print(f"  {how.format(**found)} {found['value']:.2f} {bounds}", markup=False, soft_wrap=True)
    for alert in check.alerts:
        console.print(f"  the webhook got a {alert.kind}: {alert.title}", markup=False, soft_wrap=True)
        for line in alert.text.splitlines():
            console.print(f"    {line}", markup=False, soft_wrap=True)


def _document(run: Path, step: str, name: str) -> dict[str, Any]:
    """What a step of a run has written."""
    (file,) = run.glob(f"*/{step}/{name}")
    return dict(json.loads(file.read_text(encoding="utf-8")))


if __name__ == "__main__":
    sys.exit(main())
