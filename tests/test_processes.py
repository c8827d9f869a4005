"""Child processes end with their parent, and stop in time."""

import signal
import subprocess
import sys
from contextlib import nullcontext

import pytest

from kubeline.processes import ExitedError, bound_command, ended_in_order, stop, unbroken, wait_until_ready

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


def test_a_request_to_end_waits_for_what_must_not_be_broken_off_and_for_nothing_else() -> None:
    done = []

    def work(is_unbroken: bool) -> None:
        with unbroken() if is_unbroken else nullcontext():
            with unbroken() if is_unbroken else nullcontext():
                signal.raise_signal(signal.SIGTERM)
            done.append("the block")
        done.append("what follows")

    for is_unbroken in (True, False):
        with pytest.raises(SystemExit) as ended, ended_in_order():
            work(is_unbroken)
        assert (done, ended.value.code) == (["the block"], 128 + signal.SIGTERM)
