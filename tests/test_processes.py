"""Child processes end with their parent, and stop in time."""

import subprocess
import sys

import pytest

from kubeline.processes import ExitedError, bound_command, stop, wait_until_ready

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(600)"
)
PARENT = f"""
import subprocess, time
subprocess.Popen({bound_command("http.server", "--bind", "127.0.0.1", "0")}, stdin=subprocess.PIPE)
time.sleep(600)
"""


def test_a_bound_process_ends_with_a_parent_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-u", "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert "Serving HTTP" in parent.stdout.readline()
        parent.kill()
        assert parent.stdout.read() == ""  # the end of the pipe, which the child holds as well


def test_what_does_not_end_when_it_is_asked_to_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "on\n"
        assert stop(process, grace_seconds=0.1) == -9


def test_a_process_that_ends_before_it_is_ready_says_by_which_code() -> None:
    with subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"]) as process:
        with pytest.raises(ExitedError, match="exit code 7") as raised:
            wait_until_ready(process, lambda: False, timeout_seconds=60)
        assert raised.value.code == 7


def test_a_process_that_is_never_ready_is_waited_for_in_vain() -> None:
    with subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.DEVNULL) as process:
        with pytest.raises(TimeoutError):
            wait_until_ready(process, lambda: False, timeout_seconds=0.1)
        process.kill()
