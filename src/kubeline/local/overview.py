"""The page of all runs below a folder: by pipeline and model, with verdicts, the deciding figure and its history.

Static files that need no server: ``index.html`` has the latest runs of each group, ``history/`` all of them.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from markupsafe import Markup

from kubeline import reports
from kubeline.local.result import FILE, RUNNING, RunResult
from kubeline.local.running import SO_FAR, locked, so_far
from kubeline.local.steps import clock, duration
from kubeline.printable import rounded, shortened, unbroken

LATEST = 10  # runs of a group on the first page
_ON_A_PAGE = 500  # runs of a page of the history
_GROUPS = 60  # on the first page
_POINTS = 60  # of the line
_WIDE, _HIGH = 320, 48  # of the line, in pixels
_SENTENCE = 300  # characters


class Past(NamedTuple):
    """A run that has ended or goes on, and its folder."""

    folder: str
    result: RunResult
    written: float  # its file, in Unix seconds


def write_overview(root: Path) -> Path:
    """Write ``index.html`` of all runs below `root`, the latest first, and return its path."""
    with locked(root):  # runs may end side by side
        return _write_overview(root)


def _write_overview(root: Path) -> Path:
    groups = grouped(root)
    page = reports.Report("Runs", f"Pipelines run on this machine, in {root}.")
    for number, (name, runs) in enumerate(groups.items()):
        more = _write_history(root, name, runs) if len(runs) > LATEST else None
        if number < _GROUPS:
            page.add(name, *_group(runs, more))
    if len(groups) > _GROUPS:
        page.add("More", reports.text(f"{len(groups) - _GROUPS:,} more groups have no room here."))
    if not groups:
        page.add("All runs", reports.text("No run has begun yet."))
    page.write(root / "index.html")
    return root / "index.html"


def grouped(root: Path) -> dict[str, list[Past]]:
    """The runs below a folder by pipeline and model, the latest first in each and among them."""
    found = {past.folder: past for past in _running(root)}
    for file in root.glob(f"*/{FILE}"):
        found[file.parent.name] = Past(file.parent.name, RunResult.read(file), file.stat().st_mtime)
    groups: dict[str, list[Past]] = {}
    for past in sorted(found.values(), key=lambda past: (past.result.started, past.folder), reverse=True):
        result = past.result
        groups.setdefault(f"{result.pipeline} of {result.model}" if result.model else result.pipeline, []).append(past)
    return groups


def _running(root: Path) -> Iterator[Past]:
    """Runs that have not ended, those among them as failed whose process is gone."""
    for file in root.glob(f"*/{SO_FAR}"):
        with suppress(FileNotFoundError):  # it ends at this moment
            yield Past(file.parent.name, so_far(file.parent), file.stat().st_mtime)


def _group(runs: Sequence[Past], more: str | None) -> list[Markup]:
    serving = next((past for past in runs if past.result.serves), None)
    blocks = []
    if serving:
        since = clock(serving.result.started)
        blocks.append(reports.text(f"{serving.result.serves} was brought to serving last, by the run of {since}."))
    line = _line(runs)
    if line:
        blocks.append(line)
    blocks.append(_table(runs[:LATEST], ""))
    if more:
        blocks.append(Markup('<p><a href="{}">All {:,} runs</a></p>').format(more, len(runs)))
    return blocks


def _table(runs: Sequence[Past], up: str) -> Markup:
    rows = [
        [
            Markup('<a href="{}/index.html">{}</a>').format(up + quote(past.folder), clock(past.result.started)),
            Markup('<strong class="{}">{}</strong>').format(past.result.tone, unbroken(past.result.word)),
            str(past.result.estimate or ""),
            unbroken(took(past.result)),
            shortened(past.result.sentence or past.result.reason, _SENTENCE),
        ]
        for past in runs
    ]
    return reports.table(["run", "verdict", "decided by", "took", "why"], rows)


def took(result: RunResult) -> str:
    """How long a run took; empty where it goes on."""
    return "" if result.word == RUNNING else duration(result.seconds)


def _write_history(root: Path, name: str, runs: Sequence[Past]) -> str:
    """Write the pages of all runs of a group; returns the address of the first."""
    folder = root / "history"
    folder.mkdir(exist_ok=True)
    stem = _stem(name)
    pages = [runs[start : start + _ON_A_PAGE] for start in range(0, len(runs), _ON_A_PAGE)]
    files = [f"{stem}-{number}.html" for number in range(1, len(pages) + 1)]
    if _up_to_date([folder / file for file in files], runs):
        return f"history/{quote(files[0])}"
    links = [Markup('<a href="{}">{}</a>').format(quote(file), number) for number, file in enumerate(files, 1)]
    for file, part in zip(files, pages, strict=True):
        page = reports.Report(name, f"All {len(runs):,} runs, the latest first.")
        page.add("Pages", Markup("<p>{}</p>").format(Markup(" ").join(links)))
        page.add("Runs", _table(part, "../"))
        page.write(folder / file)
    return f"history/{quote(files[0])}"


def _stem(name: str) -> str:
    """The beginning of the names of a group's files; two groups never have the same."""
    wanted = name.replace(" of ", "-of-", 1)
    stem = re.sub(r"[^A-Za-z0-9.-]+", "-", wanted).strip("-.")[:80]
    return stem if stem == wanted else f"{stem or 'runs'}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def _up_to_date(pages: Sequence[Path], runs: Sequence[Past]) -> bool:
    """Whether no run of a group is newer than its pages: thousands of other runs need not be written again."""
    return all(page.exists() for page in pages) and min(page.stat().st_mtime for page in pages) > max(
        past.written for past in runs
    )


