"""``kubeline runs --to here``: what the page of all runs of this machine shows, in the terminal."""

import argparse

from rich.table import Table

from kubeline.cli.terminal import Terminal, table, words
from kubeline.errors import UserError, counted
from kubeline.local.overview import Past, grouped, took
from kubeline.local.result import TONE_COLOURS
from kubeline.local.steps import clock


def local_runs(console: Terminal, options: argparse.Namespace) -> int:
    """The latest runs of each pipeline and model; or one run, by its folder's name; the exit code is 1 if it failed."""
    if not options.output.is_dir():
        raise UserError(f"there is no folder '{options.output}'; give the --output of kubeline run")
    groups = grouped(options.output)
    if options.run:
        return _one(console, options, [past for runs in groups.values() for past in runs])
    for name, runs in groups.items():
        wanted = [past for past in runs if not options.failed or past.result.word == "failed"]
        if wanted:
            console.print(f"[bold]{words(name)}[/], {counted(len(wanted), 'run')}", soft_wrap=True)
            serving = next((past for past in runs if past.result.serves), None)
            if serving:
                since = clock(serving.result.started)
                console.print(f"{words(serving.result.serves)} was brought to serving last, by the run of {since}")
            console.print(_table(wanted[: options.limit]))
    return 0


def _table(runs: list[Past]) -> Table:
    shown = table("run", "verdict", "decided by", "started", "took", "why")
    for folder, result, _ in runs:
        word = f"[{TONE_COLOURS[result.tone]}]{words(result.word)}[/]"
        why = words(result.sentence or result.reason)
        decided = words(str(result.estimate or ""))
        shown.add_row(words(folder), word, decided, clock(result.started), took(result), why)
    return shown


def _one(console: Terminal, options: argparse.Namespace, runs: list[Past]) -> int:
    found = next((past.result for past in runs if past.folder == options.run), None)
    if found is None:
        raise UserError(f"there is no run '{options.run}' in '{options.output}'; kubeline runs --to here lists them")
    for one in found.tasks:
        console.print(f"  {one.state:<9} {words(one.task)}", soft_wrap=True)
    console.print(f"page  {options.output / options.run / 'index.html'}", markup=False, soft_wrap=True)
    console.print_end(found)
    return int(found.word == "failed")
