"""``kubeline run`` and ``kubeline schema``."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from kubeline.cli import catalogue
from kubeline.cli.parser import add_command
from kubeline.cli.terminal import Terminal, table, words
from kubeline.errors import UserError
from kubeline.local import parameters
from kubeline.local.containers import Containers
from kubeline.local.following import PageFollower
from kubeline.local.overview import write_overview
from kubeline.local.progress import StepDisplay
from kubeline.local.runner import Run
from kubeline.local.runner import run as run_locally
from kubeline.local.summary import conclusion, outputs, write_page
from kubeline.local.tasks import Output
from kubeline.resources import pipeline_file

_TABLE_WIDTH = 80  # of a terminal, below which the columns of a table hold single words


def add_parser(commands: Any) -> None:
    """Add both commands."""
    doing = "run a compiled pipeline on this machine"
    described = f"{doing}; behind the name of a pipeline, --help lists its parameters"
    parser = add_command(commands, "run", doing, run, description=described, add_help=False)
    parser.add_argument("-h", "--help", action=_Help, help="show this, and the parameters of the pipeline")
    catalogue.add_pipeline(parser)
    catalogue.add_values(parser)
    parser.add_argument("--output", type=Path, default=Path("runs"), metavar="FOLDER", help="where runs go (runs)")
    add_runner(parser)
    parser = add_command(commands, "schema", "print the JSON schema of a pipeline's parameter file", schema)
    catalogue.add_pipeline(parser)


def add_runner(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what the steps run in."""
    parser.add_argument(
        "--runner",
        choices=("process", "docker"),
        default="process",
        help="processes of this environment, or containers of the steps' own images (process)",
    )
    parser.add_argument(
        "--mount",
        action="append",
        default=[],
        type=Path,
        metavar="PATH",
        help="with --runner docker: what containers see besides the current folder and --output",
    )
    parser.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="NAME",
        help="with --runner docker: a variable of the environment that containers get",
    )


class _Help(argparse.Action):
    """Prints the help of the command, and behind it the parameters of the pipeline that was named."""

    def __init__(self, option_strings: Sequence[str], dest: str, **settings: Any):
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, **settings)

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> NoReturn:
        parser.print_help()
        if name := getattr(namespace, "pipeline", None):
            print(f"\n{catalogue.parameters_of(pipeline_file(name))}")
        parser.exit()


def run(options: argparse.Namespace) -> int:
    """Run a pipeline, then show what it made."""
    pipeline = pipeline_file(options.pipeline)
    given = parameters.assigned(pipeline, parameters.read_parameters(options.params, {}), options.set)
    values = parameters.check(pipeline, given)
    name = parameters.signature(pipeline).__name__
    containers = _containers(options)
    if containers:
        containers.check(pipeline, values, options.output)
    console = Terminal()
    console.print(f"[bold]{name}[/]")
    with StepDisplay(console) as display:
        follower = PageFollower(pipeline, options.output)
        result = run_locally(pipeline, name, values, options.output, display.show, follower.write, containers)
    made = outputs(result, pipeline)
    page = write_page(result, made, pipeline)
    write_overview(options.output)
    _show(console, result, made)
    console.print(f"page  {page}\nlog   {result.log}", soft_wrap=True)
    console.print_end(conclusion(result, made))
    return result.exit_code


def _containers(options: argparse.Namespace) -> Containers | None:
    if options.runner == "docker":
        return Containers(tuple(options.mount), tuple(options.env))
    if options.mount or options.env:
        raise UserError("--mount and --env are for containers; give --runner docker as well, or leave them out")
    return None


def schema(options: argparse.Namespace) -> None:
    """Print the JSON schema of the parameter file."""
    print(json.dumps(parameters.signature(pipeline_file(options.pipeline)).model_json_schema(), indent=2))


def _show(console: Terminal, result: Run, made: Sequence[Output]) -> None:
    rows = [(one.task, one.name, one.kind, words(one.facts(most=5))) for one in made if not one.is_report]
    shown = table("step", "output", "kind", "facts")
    for row in rows:
        shown.add_row(*row)
    if rows and console.width >= _TABLE_WIDTH:  # the page has the reports
        console.print(shown)
    elif rows:
        console.print("\n".join(f"{task} {name}: {facts}" for task, name, _, facts in rows), soft_wrap=True)
    for output in made:
        if output.verdict:
            console.print(f"[bold]{output.task}: {output.verdict}[/]", soft_wrap=True)
            for reason in output.reasons():
                console.print(f"  - {words(reason)}", soft_wrap=True)
        for warning in output.warnings:
            console.print(f"[yellow]warning[/] {output.task}: {words(warning)}", soft_wrap=True)
