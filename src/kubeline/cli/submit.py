"""``kubeline submit``, ``kubeline runs`` and ``kubeline logs``: runs on a platform."""

import argparse
import datetime
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.markup import escape

from kubeline.cli import catalogue
from kubeline.cli.local_runs import local_runs
from kubeline.cli.parser import add_command, seconds, whole
from kubeline.cli.platforms import add_platform, add_vertex_job, kubeflow, labels, parameters, vertex
from kubeline.cli.terminal import Terminal, table
from kubeline.local.progress import StepDisplay
from kubeline.local.runner import TaskEvent
from kubeline.platform.compiled import Compiled
from kubeline.platform.following import RunSnapshot, follow, moment
from kubeline.printable import printable
from kubeline.resources import pipeline_file

# Identifier, page, whether a version was uploaded, and how to ask for the state of a run.
_Started = tuple[str, str, bool, Callable[[], RunSnapshot]]

_DAY = 86_400.0
_FAILED, _INTERRUPTED = 1, 130


def add_parser(commands: Any) -> None:
    """Add the three commands."""
    words = "run a compiled pipeline on Kubeflow Pipelines or Vertex, and follow it to its end"
    parser = add_command(commands, "submit", words, submit)
    catalogue.add_pipeline(parser)
    catalogue.add_values(parser)
    parser.add_argument("--name", default="", help="of the run (the pipeline's, and the time)")
    parser.add_argument("--experiment", default="Default", help="of Kubeflow, that the run belongs to (Default)")
    parser.add_argument("--service-account", default="", metavar="NAME", help="of the steps (the installation's)")
    parser.add_argument(
        "--cache",
        action=argparse.BooleanOptionalAction,
        help="whether steps may take outputs from the cache (as compiled)",
    )
    parser.add_argument("--no-wait", action="store_true", help="do not follow the run")
    parser.add_argument("--timeout", type=seconds, default=_DAY, metavar="SECONDS", help="to follow it (a day)")
    parser.add_argument("--poll", type=seconds, default=5.0, metavar="SECONDS", help="between two requests (5)")
    add_platform(parser)
    add_vertex_job(parser)
    parser = add_command(commands, "runs", "list runs on a platform or of this machine, or show one", runs)
    parser.add_argument("run", nargs="?", default="", help="identifier or name of one run (all of them)")
    parser.add_argument(
        "--limit", type=whole(1, 1_000), default=20, metavar="N", help="how many, the newest first (20)"
    )
    parser.add_argument("--failed", action="store_true", help="only those that failed")
    parser.add_argument("--experiment", default="", help="only those of this experiment of Kubeflow")
    parser.add_argument("--output", type=Path, default=Path("runs"), metavar="FOLDER", help="of --to here (runs)")
    add_platform(parser, here=True)
    parser = add_command(commands, "logs", "print what a step of a run on a platform has printed", logs)
    parser.add_argument("run", help="identifier or name of the run")
    parser.add_argument("step", help="name of the step; in a loop with the iteration's number: 'train 0'")
    add_platform(parser)


def submit(options: argparse.Namespace) -> int:
    """Run the pipeline, and follow it; the exit code is the outcome's."""
    file = pipeline_file(options.pipeline, options.platform)
    values = parameters(options, file)
    compiled = Compiled.read(file, options.cache)
    start = _start_on_kubeflow if options.platform == "kubeflow" else _start_on_vertex
    identifier, page, uploaded, read = start(options, compiled, options.name or _name(compiled.name), values)
    console = Terminal()
    console.print(f"run     {escape(identifier)}", soft_wrap=True)
    console.print(f"version {compiled.version}{' (uploaded)' if uploaded else ''}", soft_wrap=True)
    console.print(f"page    {escape(page)}", soft_wrap=True)
    if options.no_wait:
        return 0
    steps = _Steps(console)
    again = f"kubeline runs {identifier}" + (" --to vertex" if options.platform == "vertex" else "")
    try:
        with steps.display:
            ended = follow(read, steps.show, options.timeout, options.poll, again)
    except KeyboardInterrupt:
        console.print(f"the run goes on; {again} shows its state", soft_wrap=True)
        return _INTERRUPTED
    return _report_end(console, ended)


def _start_on_kubeflow(options: argparse.Namespace, compiled: Compiled, name: str, values: dict[str, Any]) -> _Started:
    """Upload the pipeline if this version is not there, and run it."""
    from kubeline.platform.kfp import runs as of_kfp
    from kubeline.platform.kfp import versions

    connection = kubeflow(options)
    version = versions.ensure(connection, compiled)
    request = of_kfp.RunRequest(name, values, options.experiment, options.service_account)
    run = of_kfp.start(connection, version, request)
    return run, of_kfp.page(connection, run), version.uploaded, lambda: of_kfp.snapshot(connection, run)


