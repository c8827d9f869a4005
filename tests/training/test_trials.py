"""Trials of tuning side by side: the same ones whatever runs them, lost processes, shared rows, room on the machine."""

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kubeline.errors import PlatformError, UserError
from kubeline.evaluation.metrics import choose
from kubeline.roles import Roles
from kubeline.training.fitting import Recipe
from kubeline.training.machine import cpus, processes
from kubeline.training.table import TrainingTable, read
from kubeline.training.trials import Objective, read_folds, write_folds
from kubeline.training.tuning import Budget, Tuning, tune
from tests.support.artifacts import Maker
from tests.support.training_tables import Train, for_task, mixed_table
from tests.support.waiting import repeating


@pytest.fixture
def table(dataset: Maker) -> TrainingTable:
    return read(dataset(for_task(mixed_table(300), "binary")).path, Roles("y"), "auto")


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of temporary files, of which nothing is left after any test, and no process either."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []
    assert children() == []


def tuned(table: TrainingTable, **budget: Any) -> Tuning:
    recipe = Recipe("linear", {}, balanced=False, seed=0)
    limits = Budget(**{"trials": 5, "minutes": 60.0, "at_a_time": 2, **budget})
    return tune(recipe, table, np.arange(300), table.kinds, choose("binary"), number=2, budget=limits)


def children() -> list[int]:
    """Process ids of the processes that fit for this one."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = process.joinpath("stat").read_text().rpartition(")")[2].split()[1]
            if parent == str(os.getpid()) and b"kubeline.training.trials" in process.joinpath("cmdline").read_bytes():
                found.append(int(process.name))
    return found


@contextmanager
def killing(most: int) -> Iterator[Callable[[], int]]:
    """Kill so many of them, each as soon as it is there; how many were."""
    killed: set[int] = set()

    def kill() -> None:
        for one in [one for one in children() if one not in killed][: most - len(killed)]:
            os.kill(one, signal.SIGKILL)
            killed.add(one)

    with repeating(kill, pause=0.01):
        yield lambda: len(killed)


def test_trials_are_the_same_in_processes_as_in_this_one_also_when_one_is_killed(
    table: TrainingTable, temporary: Path
) -> None:
    here = tuned(table)
    assert len(here.trials) == 5
    assert here.trials[0].params == {}
    files: list[Path] = []
    with killing(1) as killed, repeating(lambda: files.extend(temporary.iterdir()), pause=0.01):
        assert tuned(table, processes=2) == here
    assert killed() == 1
    assert files == []  # not even while they run, so that a step that is killed leaves none behind


def test_a_trial_whose_processes_are_killed_again_fails_and_without_any_other_the_step_says_so(
    table: TrainingTable,
) -> None:
    with killing(100), pytest.raises(PlatformError, match=r"no trial of tuning could be ended, because the processes"):
        tuned(table, trials=2, processes=2)


def test_trials_that_are_begun_together_know_nothing_of_each_other_and_are_no_copies(table: TrainingTable) -> None:
    one, three = tuned(table, trials=4, at_a_time=1), tuned(table, trials=4, at_a_time=3)
    assert len({str(trial.params) for trial in three.trials}) == 4
    assert one.trials[0] == three.trials[0]
    assert len(tuned(table, trials=9, minutes=1e-9, at_a_time=3).trials) == 3


def test_what_a_fit_refuses_is_refused_in_a_process_too(table: TrainingTable) -> None:
    recipe = Recipe("hist_gradient_boosting", {"learning_rate": -1.0}, balanced=False, seed=0)
    budget = Budget(2, 60.0, at_a_time=2, processes=2)
    with pytest.raises(UserError, match=r"estimator hist_gradient_boosting refuses its parameters: .*learning_rate"):
        tune(recipe, table, np.arange(300), table.kinds, choose("binary"), number=2, budget=budget)


def test_processes_map_the_numbers_and_have_the_same_rows(table: TrainingTable, tmp_path: Path) -> None:
    recipe = Recipe("linear", {}, balanced=False, seed=0)
    with (tmp_path / "trials").open("wb") as file:
        write_folds(Objective(recipe, table, [(np.arange(200), np.arange(200, 300))], table.kinds, "roc_auc"), file)
    found = read_folds(tmp_path / "trials")
    pd.testing.assert_frame_equal(found.table.encoded.whole(), table.encoded.whole())
    for name in table.encoded.columns:
        values: Any = found.table.encoded.column(name)
        if values.dtype != object:
            while values.base is not None and not isinstance(values, np.memmap):
                values = values.base
            assert isinstance(values, np.memmap)
    assert found.table.raw.num_rows == 0
    (tmp_path / "trials").unlink()


def test_processes_are_as_many_as_cpus_and_memory_of_the_container_allow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert cpus(tmp_path) == 8
    for quota, expected in (("max 100000", 8), ("250000 100000", 2), ("50000 100000", 1), ("1600000 100000", 8)):
        (tmp_path / "cpu.max").write_text(quota)
        assert cpus(tmp_path) == expected
    (tmp_path / "cpu.max").unlink()
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("600000")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert cpus(tmp_path) == 6
    monkeypatch.setenv("KUBELINE_MEMORY_LIMIT", "64Gi")
    assert processes(8, 1_000, 10, "lightgbm", tmp_path) == 6
    assert processes(8, 100_000, 10, "lightgbm", tmp_path) == 3  # of two threads each
    assert processes(2, 1_000, 10, "lightgbm", tmp_path) == 2
    monkeypatch.setenv("KUBELINE_MEMORY_LIMIT", "1")
    assert processes(8, 1_000, 10, "lightgbm", tmp_path) == 1


def test_a_training_tunes_side_by_side_and_names_what_cannot_be(train: Train) -> None:
    frame = for_task(mixed_table(300), "binary")
    with pytest.raises(UserError, match=r"tuning_workers is 0; expected 1 \(one trial after the other\) to 64"):
        train(frame, tuning_workers=0)
    package = train(frame, estimator="linear", tuning_trials=3, tuning_workers=2, folds=2)
    assert package.manifest.params["regularization"] > 0
