"""Runs the command of a step and reports its start, its output and its end: ``python -m kubeline.local.step COMMAND…``.

The runner of a pipeline puts this in front of each step's command. So nothing has to be read out of KFP's log, and the
exit code of a step is known, which KFP's own runner does not report.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from kubeline.decision import TERMINATION_LOG
from kubeline.errors import NotKnownError, PlatformError, UserError
from kubeline.local.events import ADDRESS, Event, Reporter
from kubeline.local.tasks import label

_NAMES = {error.__name__ for error in (UserError, PlatformError, NotKnownError)}


def main(command: Sequence[str]) -> int:
    """Run the command; returns its exit code, 128 and more for a signal."""
    task = _task(command)
    with Reporter(os.environ.pop(ADDRESS)) as reporter, tempfile.NamedTemporaryFile() as sentence:
        reporter.send(Event("started", task))
        last = ""
        with subprocess.Popen(  # noqa: S603 (the step's own command)
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, TERMINATION_LOG: sentence.name},
        ) as process:
            assert process.stdout is not None  # noqa: S101 (it is a pipe)
            for line in process.stdout:
                reporter.send(Event("output", task, line))
                last = line.strip() or last
        code = process.returncode
        why = _why(code, sentence.read().decode(errors="replace").strip(), last) if code else ""
        reporter.send(Event("ended", task, why, code))
    return code if code >= 0 else 128 - code


def _task(command: Sequence[str]) -> str:
    """The step, by the file that KFP wants its outputs in."""
    given = json.loads(command[command.index("--executor_input") + 1])
    return label(Path(given["outputs"]["outputFile"]).parent)


def _why(code: int, sentence: str, last: str) -> str:
    """Why a step failed, never empty.

    Args:
        code: that it ended with.
        sentence: that it left, as every step of Kubeline does.
        last: line that it printed; of an exception that was not caught, its name and message.
    """
    if sentence:
        name, _, rest = sentence.partition(": ")
        return rest if name in _NAMES else sentence  # those names say no more than the exit code
    number = -code if code < 0 else code - 128  # a shell adds 128 to a signal
    if number in set(signal.Signals):
        name = signal.Signals(number).name
        return f"it was ended by {name}" + (", as a lack of memory does it" if name == "SIGKILL" else "")
    if code == 1 and last:
        return last
    return f"it ended with exit code {code} and " + (f"printed in the end: {last}" if last else "printed nothing")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