def _start_on_vertex(options: argparse.Namespace, compiled: Compiled, name: str, values: dict[str, Any]) -> _Started:
    """Run the pipeline as a job, which holds all of it."""
    from kubeline.platform.vertex import jobs

    request = jobs.JobRequest(
        values, options.pipeline_root, options.service_account, options.network, options.kms_key, labels(options)
    )
    connection = vertex(options)
    run = jobs.start(connection, jobs.described(compiled, request, name), name)
    return run, jobs.page(connection, run), False, lambda: jobs.snapshot(connection, run)


def runs(options: argparse.Namespace) -> int:
    """A table of runs; or one run, with its failed step."""
    console = Terminal()
    if options.platform == "here":
        return local_runs(console, options)
    if options.run:
        page, state, snapshot = _one(options)
        for step in snapshot.steps:
            console.print(f"  {step.state:<9} {escape(step.name)}", soft_wrap=True)
        console.print(f"page  {escape(page)}", soft_wrap=True)
        if snapshot.ended:
            return _report_end(console, snapshot.ended)
        console.print(f"[bold]{state.lower()}[/]")
        return 0
    shown = table("run", "name", "state", "started", "took")
    for identifier, name, state, began, ended in _listed(options):
        shown.add_row(identifier, escape(name), state.lower(), f"{began:%Y-%m-%d %H:%M}", _took(began, ended))
    console.print(shown)
    return 0


def _one(options: argparse.Namespace) -> tuple[str, str, RunSnapshot]:
    """The page, the state and the steps of one run."""
    from kubeline.platform.kfp import runs as of_kfp
    from kubeline.platform.vertex import jobs

    if options.platform == "vertex":
        there = vertex(options)
        job = jobs.read(there, options.run)
        return (
            jobs.page(there, options.run),
            jobs.state_of(job),
            RunSnapshot(jobs.steps_of(job), jobs.ended(there, job)),
        )
    connection = kubeflow(options)
    run = of_kfp.read(connection, options.run)
    return of_kfp.page(connection, run["run_id"]), of_kfp.state_of(run), of_kfp.seen(connection, run)


def _listed(options: argparse.Namespace) -> Iterator[tuple[str, str, str, Any, Any]]:
    """Identifier, name, state, start and end of the latest runs."""
    from kubeline.platform.kfp import runs as of_kfp
    from kubeline.platform.vertex import jobs

    if options.platform == "vertex":
        for job in jobs.latest(vertex(options), options.limit, options.failed):
            identifier, times = job["name"].rpartition("/")[2], [job.get(key) for key in ("createTime", "endTime")]
            yield identifier, job["displayName"], jobs.state_of(job), *map(moment, times)
        return
    wanted = "FAILED" if options.failed else ""
    for run in of_kfp.latest(kubeflow(options), options.limit, wanted, options.experiment):
        state = "CANCELLED" if of_kfp.was_cancelled(run) else of_kfp.state_of(run)
        times = [run.get(key) for key in ("created_at", "finished_at")]
        yield run["run_id"], run.get("display_name", ""), state, *map(moment, times)


def logs(options: argparse.Namespace) -> None:
    """The log of one step; control sequences in it are escaped."""
    from kubeline.platform.kfp import runs as of_kfp
    from kubeline.platform.vertex import jobs

    if options.platform == "vertex":
        there = vertex(options)
        text = jobs.log(there, jobs.read(there, options.run), options.step)
    else:
        connection = kubeflow(options)
        text = of_kfp.log(connection, of_kfp.read(connection, options.run), options.step)
    text = text.replace("\r\n", "\n").replace("\r", "\n")  # progress bars go back to the line's begin
    print(printable(text), end="" if text.endswith("\n") else "\n")


class _Steps:
    """Shows steps as a local run does."""

    def __init__(self, console: Terminal) -> None:
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


def _report_end(console: Terminal, ended: Any) -> int:
    """Print how a run ended; the exit code that goes with it."""
    if ended.state == "SUCCEEDED":
        console.print("[green bold]succeeded[/]")
        return 0
    where = f"{ended.step}: " if ended.step else ""
    console.print(f"[red bold]{ended.state.lower()}[/] {escape(where + ended.sentence)}", soft_wrap=True)
    return _FAILED


def _name(pipeline: str) -> str:
    now = datetime.datetime.now(datetime.UTC)
    return f"{pipeline}-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def _took(began: Any, ended: Any) -> str:
    if not ended or not began:
        return ""
    return str(ended - began).partition(".")[0]
