"""Runs a component again and again, killed before each rename of an output in turn.

    python -m tests.steps.killing COMPONENT ARGUMENTS FOLDER

ARGUMENTS is a JSON object of `{"artifacts": {name: [class, path]}, "parameters": {name: value}}` for the inputs. The
outputs of the clean run go to FOLDER/clean, those of the attempts, each killed once and then run again, to FOLDER/0,
FOLDER/1, … Prints the number of attempts.
"""

import contextlib
import importlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from kfp import dsl

_SEEN = "seen"  # of a run that was not killed: its modules and how often it renamed
_THREADED = {"onnxruntime"}  # starts threads when it is imported, which a fork does not take along


def main(name: str, arguments: str, folder: str) -> None:
    """Make the clean run, then an attempt for every rename, and print the number of attempts."""
    component = getattr(importlib.import_module(f"components.{name}.component"), name)
    given, base = json.loads(arguments), Path(folder)
    assert _run(component, given, base, kill_before=None) == 0
    (base / "out").rename(base / "clean")
    seen = json.loads((base / _SEEN).read_text(encoding="utf-8"))
    _import(seen["modules"])
    for attempt in range(seen["renames"]):
        assert _run(component, given, base, kill_before=attempt) == signal.SIGKILL
        assert _run(component, given, base, kill_before=None) == 0
        (base / "out").rename(base / str(attempt))
    (base / _SEEN).unlink()
    print(seen["renames"])


def _import(names: list[str]) -> None:
    """Import what the clean run has imported by its end, which every other one then need not."""
    for name in names:
        if name not in sys.modules and name.partition(".")[0] not in _THREADED:
            with contextlib.suppress(Exception):
                importlib.import_module(name)


def _run(component: Any, given: dict[str, Any], base: Path, kill_before: int | None) -> int:
    """Run in a child process, so that imports are paid once; returns the signal that ended it, or 0."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
        return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    renames = _Renames(base / "out", kill_before)
    sys.addaudithook(renames.seen)
    artifacts = {
        key: getattr(dsl, kind)(name=key, uri=path, metadata=metadata)
        for key, (kind, path, metadata) in given["artifacts"].items()
    }
    outputs = {
        key: getattr(dsl, output.type.split("@")[0].removeprefix("system."))(
            name=key, uri=str(base / "out" / key), metadata={}
        )
        for key, output in component.component_spec.outputs.items()
        if output.type.startswith("system.")
    }
    try:
        component.python_func(**artifacts, **outputs, **given["parameters"])
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(1)
    found = {"modules": [*sys.modules], "renames": renames.number}
    (base / _SEEN).write_text(json.dumps(found), encoding="utf-8")
    os._exit(0)


class _Renames:
    """Counts the renames into a folder, and ends the process before one of them."""

    def __init__(self, folder: Path, kill_before: int | None) -> None:
        self.number = 0
        self._folder = str(folder)
        self._kill_before = kill_before

    def seen(self, event: str, arguments: tuple[Any, ...]) -> None:
        """An audit hook."""
        if event == "os.rename" and str(arguments[1]).startswith(self._folder):
            if self.number == self._kill_before:
                os.kill(os.getpid(), signal.SIGKILL)
            self.number += 1


if __name__ == "__main__":
    main(*sys.argv[1:])
