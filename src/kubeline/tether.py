"""Runs a module as ``python -m`` does, and ends with the process that started it, even when that one is killed.

    python -m kubeline.tether kubeline_serving --model_dir …

Standard input is the tether: the parent holds its other end and never writes to it. When the parent is gone, for
whatever reason, the operating system closes that end, and the wait below is over. When the module leads a process group
(``start_new_session=True``), the whole group ends.
"""

import os
import runpy
import signal
import sys
import threading


def command(module: str, *words: str) -> list[str]:
    """The command line of a Python module under a tether; no module is taken from the working directory (``-P``)."""
    return [sys.executable, "-P", "-m", "kubeline.tether", module, *words]


def main() -> None:
    """Run the module named by the first argument, with the remaining ones."""
    threading.Thread(target=_wait_for_the_end, daemon=True).start()
    module = sys.argv[1]
    sys.argv = sys.argv[1:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _wait_for_the_end() -> None:
    os.read(sys.stdin.fileno(), 1)
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
