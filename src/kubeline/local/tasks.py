"""The tasks of a local run: their names, as every part of it shows them, and the artifacts that they wrote."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubeline import json_files


@dataclass(frozen=True)
class Written:
    """An artifact as KFP's executor recorded it.

    Attributes:
        task: the name of the task.
        component: its name in the compiled pipeline.
        name: of the output.
        path: of the artifact.
        metadata: of the artifact.
    """

    task: str
    component: str
    name: str
    path: Path
    metadata: dict[str, Any]


def written(run: Path, tasks: Collection[str] | None = None) -> Iterator[Written]:
    """The artifacts of tasks in the folder of a run, of all or of these alone, in the order in which they ended.

    Raises:
        UserError: when the record of a task cannot be read.
    """
    for file in sorted(run.rglob("executor_output.json"), key=lambda file: file.stat().st_mtime_ns):
        task = label(file.parent)
        if tasks is not None and task not in tasks:
            continue
        document = json_files.parse(json_files.contents_of(file, f"'{file}'"), f"'{file}'")
        for name, output in document.get("artifacts", {}).items():
            for one in output["artifacts"]:
                yield Written(task, file.parent.name, name, Path(one["uri"]), one.get("metadata") or {})


def label(folder: Path) -> str:
    """The name of a task by the folder of its outputs; in a loop with the number of the iteration."""
    loop = folder.parent.name  # "for-loop-1-iteration-0" inside a ParallelFor
    return f"{folder.name} {loop.rpartition('-')[2]}" if "-iteration-" in loop else folder.name


def log_file(run: Path, task: str) -> Path:
    """Where the log of a task lies in the folder of its run."""
    return run / "logs" / f"{task.replace(' ', '-')}.txt"
