"""The main job of Kubeline on real data, with no cluster: ``make demo``.

Trains on the flights of January to September 2013, evaluates on October to December, checks the model in the real
model server, registers it, renders its InferenceService, and checks each later month for drift.
"""

import sys
import time
from pathlib import Path

from rich.console import Console

from examples.flights.prepare import prepare
from kubeline.cli import main as kubeline

HERE = Path(__file__).parent
LATER_MONTHS = (10, 11, 12)


def main() -> int:
    """Run the demo; returns the exit code of the first command that failed, or 0."""
    console = Console(highlight=False)
    started = time.monotonic()
    months = prepare()
    console.print(f"[bold]data[/]\n  {len(months)} months of flights in {months[0].parent}", soft_wrap=True)
    if code := kubeline(["run", "training", "--params", str(HERE / "training.yaml")]):
        return code
    for month in LATER_MONTHS:
        console.print(f"\n[bold]drift of 2013-{month:02d} against the training data[/]")
        window = f"data={months[month - 1]}"
        if code := kubeline(["run", "monitoring", "--params", str(HERE / "monitoring.yaml"), "--set", window]):
            return code
    console.print(f"\n[bold green]done[/] in {time.monotonic() - started:.0f} s; every page: runs/index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())