def _line(runs: Sequence[Past]) -> Markup | None:
    """The figure that decides, over the last runs that have it: a line, and a band for its interval."""
    name = next((past.result.estimate.name for past in runs if past.result.estimate), "")
    kept = [past.result for past in runs if past.result.estimate and past.result.estimate.name == name][:_POINTS][::-1]
    found = [(result.estimate, result.tone) for result in kept if result.estimate]
    if len(found) < 2:
        return None
    lows = [one.value if one.lower is None else one.lower for one, _ in found]
    highs = [one.value if one.upper is None else one.upper for one, _ in found]
    bottom, top = min(lows), max(highs)
    x = [6 + (_WIDE - 12) * place / (len(found) - 1) for place in range(len(found))]

    def y(value: float) -> float:
        return _HIGH - 6 - (_HIGH - 12) * ((value - bottom) / (top - bottom) if top > bottom else 0.5)

    there = [f"{at:.1f},{y(value):.1f}" for at, value in zip(x, highs, strict=True)]
    back = [f"{at:.1f},{y(value):.1f}" for at, value in zip(x[::-1], lows[::-1], strict=True)]
    dots = Markup("").join(
        Markup('<circle cx="{:.1f}" cy="{:.1f}" r="2.5" style="fill:var(--{})"/>').format(at, y(one.value), tone)
        for at, (one, tone) in zip(x, found, strict=True)
    )
    first, last = (rounded(found[place][0].value) for place in (0, -1))
    words = f"{name}, from {first} to {last} over the last {len(found)} runs"
    return Markup(
        '<figure><svg role="img" aria-label="{0}" width="{1}" height="{2}" viewBox="0 0 {1} {2}">'
        '<polygon points="{3}" style="fill:var(--model);opacity:.15"/>'
        '<polyline points="{4}" style="fill:none;stroke:var(--model);stroke-width:1.5"/>{5}</svg>'
        "<figcaption>{0}</figcaption></figure>"
    ).format(
        words, _WIDE, _HIGH, " ".join(there + back),
        " ".join(f"{at:.1f},{y(one.value):.1f}" for at, (one, _) in zip(x, found, strict=True)), dots,
    )  # fmt: skip
