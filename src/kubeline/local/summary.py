"""What a run made: its outputs as a list, and one page that links every report."""

import json
import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup
from pydantic_core import PydanticUndefined

from kubeline import reports
from kubeline.decision import tone
from kubeline.local.graph import dependencies
from kubeline.local.parameters import signature
from kubeline.local.result import FILE, RUNNING, RunResult, concluded
from kubeline.local.runner import Run
from kubeline.local.steps import clock, duration, steps
from kubeline.local.tasks import Output, log_file, written
from kubeline.printable import shown
from kubeline.yaml_files import first_document


@dataclass(frozen=True)
class PipelineShape:
    """What the page of a run needs of its compiled pipeline.

    Attributes:
        components: of the specification.
        waits: the tasks, each with those that it waits for.
        defaults: of the parameters; without those that must be given.
    """

    components: Mapping[str, Any]
    waits: Mapping[str, set[str]]
    defaults: Mapping[str, Any]

    @classmethod
    def of(cls, pipeline: Path) -> "PipelineShape":
        """Read it."""
        document = first_document(pipeline, "pipeline file")
        fields = signature(pipeline).model_fields
        defaults = {name: field.default for name, field in fields.items()}
        return cls(document["components"], dependencies(document), defaults)


def outputs(run: Run, pipeline: Path) -> list[Output]:
    """The artifacts of a run, in the order in which their tasks ended."""
    return outputs_in(run.folder, first_document(pipeline, "pipeline file")["components"])


def outputs_in(folder: Path, components: Mapping[str, Any], tasks: Collection[str] | None = None) -> list[Output]:
    """The artifacts in the folder of a run, of these tasks alone where they are given."""
    return [replace(one, kind=_kind(components[f"comp-{one.component}"], one.name)) for one in written(folder, tasks)]


def write_page(run: Run, made: Sequence[Output], pipeline: Path) -> Path:
    """Write the run's ``index.html``, and what it came to into its ``result.json``; returns the page.

    The page says how the run ended and why, then shows the steps as they ran, the decisions, the parameters,
    and a link to everything that was made.

    Args:
        run: that has ended.
        made: its outputs.
        pipeline: the compiled pipeline.
    """
    result = conclusion(run, made)
    result.write(run.folder)
    target = run.folder / "index.html"
    page_of(run, result, made, PipelineShape.of(pipeline)).write(target)
    return target


def page_of(
    run: Run, result: RunResult, made: Sequence[Output], shape: PipelineShape, *notes: Markup
) -> reports.Report:
    """The page of a run that has ended or goes on; `notes` are blocks below the verdict."""
    page = reports.Report(f"{result.pipeline}: {result.word}", run.folder.name)
    why = [result.sentence] if result.sentence else []
    heading = "So far" if result.verdict == RUNNING else "How it ended"
    page.add(heading, reports.verdict(result.word, result.tone, why), *notes, reports.facts(_facts(run, result)))
    page.add("Steps", *steps(result, made, shape.waits, _logs(run, result)))
    for output in made:
        if output.verdict:
            word = output.verdict.replace("_", " ")
            page.add(f"{output.task}: {output.name}", reports.verdict(word, tone(output.verdict), output.reasons()))
    for output in made:
        if output.warnings:
            page.add(f"{output.task}: warnings", reports.verdict("warnings", "warn", output.warnings))
    pages = [(output, file) for output in made if (file := _readable(run, output))]
    if pages:
        page.add("Reports", reports.table(["step", "report"], [[o.task, _link(run, f, o.name)] for o, f in pages]))
    page.add("Parameters", *_parameters(run, shape.defaults))
    rows = [[o.task, _link(run, o.path, o.name) if o.path.exists() else o.name, o.kind, o.facts()] for o in made]
    if rows:
        page.add("Everything that was made", reports.table(["step", "output", "kind", "facts"], rows))
    return page


def conclusion(run: Run, made: Sequence[Output]) -> RunResult:
    """How the run ended, by what its steps decided."""
    return concluded(RunResult.read(run.folder / FILE), made, arguments(run))


def arguments(run: Run) -> dict[str, Any]:
    """What the run was given, without its secrets."""
    return dict(json.loads((run.folder / "arguments.json").read_text(encoding="utf-8")))


def _facts(run: Run, result: RunResult) -> dict[str, Any]:
    found: dict[str, Any] = {"model": result.model} if result.model else {}
    if result.estimate:
        found["decided by"] = str(result.estimate)
    if result.serves:
        found["serves now"] = result.serves
    took = "has taken" if result.verdict == RUNNING else "took"
    found |= {"began": clock(result.started), took: duration(result.seconds)}
    return found | {"log": _link(run, run.log, "log.txt")}


def _logs(run: Run, result: RunResult) -> dict[str, Markup]:
    """A link to the log of each step that printed something."""
    files = {one.task: log_file(run.folder, one.task) for one in result.tasks}
    return {task: _link(run, file, task) for task, file in files.items() if file.exists()}


def _parameters(run: Run, defaults: Mapping[str, Any]) -> list[Markup]:
    """What was given beside its default, and the rest folded up."""
    given = arguments(run)
    usual = {name: "" if default is PydanticUndefined else shown(default) for name, default in defaults.items()}
    rows = [[name, shown(value), usual.get(name, "")] for name, value in given.items()]
    rest = [[name, default] for name, default in usual.items() if name not in given]
    blocks = [reports.table(["parameter", "given", "default"], rows) if rows else reports.text("None was given.")]
    if rest:
        table = reports.table(["parameter", "default"], rest)
        words = f"{len(rest)} more at their defaults"
        blocks.append(Markup("<details><summary>{}</summary>{}</details>").format(words, table))
    return blocks


def _kind(component: Mapping[str, Any], output: str) -> str:
    artifact = component["outputDefinitions"]["artifacts"][output]
    return str(artifact["artifactType"]["schemaTitle"]).removeprefix("system.")


def _readable(run: Run, output: Output) -> Path | None:
    """A report under a name that browsers open as a page; None for what is no report."""
    if not output.is_report or not output.path.is_file():
        return None
    page = run.folder / "reports" / f"{output.task.replace(' ', '-')}-{output.name}.html"
    page.parent.mkdir(exist_ok=True)
    if page.exists() and page.samefile(output.path):
        return page
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

    renderer = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = renderer.parse(output.path.read_text(encoding="utf-8"))
    headings = [token for token in tokens if token.type in {"heading_open", "heading_close"}]
    below = 3 - min((int(token.tag[1]) for token in headings), default=3)  # those of the page are of the first two
    for token in headings:
        token.tag = f"h{min(int(token.tag[1]) + below, 6)}"
    report = reports.Report(output.task)
    text = renderer.renderer.render(tokens, renderer.options, {})
    report.add(output.name, Markup(text))  # noqa: S704 (HTML in the source is escaped by the renderer)
    report.write(page)


def _link(run: Run, path: Path, words: str) -> Markup:
    try:
        address = quote(path.relative_to(run.folder).as_posix())
    except ValueError:  # an artifact outside the run, as an importer makes
        address = path.as_uri() if path.is_absolute() else quote(path.as_posix())
    return Markup('<a href="{}">{}</a>').format(address, words)
