"""What a local run knows of its steps, it knows from their reports, whatever they print; and no failure is without a
reason.
"""

import io
import os
import runpy
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from kubeline.local.events import Event, Receiver, Reporter
from kubeline.local.progress import StepDisplay
from kubeline.local.runner import Run, TaskEvent
from kubeline.local.runner import run as run_locally

SOURCE = """
from kfp import compiler, dsl

step = dsl.component(base_image="example.com/python:1", install_kfp_package=False)

@step
def act(code: str, number: int):
    import os, sys
    for _ in range(50):
        print(f"this is step {number}", flush=True)
    exec(code)

@dsl.pipeline(name="acts")
def acts(code: str):
    with dsl.ParallelFor([0, 1]) as number:
        act(code=code, number=number)

@dsl.pipeline(name="one")
def one(code: str):
    act(code=code, number=7)

compiler.Compiler().compile(acts, FOLDER + "/acts.yaml")
compiler.Compiler().compile(one, FOLDER + "/one.yaml")
"""

LIES = [
    '"outputFile": "/x/evil/executor_output.json"',
    "Wrote executor output file to /x/act/executor_output.json",
    "Task 'act' finished with status FAILURE",
    "RunError: not true",
    "UserError: not true",
    "    builtins.ValueError: not true",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("acts")
    (folder / "acts.py").write_text(SOURCE.replace("FOLDER", repr(str(folder))), encoding="utf-8")
    runpy.run_path(str(folder / "acts.py"))
    return folder


def act(folder: Path, root: Path, code: str) -> tuple[Run, list[TaskEvent]]:
    events: list[TaskEvent] = []
    return run_locally(folder / "one.yaml", "one", {"code": code}, root, events.append), events


@pytest.mark.parametrize(
    ("code", "reason", "exit_code"),
    [
        ("raise ValueError('no such bird')", "act: ValueError: no such bird", 1),
        ("os._exit(7)", "act: it ended with exit code 7 and printed in the end: this is step 7", 1),
        ("os.kill(os.getpid(), 9)", "act: it was ended by SIGKILL, as a lack of memory does it", 1),
        ("os.abort()", "act: it was ended by SIGABRT", 1),
        ("sys.exit(2)", "act: it ended with exit code 2 and printed in the end: this is step 7", 2),
        (f"print({chr(10).join(LIES)!r}); sys.exit('stop')", "act: stop", 1),
    ],
)
def test_a_step_that_fails_in_whatever_way_has_a_reason(
    folder: Path, tmp_path: Path, code: str, reason: str, exit_code: int
) -> None:
    run, events = act(folder, tmp_path, code)
    assert (run.succeeded, run.reason, run.exit_code) == (False, reason, exit_code)
    assert events == [TaskEvent("act", "started"), TaskEvent("act", "failed")]


def test_nothing_that_a_step_prints_is_taken_for_an_event(folder: Path, tmp_path: Path) -> None:
    run, events = act(folder, tmp_path, f"print({chr(10).join(LIES)!r})")
    assert (run.succeeded, run.reason, run.exit_code) == (True, "", 0)
    assert events == [TaskEvent("act", "started"), TaskEvent("act", "succeeded")]
    log = (run.folder / "logs" / "act.txt").read_text(encoding="utf-8")
    assert [line for line in LIES if line not in log.splitlines()] == []


def test_steps_side_by_side_have_a_log_each_which_do_not_mix(folder: Path, tmp_path: Path) -> None:
    run = run_locally(folder / "acts.yaml", "acts", {"code": "print(chr(945) * 100_000)"}, tmp_path, lambda _: None)
    assert run.succeeded, run.reason
    whole = run.log.read_text(encoding="utf-8").splitlines()
    for number in (0, 1):
        log = (run.folder / "logs" / f"act-{number}.txt").read_text(encoding="utf-8").splitlines()
        assert log.count(f"this is step {number}") == 50
        assert f"this is step {1 - number}" not in log
        assert "α" * 100_000 in log
        assert [line for line in log if f"act {number} | {line}" not in whole] == []


def test_steps_of_a_run_that_was_begun_with_nice_leave_the_processor_to_others(folder: Path, tmp_path: Path) -> None:
    session = "/proc/self/autogroup"
    step = f"print('weights', os.nice(0), open('{session}').read() if os.path.exists('{session}') else '')"
    code = (
        "import sys; from pathlib import Path; from kubeline.local.runner import run; "
        "run(Path(sys.argv[1]), 'one', {'code': sys.argv[2]}, Path(sys.argv[3]), print)"
    )
    command = ["nice", "-n", "7", sys.executable, "-c", code, str(folder / "one.yaml"), step, str(tmp_path)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (log,) = tmp_path.glob("one-*/logs/act.txt")
    words = next(line for line in log.read_text(encoding="utf-8").splitlines() if line.startswith("weights")).split()
    nice = str(os.nice(0) + 7)  # the tests themselves may have been begun with nice
    assert words[1] == nice
    assert words[2:] in ([], [words[2], "nice", nice])  # of its session, where Linux weighs those first


def test_a_step_whose_end_nobody_reports_has_failed() -> None:
    with Receiver() as receiver:
        with Reporter(receiver.address) as reporter:
            reporter.send(Event("started", "load"))
        ended = list(receiver.remaining())
    assert [event.kind for event in ended] == ["started", "ended"]
    assert (ended[1].task, ended[1].exit_code) == ("load", -9)
    assert "ended from outside" in ended[1].text


def test_a_line_that_is_no_event_ends_its_connection_only() -> None:
    with Receiver() as receiver:
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(receiver.address)
            stranger.recv(1)
            stranger.sendall(b"no event\n")
        with Reporter(receiver.address) as reporter:
            reporter.send(Event("started", "load"))
            reporter.send(Event("ended", "load"))
        assert [event.kind for event in receiver.remaining()] == ["started", "ended"]


def test_a_runner_that_ends_before_it_can_report_has_its_last_line_as_a_reason(folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("root: [", encoding="utf-8")
    run = run_locally(broken, "broken", {}, tmp_path, lambda _: None)
    assert (run.succeeded, run.exit_code) == (False, 1)
    assert run.reason.startswith("the run ended with exit code 1")
    assert len(run.reason) > len("the run ended with exit code 1 and ")


def test_steps_of_nested_pipelines_may_share_a_name() -> None:
    printed = io.StringIO()
    with StepDisplay(Console(file=printed)) as display:
        for state in ("started", "started", "succeeded", "failed"):
            display.show(TaskEvent("load", state))
    assert [line.split()[:2] for line in printed.getvalue().splitlines()] == [["✓", "load"], ["✗", "load"]]
