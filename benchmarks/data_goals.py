"""What the data steps are to keep to beside their peers, and how they grow with the rows: docs/benchmarks-data.svg."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from matplotlib import rcParams
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from benchmarks.measure import Run

FIGURE = Path(__file__).parents[1] / "docs" / "benchmarks-data.svg"
MEMORY = 500e6 / 2**20  # MiB at most of every step but train
STEPS = ("load", "validate", "split", "drift_check", "drift_check with predictions")

Measured = Mapping[int, Mapping[str, Run]]  # by rows, and by the name of the way


@dataclass(frozen=True)
class Goal:
    """A step takes at most so many times what the fastest of its peers does."""

    step: str
    peers: tuple[str, ...]
    most: float


GOALS = (
    Goal("load", ("DuckDB, COPY", "Polars, sink_parquet"), 1.5),
    Goal("validate", ("pandera on lazy Polars, values too",), 3.0),
    Goal("split", ("Arrow, read and write",), 1.5),
    Goal("train", ("scikit-learn, its fit alone",), 1.3),
    Goal("drift_check", ("Evidently, DataDriftPreset",), 1 / 40),
    Goal("drift_check with predictions", ("Evidently, DataDriftPreset",), 1 / 20),
)


def show(measured: Measured) -> None:
    """Print each goal with its ratios, by the clock and of CPU seconds, and the memory of each step."""
    table = Table("rows", "step", "peak MiB", "beside", "by the clock", "CPU seconds", "at most", title="Goals")
    for rows, found in measured.items():
        for goal in GOALS:
            ours = found.get(f"kubeline {goal.step}")
            if ours is None:
                continue
            peak = f"{ours.memory:.0f}" + (" !" if ours.memory > MEMORY and goal.step != "train" else "")
            peers = [name for name in goal.peers if name in found]
            fastest = min(peers, key=lambda name: found[name].seconds, default="")
            cells = ["", "", "", ""]
            if fastest:
                peer = found[fastest]
                ratios = (ours.seconds / peer.seconds, ours.cpu / peer.cpu)
                marks = (f"{ratio:.3g}" + (" !" if ratio > goal.most else "") for ratio in ratios)
                cells = [fastest, *marks, f"{goal.most:.3g}"]
            table.add_row(f"{rows:,}", goal.step, peak, *cells)
    Console(width=140).print(table)


def draw(measured: Measured) -> None:
    """Write the figure: CPU seconds and peak memory of each step by rows."""
    rcParams["svg.hashsalt"] = "kubeline"
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    seconds, memory = figure.subplots(1, 2)
    for step in STEPS:
        known = [(rows / 1e6, found[name]) for rows, found in measured.items() if (name := f"kubeline {step}") in found]
        rows = [each for each, _ in known]
        seconds.plot(rows, [run.cpu for _, run in known], marker="o", label=step)
        memory.plot(rows, [run.memory for _, run in known], marker="o", label=step)
    memory.axhline(MEMORY, color="0.5", linestyle=":")
    seconds.set(xscale="log", yscale="log", ylabel="seconds of CPU")
    memory.set(xscale="log", ylim=(0, MEMORY * 1.1), ylabel="peak MiB")
    for axes in (seconds, memory):
        axes.set_xlabel("million rows of 31 columns")
        axes.set_xticks(sorted(rows / 1e6 for rows in measured), [f"{rows / 1e6:g}" for rows in sorted(measured)])
        axes.minorticks_off()
    seconds.set_yticks([3, 10, 30], ["3", "10", "30"])
    memory.legend(frameon=False, loc="lower center", ncols=2)  # where no line is
    figure.savefig(FIGURE, metadata={"Date": None})
