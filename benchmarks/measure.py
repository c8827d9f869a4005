"""Measures two ways of doing one thing, in turn, each in a process of its own (Linux, for the peak memory)."""

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

RUNS = 3


@dataclass(frozen=True)
class Way:
    """A named way of doing something: a Python program."""

    name: str
    program: str
    python: str = sys.executable


def compare(title: str, ours: Way, *peers: Way) -> None:
    """Print median seconds and peak memory of every way, and their ratio to ours."""
    ways = [ours, *peers]
    seconds: dict[str, list[float]] = {way.name: [] for way in ways}
    memory: dict[str, list[float]] = {way.name: [] for way in ways}
    for _ in range(RUNS):
        for way in ways:  # in turn, so that a change of the machine's speed meets all of them
            elapsed, peak = _run(way)
            print(f"{title}: {way.name} took {elapsed:.3g} s", file=sys.stderr, flush=True)
            seconds[way.name].append(elapsed)
            memory[way.name].append(peak)
    show(title, [(way.name, statistics.median(seconds[way.name]), max(memory[way.name])) for way in ways])


def show(title: str, rows: Sequence[tuple[str, float, float | None]]) -> None:
    """Print rows of (name, seconds, MiB) with their ratios to the first."""
    table = Table("way", "seconds", "time ratio", "peak MiB", "memory ratio", title=title, title_justify="left")
    _, first_seconds, first_memory = rows[0]
    for name, seconds, memory in rows:
        amounts = ("", "") if memory is None or not first_memory else (f"{memory:.0f}", f"{memory / first_memory:.2f}")
        table.add_row(name, f"{seconds:.3g}", f"{seconds / first_seconds:.2f}", *amounts)
    Console(width=120).print(table)


def _run(way: Way) -> tuple[float, float]:
    wrapped = f"{way.program}\nprint(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    started = time.perf_counter()
    done = subprocess.run([way.python, "-c", wrapped], check=True, capture_output=True, text=True)  # noqa: S603
    elapsed = time.perf_counter() - started
    return elapsed, int(done.stdout.split()[-1]) / 1024
