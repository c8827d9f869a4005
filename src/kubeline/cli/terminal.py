"""What the commands print of runs, on a terminal or into a log."""

from typing import NoReturn

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kubeline.local.result import TONE_COLOURS, RunResult
from kubeline.printable import printable


class Terminal(Console):
    """A console on which a closed pipe is an error of the command; a log, which has no width of its own, is wide."""

    def __init__(self) -> None:
        super().__init__(highlight=False)
        if not self.is_terminal:
            self.width = 140

    def on_broken_pipe(self) -> NoReturn:
        """Called by rich where it caught the error."""
        raise BrokenPipeError

    def print_end(self, result: RunResult) -> None:
        """Print how a run ended: its verdict, the figure that decided, and why."""
        found = [part for part in (str(result.estimate or ""), result.sentence or result.reason) if part]
        verdict = f"[{TONE_COLOURS[result.tone]} bold]{words(result.word)}[/]"
        self.print(f"{verdict} {words('; '.join(found))}", soft_wrap=True)


def words(text: str) -> str:
    """Words of a table or a stranger as words for the terminal."""
    return escape(printable(text))


def table(*columns: str) -> Table:
    """A table without lines."""
    return Table(*columns, box=None, header_style="bold", pad_edge=False)
