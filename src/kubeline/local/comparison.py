"""Two runs beside each other: what was given, read and measured, with links to their reports."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from kubeline import json_files, reports
from kubeline.errors import UserError
from kubeline.local.result import FILE, RunResult
from kubeline.local.steps import clock, duration
from kubeline.local.tasks import written
from kubeline.printable import rounded, shown, unbroken

_ABSENT = "–"
_ENDS = ("_lower", "_upper")  # of the names of a metric's interval


@dataclass(frozen=True)
class RecordedRun:
    """A run as its folder has it.

    Attributes:
        folder: of the run.
        result: how it ended.
        parameters: what was given, fields of groups by their full names (``training.folds``).
        artifacts: metadata of what the tasks made, by task and name (``evaluate: metrics``).
    """

    folder: Path
    result: RunResult
    parameters: Mapping[str, Any]
    artifacts: Mapping[str, Mapping[str, Any]]

    @classmethod
    def read(cls, folder: Path) -> "RecordedRun":
        """Read a run's folder.

        Raises:
            UserError: when it is none.
        """
        if not (folder / FILE).is_file():
            raise UserError(f"'{folder}' is no run that has ended; give the folder of one, such as runs/training-…")
        given = json_files.parse(json_files.contents_of(folder / "arguments.json", "its parameters"), "its parameters")
        return cls(
            folder,
            RunResult.read(folder / FILE),
            dict(_flat(given)),
            {f"{one.task}: {one.name}": one.metadata for one in written(folder)},
        )

    @property
    def reports(self) -> dict[str, Path]:
        """Pages of the run by task and output."""
        return {page.stem: page for page in sorted((self.folder / "reports").glob("*.html"))}


def compare(first: RecordedRun, second: RecordedRun, page: Path) -> list[str]:
    """Write the page of two runs, and return what differs in the parameters and metrics, in lines."""
    parameters, metrics = _different_parameters(first, second), list(_metrics(first, second))
    names = f"A is {first.folder.name}, B is {second.folder.name}."
    report = reports.Report("Two runs", names)
    report.add("How they ended", _endings(first, second, page.parent))
    nothing = reports.text("None.")
    report.add("Parameters that differ", reports.table(["parameter", "A", "B"], parameters) if parameters else nothing)
    report.add("Data", reports.table(["output", "rows of A", "rows of B", "fingerprints"], list(_data(first, second))))
    note = "Intervals are of each run alone. Whether one model is better, evaluate decides on the same rows, as a pair."
    if metrics:
        report.add("Metrics", reports.table(["metric", "A", "B", "B - A"], metrics, note))
    links = [[name, *_links(name, (first, second), page.parent)] for name in {**first.reports, **second.reports}]
    report.add("Reports", reports.table(["report", "A", "B"], links))
    report.write(page)
    return [f"{name}: {a} -> {b}" for name, a, b, *_ in [*parameters, *metrics] if a != b]


def _flat(given: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in given.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _endings(first: RecordedRun, second: RecordedRun, place: Path) -> Markup:
    rows = []
    for name, run in (("A", first), ("B", second)):
        result = run.result
        link = Markup('<a href="{}">{}</a>').format(_address(run.folder / "index.html", place), run.folder.name)
        word = Markup('<strong class="{}">{}</strong>').format(result.tone, result.word)
        began, took = unbroken(clock(result.started)), unbroken(duration(result.seconds))
        rows.append([name, link, word, str(result.estimate or ""), began, took, result.sentence or result.reason])
    return reports.table(["of", "run", "verdict", "decided by", "began", "took", "why"], rows)


def _different_parameters(first: RecordedRun, second: RecordedRun) -> list[tuple[str, str, str]]:
    names = dict.fromkeys([*first.parameters, *second.parameters])
    pairs = [(name, first.parameters.get(name, _ABSENT), second.parameters.get(name, _ABSENT)) for name in names]
    return [(name, shown(a), shown(b)) for name, a, b in pairs if a != b]


def _data(first: RecordedRun, second: RecordedRun) -> Iterator[tuple[str, str, str, str]]:
    """Of each dataset, whether both runs had the same."""
    for name in dict.fromkeys([*first.artifacts, *second.artifacts]):
        sides = [run.artifacts.get(name, {}) for run in (first, second)]
        prints = [str(side.get("fingerprint", "")) for side in sides]
        if any(prints) and any("rows" in side for side in sides):
            same = "the same" if prints[0] == prints[1] else " and ".join(one[:12] or _ABSENT for one in prints)
            yield name, *(f"{int(side['rows']):,}" if "rows" in side else _ABSENT for side in sides), same  # type: ignore[misc]


def _metrics(first: RecordedRun, second: RecordedRun) -> Iterator[tuple[str, str, str, str]]:
    """Numbers of the artifacts called metrics, each with its interval where it has one."""
    for place in dict.fromkeys([*first.artifacts, *second.artifacts]):
        if not place.endswith(": metrics"):
            continue
        sides = [run.artifacts.get(place, {}) for run in (first, second)]
        for name in dict.fromkeys(key for side in sides for key in side):
            values = [side.get(name) for side in sides]
            if name.endswith(_ENDS) or not all(value is None or isinstance(value, int | float) for value in values):
                continue
            a, b = values
            gain = "" if a is None or b is None else "0" if a == b else rounded(b - a, sign=True)
            yield f"{place.removesuffix(': metrics')}: {name}", *(_figure(side, name) for side in sides), gain  # type: ignore[misc]


def _figure(side: Mapping[str, Any], name: str) -> str:
    if side.get(name) is None:
        return _ABSENT
    low, high = (side.get(f"{name}{end}") for end in _ENDS)
    interval = f" [{rounded(low)}, {rounded(high)}]" if low is not None and high is not None else ""
    return f"{rounded(side[name])}{interval}"


def _links(name: str, runs: Sequence[RecordedRun], place: Path) -> Iterator[Markup | str]:
    for run in runs:
        page = run.reports.get(name)
        yield Markup('<a href="{}">open</a>').format(_address(page, place)) if page else _ABSENT


def _address(file: Path, place: Path) -> str:
    return quote(Path(os.path.relpath(file, place)).as_posix())
