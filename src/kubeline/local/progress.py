"""Shows the steps of a run as they go, one line each."""

import time
from collections import defaultdict
from typing import Self

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from kubeline.local.runner import TaskEvent


class StepDisplay:
    """A live list of steps on a terminal; where there is none, a line when a step ends."""

    def __init__(self, console: Console):
        self._console = console
        self._progress = Progress(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        # by name, which steps of nested pipelines may share
        self._running: defaultdict[str, list[tuple[TaskID, float]]] = defaultdict(list)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, event: TaskEvent) -> None:
        """Show that a task started or ended."""
        if event.state == "started":
            row = self._progress.add_task(event.task, total=1)
            self._running[event.task].append((row, time.monotonic()))
            return
        row, started = self._running[event.task].pop(0)
        self._progress.remove_task(row)
        good, bad = "+x" if self._console.options.ascii_only else "✓✗"
        mark = f"[green]{good}[/]" if event.state == "succeeded" else f"[red]{bad}[/]"
        self._console.print(f"  {mark} {event.task:<16} {time.monotonic() - started:6.1f} s")
