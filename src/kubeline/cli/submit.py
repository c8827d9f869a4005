"""``kubeline submit``, ``kubeline runs`` and ``kubeline logs``: runs on a platform."""

import argparse
import datetime
import secrets
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kubeline.cli.platforms import add_kubeflow, kubeflow, parameters
from kubeline.local.progress import StepDisplay
from kubeline.local.runner import TaskEvent
from kubeline.platform.compiled import Compiled
from kubeline.resources import pipeline_file

_DAY = 86_400.0
_FAILED, _INTERRUPTED = 1, 130


def add_parser(commands: Any) -> None:
    """Add the three commands."""
    words = "run a compiled pipeline on Kubeflow Pipelines, and follow it to its end"
    parser = commands.add_parser("submit", help=words, description=words)
    parser.add_argument("pipeline", help="name of a pipeline of this repository, or path of a compiled YAML file")
    parser.add_argument("--params", type=Path, metavar="FILE", help="YAML file of parameter values")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="one parameter; the value is read as YAML"
    )
    parser.add_argument("--name", default="", help="of the run (the pipeline's, and the time)")
    parser.add_argument("--experiment", default="Default", help="that the run belongs to (Default)")
    parser.add_argument("--service-account", default="", metavar="NAME", help="of the steps (the installation's)")
    parser.add_argument(
        "--cache",
        action=argparse.BooleanOptionalAction,
        help="whether steps may take outputs from the cache (as compiled)",
    )
    parser.add_argument("--no-wait", action="store_true", help="do not follow the run")
    parser.add_argument("--timeout", type=float, default=_DAY, metavar="SECONDS", help="to follow it (a day)")
    parser.add_argument("--poll", type=float, default=5.0, metavar="SECONDS", help="between two looks (5)")
    add_kubeflow(parser)
    parser.set_defaults(command=submit)

    words = "list runs on Kubeflow Pipelines, or tell how one is"
    parser = commands.add_parser("runs", help=words, description=words)
    parser.add_argument("run", nargs="?", default="", help="identifier or name of one run (all of them)")
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="how many, the newest first (20)")
    parser.add_argument("--failed", action="store_true", help="only those that failed")
    parser.add_argument("--experiment", default="", help="only those of this experiment")
    add_kubeflow(parser)
    parser.set_defaults(command=runs)

    words = "print what a step of a run on Kubeflow Pipelines has printed"
    parser = commands.add_parser("logs", help=words, description=words)
    parser.add_argument("run", help="identifier or name of the run")
    parser.add_argument("step", help="name of the step; in a loop with the iteration's number: 'train 0'")
    add_kubeflow(parser)
    parser.set_defaults(command=logs)


def submit(options: argparse.Namespace) -> int:
    """Upload the pipeline if this version is not there, run it, and follow it; the exit code is the outcome's."""
    from kubeline.platform.kfp import runs as of_kfp
    from kubeline.platform.kfp import versions

    file = pipeline_file(options.pipeline)
    values = parameters(options, file)
    compiled = Compiled.read(file, options.cache)
    connection = kubeflow(options)
    version = versions.ensure(connection, compiled)
    request = of_kfp.Request(options.name or _name(compiled.name), values, options.experiment, options.service_account)
    identifier = of_kfp.start(connection, version, request)
    console = _console()
    console.print(f"[bold]{escape(request.name)}[/] {identifier}", soft_wrap=True)
    console.print(f"version {compiled.version}{' (uploaded)' if version.uploaded else ''}", soft_wrap=True)
    console.print(f"page  {of_kfp.page(connection, identifier)}", soft_wrap=True)
    if options.no_wait:
        return 0
    steps = _Steps(console)
    try:
        with steps.display:
            ended = of_kfp.follow(connection, identifier, steps.show, options.timeout, options.poll)
    except KeyboardInterrupt:
        console.print(f"the run goes on; kubeline runs {identifier} tells how it is", soft_wrap=True)
        return _INTERRUPTED
    return _told(console, ended)


def runs(options: argparse.Namespace) -> int:
    """A table of runs; or one run, with its failed step."""
    from kubeline.platform.kfp import runs as of_kfp

    connection, console = kubeflow(options), _console()
    if options.run:
        run = of_kfp.read(connection, options.run)
        steps = of_kfp.steps_of(run)
        for step in steps:
            console.print(f"  {step.state:<9} {escape(step.name)}", soft_wrap=True)
        console.print(f"page  {of_kfp.page(connection, run.run_id)}", soft_wrap=True)
        if run.state not in of_kfp.ENDED:
            console.print(f"[bold]{str(run.state or 'pending').lower()}[/]")
            return 0
        return _told(console, of_kfp.ended(connection, run))
    table = Table("run", "name", "state", "started", "took", box=None, header_style="bold", pad_edge=False)
    for run in of_kfp.latest(connection, options.limit, "FAILED" if options.failed else "", options.experiment):
        name = escape(str(run.display_name or ""))
        state = "CANCELLED" if of_kfp.was_cancelled(run) else str(run.state or "PENDING")
        table.add_row(run.run_id, name, state.lower(), f"{run.created_at:%Y-%m-%d %H:%M}", _took(run))
    console.print(table)
    return 0


def logs(options: argparse.Namespace) -> int:
    """The log of one step."""
    from kubeline.platform.kfp import runs as of_kfp

    connection = kubeflow(options)
    print(of_kfp.log(connection, of_kfp.read(connection, options.run), options.step), end="")
    return 0


class _Steps:
    """Shows steps as a local run does."""

    def __init__(self, console: Console) -> None:
        self.display = StepDisplay(console)
        self._open: set[str] = set()

    def show(self, step: Any) -> None:
        """Show that a step started or ended; some are seen only when they have ended."""
        if step.path not in self._open:
            self._open.add(step.path)
            self.display.show(TaskEvent(step.name, "started"))
        if step.state in {"succeeded", "failed"}:
            self._open.remove(step.path)
            self.display.show(TaskEvent(step.name, step.state))


def _told(console: Console, ended: Any) -> int:
    """Print how a run ended; the exit code that goes with it."""
    if ended.state == "SUCCEEDED":
        console.print("[green bold]succeeded[/]")
        return 0
    where = f"{ended.step}: " if ended.step else ""
    console.print(f"[red bold]{ended.state.lower()}[/] {escape(where + ended.sentence)}", soft_wrap=True)
    return _FAILED


def _console() -> Console:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 140  # a log has no width of its own
    return console


def _name(pipeline: str) -> str:
    now = datetime.datetime.now(datetime.UTC)
    return f"{pipeline}-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def _took(run: Any) -> str:
    ended = run.finished_at
    if not ended or ended.year < 1971 or not run.created_at:  # 1970: it has not ended
        return ""
    return str(ended - run.created_at).partition(".")[0]
