"""``kubeline run`` and ``kubeline schema``."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kubeline.errors import UserError
from kubeline.local import parameters
from kubeline.local.overview import write_overview
from kubeline.local.progress import StepDisplay
from kubeline.local.result import Result
from kubeline.local.runner import Run
from kubeline.local.runner import run as run_locally
from kubeline.local.summary import Output, conclusion, outputs, write_page
from kubeline.printable import printable
from kubeline.resources import pipeline_file
from kubeline.yaml_files import parse

_COLOURS = {"good": "green", "warn": "yellow", "bad": "red", "plain": "default"}


def add_parser(commands: Any) -> None:
    """Add both commands."""
    parser = commands.add_parser("run", help="run a compiled pipeline on this machine")
    _pipeline(parser)
    parser.add_argument("--params", type=Path, metavar="FILE", help="YAML file of parameter values")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="one parameter; the value is read as YAML"
    )
    parser.add_argument("--output", type=Path, default=Path("runs"), metavar="FOLDER", help="where runs go (runs)")
    parser.set_defaults(command=run)

    parser = commands.add_parser("schema", help="print the JSON schema of a pipeline's parameter file")
    _pipeline(parser)
    parser.set_defaults(command=schema)


def _pipeline(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pipeline", help="name of a pipeline of this repository, or path of a compiled YAML file")


def run(options: argparse.Namespace) -> int:
    """Run a pipeline, then show what it made."""
    pipeline = pipeline_file(options.pipeline)
    values = parameters.check(pipeline, parameters.read_parameters(options.params, _assignments(options.set)))
    name = parameters.signature(pipeline).__name__
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 140  # a log has no width of its own
    console.print(f"[bold]{name}[/]")
    with StepDisplay(console) as display:
        result = run_locally(pipeline, name, values, options.output, display.show)
    made = outputs(result, pipeline)
    page = write_page(result, made, pipeline)
    write_overview(options.output)
    _show(console, result, made)
    console.print(f"page  {page}\nlog   {result.log}", soft_wrap=True)
    _last(console, conclusion(result, made))
    return 0 if result.succeeded else 1


def schema(options: argparse.Namespace) -> int:
    """Print the JSON schema of the parameter file."""
    print(json.dumps(parameters.signature(pipeline_file(options.pipeline)).model_json_schema(), indent=2))
    return 0


def _assignments(pairs: Sequence[str]) -> dict[str, Any]:
    values = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UserError(f"--set takes NAME=VALUE, but '{pair}' was given")
        values[name] = parse(value, f"--set {name}")
    return values


def _show(console: Console, result: Run, made: Sequence[Output]) -> None:
    table = Table("step", "output", "kind", "facts", box=None, header_style="bold", pad_edge=False)
    for output in made:
        if not output.is_report:  # the page has them
            table.add_row(output.task, output.name, output.kind, _words(output.facts(most=5)))
    console.print(table)
    for output in made:
        if output.verdict:
            console.print(f"[bold]{output.task}: {output.verdict}[/]", soft_wrap=True)
            for reason in output.reasons():
                console.print(f"  - {_words(reason)}", soft_wrap=True)
        for warning in output.warnings:
            console.print(f"[yellow]warning[/] {output.task}: {_words(warning)}", soft_wrap=True)


def _last(console: Console, result: Result) -> None:
    """The last line: how the run ended, by its verdict."""
    colour = _COLOURS[result.tone]
    found = [part for part in (str(result.estimate or ""), result.sentence) if part]
    console.print(f"[{colour} bold]{result.word}[/] {_words('; '.join(found))}", soft_wrap=True)


def _words(text: str) -> str:
    """Words of a table as words for the terminal."""
    return escape(printable(text))
