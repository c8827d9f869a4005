"""The model server at its limit and beyond: liveness, latency of what is accepted, and what happens to the rest.

python -m benchmarks.serving.overload [--seconds 6] [--json FILE]

First the capacity is measured (closed loop on 8 connections). Then come clients on 64 connections that ask again at
once when they are refused. Then the server is asked at half of its capacity, at twice of it, and at half of it again,
by an open loop that does not wait for answers.
"""

import argparse
import json
import resource
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.serving.contenders import PEERS, V2, ours
from benchmarks.serving.flights import flights_package, questions
from benchmarks.serving.forms import v2
from benchmarks.serving.http_load import closed_loop, open_loop
from benchmarks.serving.liveness import Liveness, Prober
from benchmarks.serving.measurement import Measurement, milliseconds
from benchmarks.serving.processes import Server, share_cores

CAPACITY, STORM = 8, 64  # connections of the closed loops
ROWS = {1: 64, 100: 8}  # rows of a request, and how many different requests
CONNECTIONS = {1: 1500, 100: 300}  # of the open loop: more than the server's queue holds
LIVENESS_GOAL_MS = 50.0
QUEUE_MS = 100.0  # the server's --max_queue_ms
_WARM_UP_SECONDS = 2.0


@dataclass(frozen=True)
class Stage:
    """One stretch of load, and what the liveness probe saw meanwhile."""

    name: str
    rows: int
    offered: float  # requests in a second; of the closed loop, what it got answered or refused
    load: Measurement
    alive: Liveness

    @property
    def p99(self) -> float:
        """Milliseconds, of accepted requests."""
        return self.load.quantiles(0.99)[0]


def main() -> int:
    """Measure, show, and answer 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description="The model server at its limit and beyond.")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each stage")
    parser.add_argument("--json", type=Path, default=Path("runs/bench-serving-overload.json"), help="the figures")
    arguments = parser.parse_args()
    console = Console(width=150, highlight=False)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    cores = share_cores()
    package = flights_package()
    stages: list[Stage] = []
    with ours().serve(package, PEERS / "work") as server, Prober() as prober:
        for rows, count in ROWS.items():
            requests = [v2(V2).build(question) for question in questions(package, rows, count)]
            stages += measure(server, prober, rows, requests, arguments.seconds)
    show(console, stages, cores)
    findings = judge(stages)
    for sentence, met in findings:
        console.print(f"{'met   ' if met else 'MISSED'} {sentence}")
    write(arguments.json, stages, findings)
    return int(not all(met for _, met in findings))


def measure(server: Server, prober: Prober, rows: int, requests: Sequence[bytes], seconds: float) -> list[Stage]:
    """The stages of one size of requests."""
    uvloop.run(closed_loop(server.http_port, requests, CAPACITY, _WARM_UP_SECONDS))
    stages: list[Stage] = []
    for name, connections in (("saturated", CAPACITY), ("storm", STORM)):
        alive = prober.start(server.http_port, seconds)
        load = uvloop.run(closed_loop(server.http_port, requests, connections, seconds))
        stages.append(Stage(name, rows, load.total / seconds, load, alive()))
    capacity = stages[0].load.rate
    for name, share in (("half", 0.5), ("twice", 2.0), ("half again", 0.5)):
        alive = prober.start(server.http_port, seconds)
        load = uvloop.run(open_loop(server.http_port, requests, share * capacity, seconds, CONNECTIONS[rows]))
        stages.append(Stage(name, rows, share * capacity, load, alive()))
    return stages


def judge(stages: Sequence[Stage]) -> list[tuple[str, bool]]:
    """What each size of requests shows, as sentences with whether the goal is met."""
    findings = []
    for rows in sorted({stage.rows for stage in stages}):
        saturated, storm, half, twice, again = (stage for stage in stages if stage.rows == rows)
        size = f"{rows} row{'s' if rows > 1 else ''}:"
        for stage in (saturated, storm, twice):
            _, high, _ = stage.alive.quantiles()
            sentence = f"{size} liveness p99 {high:.1f} ms, {stage.name} (goal {LIVENESS_GOAL_MS:g})"
            findings.append((sentence, high < LIVENESS_GOAL_MS and not stage.alive.failed))
        limit = saturated.p99 + QUEUE_MS
        sentence = (
            f"{size} at twice the capacity, p99 of accepted requests {twice.p99:.1f} ms "
            f"(saturated {saturated.p99:.1f} ms, and the queue adds at most {QUEUE_MS:g} ms)"
        )
        findings.append((sentence, twice.p99 <= limit))
        errors = sum((stage.load.errors.total() for stage in (saturated, storm, half, twice, again)), 0)
        others = "nothing else" if not errors else f"{errors:,} of something else"
        sentence = f"{size} {len(twice.load.refused) / twice.load.total:.0%} answered 503 with Retry-After, {others}"
        findings.append((sentence, not errors))
        accepted = twice.load.rate / saturated.load.rate
        findings.append((f"{size} goodput at twice the capacity is {accepted:.0%} of the capacity", accepted > 0.5))
        sentence = f"{size} afterwards, at half, {len(again.load.refused):,} refused and p99 {again.p99:.1f} ms"
        findings.append((sentence, again.p99 <= max(2 * half.p99, QUEUE_MS) and not again.load.errors))
    return findings


def show(console: Console, stages: Sequence[Stage], cores: int) -> None:
    """Print every stage."""
    title = f"kubeline, v2 JSON, client and server on {cores} cores; offered and answered in requests/s, times in ms"
    table = Table("rows", "load", title=title, title_justify="left")
    headings = (
        "offered",
        "answered",
        "p50",
        "p99",
        "503",
        "503 p99",
        "errors",
        "alive p50",
        "p99",
        "max",
        "client late",
    )
    for heading in headings:
        table.add_column(heading, justify="right")
    for stage in stages:
        median, high = stage.load.quantiles(0.5, 0.99)
        (refused,) = milliseconds(stage.load.refused, 0.99)
        (late,) = milliseconds(stage.load.late, 0.99)
        errors = ", ".join(f"{count:,} {name}" for name, count in stage.load.errors.items()) or "0"
        table.add_row(
            str(stage.rows), stage.name, f"{stage.offered:,.0f}", f"{stage.load.rate:,.0f}",
            f"{median:.1f}", f"{high:.1f}",
            f"{len(stage.load.refused) / stage.load.total:.0%}", f"{refused:.1f}", errors,
            *(f"{value:.1f}" for value in stage.alive.quantiles()), f"{late:.1f}",
        )  # fmt: skip
    console.print(table)


def write(file: Path, stages: Sequence[Stage], findings: Sequence[tuple[str, bool]]) -> None:
    """Write the figures as JSON."""
    file.parent.mkdir(parents=True, exist_ok=True)
    records = [
        {
            "rows": stage.rows,
            "load": stage.name,
            "offered_per_second": round(stage.offered, 1),
            "answered_per_second": round(stage.load.rate, 1),
            "p50_p99_ms": [round(value, 2) for value in stage.load.quantiles(0.5, 0.99)],
            "refused": len(stage.load.refused),
            "errors": dict(stage.load.errors),
            "liveness_p50_p99_max_ms": [round(value, 2) for value in stage.alive.quantiles()],
            "liveness_failed": stage.alive.failed,
        }
        for stage in stages
    ]
    content = {"stages": records, "findings": [{"sentence": text, "met": met} for text, met in findings]}
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
