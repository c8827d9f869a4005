"""Measures two ways of doing one thing, in turn, each in a process of its own (Linux, for the peak memory)."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

RUNS = 3


@dataclass(frozen=True)
class Way:
    """A named way of doing something: a Python program, what it imports, and what goes before it that does not count.

    The start of Python and what is imported count. `environment` has variables besides those of this process.
    """

    name: str
    program: str
    python: str = sys.executable
    environment: Mapping[str, str] = field(default_factory=dict)
    imports: str = ""
    before: str = ""


@dataclass(frozen=True)
class Run:
    """What one process took: seconds by the clock and of CPU (its own and the system's), and MiB at most."""

    seconds: float
    cpu: float
    memory: float


def compare(title: str, ours: Way, *peers: Way, runs: int = RUNS) -> dict[str, Run]:
    """Print, and return by its name, median seconds and peak memory of every way, and their ratio to ours."""
    ways = [ours, *peers]
    found: dict[str, list[Run]] = {way.name: [] for way in ways}
    for _ in range(runs):
        for way in ways:  # in turn, so that a change of the machine's speed meets all of them
            run = _run(way)
            print(f"{title}: {way.name} took {run.seconds:.3g} s", file=sys.stderr, flush=True)
            found[way.name].append(run)
    table = Table(
        *("way", "seconds", "ratio", "CPU seconds", "ratio", "peak MiB", "ratio"), title=title, title_justify="left"
    )
    middle = {name: _middle(runs) for name, runs in found.items()}
    first = middle[ours.name]
    for name, run in middle.items():
        cells = ((run.seconds, first.seconds), (run.cpu, first.cpu), (run.memory, first.memory))
        table.add_row(name, *(cell for value, ours_ in cells for cell in (f"{value:.3g}", f"{value / ours_:.2f}")))
    Console(width=120).print(table)
    return middle


def _middle(runs: Sequence[Run]) -> Run:
    """The median times, and the most memory."""
    return Run(
        statistics.median(run.seconds for run in runs),
        statistics.median(run.cpu for run in runs),
        max(run.memory for run in runs),
    )


def show(title: str, rows: Sequence[tuple[str, float]]) -> None:
    """Print rows of (name, seconds) with their ratio to the first."""
    table = Table("way", "seconds", "time ratio", title=title, title_justify="left")
    for name, seconds in rows:
        table.add_row(name, f"{seconds:.3g}", f"{seconds / rows[0][1]:.2f}")
    Console(width=120).print(table)


def _run(way: Way) -> Run:
    now = "import os, time\nnow = time.perf_counter(), sum(os.times()[:4])"
    pause = f"{now}\nbegan = now\n{way.before}\n{now}\npause = now[0] - began[0], now[1] - began[1]"
    peak = "open('/proc/self/status').read().split('VmHWM:')[1].split()[0]"
    wrapped = f"{way.imports}\n{pause}\n{way.program}\n{now}\nprint(pause[0], now[1] - pause[1], {peak})"
    started = time.perf_counter()
    environment = {**os.environ, **way.environment}
    done = subprocess.run([way.python, "-c", wrapped], check=False, capture_output=True, text=True, env=environment)  # noqa: S603
    elapsed = time.perf_counter() - started
    if done.returncode:
        sys.exit(f"{way.name} failed:\n{done.stderr}")
    *_, paused, cpu, memory = done.stdout.split()
    return Run(elapsed - float(paused), float(cpu), int(memory) / 1024)
