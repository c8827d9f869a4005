"""``kubeline compare``: two runs of this machine beside each other."""

import argparse
from pathlib import Path
from typing import Any

from kubeline.cli.parser import add_command


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "compare", "compare two runs: parameters, data, metrics, reports", compare)
    parser.add_argument("first", type=Path, metavar="RUN", help="folder of a run, such as runs/training-20130101-1200")
    parser.add_argument("second", type=Path, metavar="RUN", help="folder of another")
    parser.add_argument("--output", type=Path, metavar="FILE", help="the page (compared/A--B.html beside the second)")


def compare(options: argparse.Namespace) -> None:
    """Print what differs, and where the page is."""
    from kubeline.local import comparison

    first, second = (comparison.RecordedRun.read(folder.absolute()) for folder in (options.first, options.second))
    name = f"{first.folder.name}--{second.folder.name}.html"
    page = options.output or second.folder.parent / "compared" / name
    page.parent.mkdir(parents=True, exist_ok=True)
    lines = comparison.compare(first, second, page.absolute())
    for letter, run in {"A": first, "B": second}.items():
        print(f"{letter}  {run.folder.name}: {run.result.word} {run.result.estimate or ''}".rstrip())
    for line in lines or ["nothing differs"]:
        print(f"   {line}")
    print(f"page  {page.absolute()}")
