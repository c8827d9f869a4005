"""What a run made: its outputs as a list, and one page that links every report."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml
from markupsafe import Markup

from kubeline import reports
from kubeline.decision import decided, reasons
from kubeline.local.runner import Run, label

_TONES: dict[str, reports.Tone] = {
    "promote": "good",
    "stable": "good",
    "hold": "bad",
    "drift": "bad",
    "inconclusive": "warn",
    "insufficient_data": "warn",
    "promoted": "good",
    "unchanged": "good",
    "held": "warn",
    "rolled_back": "bad",
}


@dataclass(frozen=True)
class Output:
    """An artifact that a task wrote."""

    task: str
    name: str
    kind: str  # "Dataset", "Model", "HTML", …
    path: Path
    metadata: dict[str, Any]

    @property
    def is_report(self) -> bool:
        """Whether it is a page for people."""
        return self.kind in {"HTML", "Markdown"}

    def facts(self, most: int = 100) -> str:
        """The first `most` entries of the metadata on one line: numbers rounded, digests shortened, lists left out."""
        pairs = self.metadata.items()
        plain = [f"{key} {_short(value)}" for key, value in pairs if not isinstance(value, (dict, list))]
        return ", ".join(plain[:most] + (["…"] if len(plain) > most else []))

    @property
    def verdict(self) -> str:
        """What a check decided, or how a rollout ended; empty for other artifacts."""
        return decided(self.metadata)

    def reasons(self) -> list[str]:
        """The reasons given for a verdict, where the artifact is a JSON document with reasons."""
        return reasons(self.path) if self.verdict else []


def outputs(run: Run, pipeline: Path) -> list[Output]:
    """The artifacts of a run, in the order in which their tasks ended."""
    components = next(yaml.safe_load_all(pipeline.read_text(encoding="utf-8")))["components"]
    files = sorted(run.folder.rglob("executor_output.json"), key=lambda file: file.stat().st_mtime_ns)
    return [output for file in files for output in _of_task(file, components)]


def write_page(run: Run, made: Sequence[Output]) -> Path:
    """Write the run's ``index.html``, with the verdicts and a link to every report, and return its path."""
    page = reports.Report(run.folder.name, f"One run of the pipeline {run.pipeline} on this machine.")
    word, tone = ("succeeded", "good") if run.succeeded else ("failed", "bad")
    page.add("Run", reports.verdict(word, tone, [run.reason] if run.reason else []), _link(run, run.log, "log"))  # type: ignore[arg-type]
    for output in made:
        if output.verdict:
            word, tone = output.verdict.replace("_", " "), _TONES.get(output.verdict, "plain")
            page.add(f"{output.task}: {output.name}", reports.verdict(word, tone, output.reasons()))
    pages = [(output, file) for output in made if (file := _readable(run, output))]
    page.add("Reports", reports.table(["step", "report"], [[o.task, _link(run, f, o.name)] for o, f in pages]))
    rows = [[o.task, _link(run, o.path, o.name) if o.path.exists() else o.name, o.kind, o.facts()] for o in made]
    page.add("Everything that was made", reports.table(["step", "output", "kind", "facts"], rows))
    target = run.folder / "index.html"
    page.write(target)
    return target


def write_overview(root: Path) -> Path:
    """Write ``index.html`` of all runs below `root`, the latest first, and return its path."""
    with _alone_in(root):
        return _write_overview(root)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Nobody else who asks for the same is in the folder meanwhile: runs may end side by side."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write_overview(root: Path) -> Path:
    page = reports.Report("Runs", f"Pipelines run on this machine, in {root}.")
    rows = []
    for file in sorted(root.glob("*/result.json"), key=lambda file: file.stat().st_mtime_ns, reverse=True):
        result = json.loads(file.read_text(encoding="utf-8"))
        link = Markup('<a href="{}/index.html">{}</a>').format(quote(file.parent.name), file.parent.name)
        rows.append([link, result["pipeline"], "succeeded" if result["succeeded"] else "failed", result["reason"]])
    page.add("All runs", reports.table(["run", "pipeline", "state", "reason"], rows))
    page.write(root / "index.html")
    return root / "index.html"


def _of_task(file: Path, components: dict[str, Any]) -> Iterator[Output]:
    task = file.parent.name
    definitions = components[f"comp-{task}"].get("outputDefinitions", {}).get("artifacts", {})
    document = json.loads(file.read_text(encoding="utf-8"))
    for name, written in document.get("artifacts", {}).items():
        for artifact in written["artifacts"]:
            kind = definitions[name]["artifactType"]["schemaTitle"].removeprefix("system.")
            yield Output(label(file.parent), name, kind, Path(artifact["uri"]), artifact.get("metadata") or {})


def _readable(run: Run, output: Output) -> Path | None:
    """A report under a name that browsers open as a page; None for what is no report."""
    if not output.is_report or not output.path.is_file():
        return None
    page = run.folder / "reports" / f"{output.task.replace(' ', '-')}-{output.name}.html"
    page.parent.mkdir(exist_ok=True)
    page.unlink(missing_ok=True)
    if output.kind == "Markdown":
        _render_markdown(output, page)
        return page
    try:
        os.link(output.path, page)
    except OSError:  # a file system without hard links
        shutil.copyfile(output.path, page)
    return page


def _render_markdown(output: Output, page: Path) -> None:
    from markdown_it import MarkdownIt

    text = MarkdownIt("commonmark", {"html": False}).enable("table").render(output.path.read_text(encoding="utf-8"))
    report = reports.Report(output.task)
    report.add(output.name, Markup(text))  # noqa: S704 (HTML in the source is escaped by the renderer)
    report.write(page)


def _link(run: Run, path: Path, words: str) -> Markup:
    try:
        address = quote(path.relative_to(run.folder).as_posix())
    except ValueError:  # an artifact outside the run, as an importer makes
        address = path.as_uri() if path.is_absolute() else quote(path.as_posix())
    return Markup('<a href="{}">{}</a>').format(address, words)


def _short(value: Any) -> str:
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.4g}"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"{int(value):,}"
    text = str(value)
    is_digest = len(text) == 64 and all(letter in "0123456789abcdef" for letter in text)
    return text[:12] if is_digest else text
