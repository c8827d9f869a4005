"""What runs say of values of persons: the processes of steps, the commands and the pages of whole runs.

What the steps themselves make is in test_steps.py.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from kfp import dsl

from components.notify.component import notify
from kubeline.errors import KubelineError, UserError
from kubeline.notification.channels import URLS
from tests.marked_values.people import MARK, content, marked, people
from tests.support.webhook import listening

STEP = """
import sys, pyarrow as pa
from kubeline.artifacts import step

@step
def run():
    try:
        pa.array(sys.argv[1:]).cast(pa.int64())
    except pa.ArrowInvalid as error:
        {}

run()
"""


@pytest.mark.parametrize("ending", ["raise", "raise RuntimeError('it went wrong') from error", "float(sys.argv[1])"])
def test_a_step_that_ends_by_an_exception_that_nobody_expected_shows_no_value_and_neither_does_the_message_sent_of_it(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {**os.environ, "_KFP_RUNTIME": "true", "KUBELINE_TERMINATION_LOG": str(tmp_path / "said")}
    command = [sys.executable, "-c", STEP.format(ending), f"{MARK}1"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert MARK not in done.stdout + done.stderr
    ended = dsl.PipelineTaskFinalStatus("FAILED", "jobs/run-1", "exit-handler-1", 1, done.stderr.splitlines()[-1])
    with listening() as webhook:
        monkeypatch.setenv(URLS, webhook.url)
        notify.python_func(ended, title="People")
    assert "aaaa9" in str(webhook.messages) or "it went wrong" in str(webhook.messages)
    assert MARK not in str(webhook.messages)


def kubeline(folder: Path, *words: str) -> str:
    """What a command prints."""
    command = [str(Path(sys.executable).with_name("kubeline")), *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.mark.slow
def test_marked_values_reach_no_output_of_a_whole_run_but_that_of_load(tmp_path: Path) -> None:
    """And none of a run that fails by one of them, of the page of all runs, and of what compares two."""
    people().drop(columns="at").to_csv(tmp_path / "people.csv", index=False)
    words = ["data=people.csv", "target=late", "name=people", "checks.personal_data=drop", "gate.min_rows=10"]
    words += ["candidates=[{estimator: linear}]"]
    given = [word for pair in words for word in ("--set", pair)]
    printed = kubeline(tmp_path, "run", "training", *given)
    log = content(next((tmp_path / "runs").glob("training-*/log.txt")))
    assert "column 'mail' looks like e-mail addresses; it is not passed on" in log, printed
    printed += kubeline(tmp_path, "run", "training", *given, "--set", "source.types={mail: integer}")
    assert "does not have the type that `types` or `where` takes it for (Could not convert the value: aaaa" in printed
    printed += kubeline(tmp_path, "runs", "--to", "here")
    runs = sorted(str(folder.relative_to(tmp_path)) for folder in (tmp_path / "runs").glob("training-*"))
    printed += kubeline(tmp_path, "compare", *runs)
    files = [file for file in (tmp_path / "runs").rglob("*") if file.is_file()]
    holding = {file for file in files if MARK in content(file)}
    assert len(files) > 40
    assert holding
    assert {file for file in holding if file.parent.parts[-2:] != ("load", "dataset")} == set()
    assert MARK not in printed


def test_the_mark_is_found_where_it_is() -> None:
    assert marked({"one": f"it is {MARK}1", "other": "it is not"}) == ["one"]
    with pytest.raises(KubelineError, match=MARK):
        raise UserError(MARK)
