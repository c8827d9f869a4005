"""The page of a run that goes on: written anew whenever a step begins or ends, as a file that needs no server."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import time

from markupsafe import Markup

from kubeline.local.overview import write_overview
from kubeline.local.result import RUNNING, concluded
from kubeline.local.runner import Run
from kubeline.local.running import SO_FAR, STILL
from kubeline.local.summary import PipelineShape, arguments, outputs_in, page_of

_SECONDS = 5  # after which a browser looks again
_FOLLOWS = Markup(
    "<p>This page is written whenever a step begins or ends, and loaded anew every {} seconds. "
    '<a href="{}">Let it stay as it is now</a></p>'
)
_STAYS = Markup('<p>This page does not load itself anew. <a href="index.html">Follow the run</a></p>')


class PageFollower:
    """Writes the pages of a run that goes on."""

    def __init__(self, pipeline: Path, root: Path):
        self._pipeline, self._root = pipeline, root
        self._shape: PipelineShape | None = None

    def write(self, run: Run) -> None:
        """Write the page of the run as it is now, and when it begins, that of all runs."""
        with suppress(OSError):  # what the run makes is worth more than a page that is gone when it ends
            self._write(run)

    def _write(self, run: Run) -> None:
        begins = self._shape is None
        shape = self._shape = self._shape or PipelineShape.of(self._pipeline)
        # of a task that has not ended the outputs may be half written
        made = outputs_in(run.folder, shape.components, {one.task for one in run.tasks if one.state == "succeeded"})
        so_far = run.result(time() - run.started)
        result = replace(concluded(so_far, made, arguments(run)), verdict=RUNNING, sentence=run.reason, serves="")
        result.write(run.folder, SO_FAR)
        for name, words, refresh in (
            ("index.html", _FOLLOWS.format(_SECONDS, STILL), _SECONDS),
            (STILL, _STAYS, 0),
        ):
            page = page_of(run, result, made, shape, words)
            page.refresh = refresh
            page.write(run.folder / name)
        if begins:
            write_overview(self._root)
