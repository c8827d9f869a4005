"""The tasks of a local run: their names, as every part of it shows them, and the artifacts that they wrote."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubeline import json_files
from kubeline.decision import decided, reasons
from kubeline.printable import rounded

# The metadata of an artifact that is shown first; the rest follows by name.
_FIRST = [
    *("verdict", "outcome", "name", "version", "uri", "rows", "columns", "estimator", "task", "features", "score_name"),
    *("score", "bytes", "fingerprint", "source"),
]


@dataclass(frozen=True)
class Output:
    """An artifact that a task wrote, as KFP's executor recorded it.

    Attributes:
        task: the name of the task.
        component: its name in the compiled pipeline.
        name: of the output.
        path: of the artifact.
        metadata: of the artifact.
        kind: ``Dataset``, ``Model``, ``HTML`` and so on, which only the compiled pipeline says.
    """

    task: str
    component: str
    name: str
    path: Path
    metadata: dict[str, Any]
    kind: str = ""

    @property
    def is_report(self) -> bool:
        """Whether it is a page for people."""
        return self.kind in {"HTML", "Markdown"}

    def facts(self, most: int = 100) -> str:
        """The first `most` entries of the metadata on one line: numbers rounded, digests shortened, lists left out."""
        pairs = list(self.metadata.items())
        if self.kind != "Metrics":  # those stand as they were logged; KFP hands other metadata on in a random order
            pairs.sort(key=lambda pair: (_FIRST.index(pair[0]) if pair[0] in _FIRST else len(_FIRST), pair[0]))
        plain = [f"{key} {_short(value)}" for key, value in pairs if not isinstance(value, (dict, list))]
        return ", ".join(plain[:most] + (["…"] if len(plain) > most else []))

    @property
    def verdict(self) -> str:
        """What a check decided, or how a rollout ended; empty for other artifacts."""
        return decided(self.metadata)

    @property
    def warnings(self) -> list[str]:
        """What a step warned of, in sentences."""
        found = self.metadata.get("warnings")
        return [str(one) for one in found] if isinstance(found, list) else []

    def reasons(self) -> list[str]:
        """The reasons given for a verdict, where the artifact is a JSON document with reasons."""
        return reasons(self.path) if self.verdict else []


def written(run: Path, tasks: Collection[str] | None = None) -> Iterator[Output]:
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
                yield Output(task, file.parent.name, name, Path(one["uri"]), one.get("metadata") or {})


def label(folder: Path) -> str:
    """The name of a task by the folder of its outputs; in a loop with the number of the iteration."""
    loop = folder.parent.name  # "for-loop-1-iteration-0" inside a ParallelFor
    return f"{folder.name} {loop.rpartition('-')[2]}" if "-iteration-" in loop else folder.name


def log_file(run: Path, task: str) -> Path:
    """Where the log of a task lies in the folder of its run."""
    return run / "logs" / f"{task.replace(' ', '-')}.txt"


def _short(value: Any) -> str:
    if isinstance(value, float) and not value.is_integer():
        return rounded(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"{int(value):,}"
    text = str(value)
    is_digest = len(text) == 64 and all(digit in "0123456789abcdef" for digit in text)
    return text[:12] if is_digest else text
