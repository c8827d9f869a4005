"""Runs a program that ends with its parent.

    python -m kubeline.processes embedded_kserve.data_plane.program PROGRAM ARGUMENTS…

Its process group ends with the parent, so this must lead one (``start_new_session=True``), and the program is in it.
"""

import signal
import subprocess
import sys


def main() -> int:
    """Run the program of the arguments; pass SIGTERM on to it. Returns its exit code."""
    process = subprocess.Popen(sys.argv[1:])  # noqa: S603 - the caller's own words
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    return process.wait()


if __name__ == "__main__":
    sys.exit(main())
