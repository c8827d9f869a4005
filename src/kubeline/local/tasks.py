"""The name of a task, as every part of a local run shows it."""

from pathlib import Path


def label(folder: Path) -> str:
    """The name of a task by the folder of its outputs; in a loop with the number of the iteration."""
    loop = folder.parent.name  # "for-loop-1-iteration-0" inside a ParallelFor
    return f"{folder.name} {loop.rpartition('-')[2]}" if "-iteration-" in loop else folder.name


def log_file(run: Path, task: str) -> Path:
    """Where the log of a task lies in the folder of its run."""
    return run / "logs" / f"{task.replace(' ', '-')}.txt"
