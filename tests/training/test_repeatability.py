"""The same table and seed give the same package, in another process and after a kill."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from kubeline.model_package import ModelPackage
from tests.support.artifacts import Maker
from tests.support.training_tables import Train, for_task, mixed_table

SCRIPT = """
import json, sys
from kfp import dsl
from components.train.component import train
folder, parameters = sys.argv[1], json.loads(sys.argv[2])
make = lambda kind, name: kind(name=name, uri=f"{folder}/{name}", metadata={})
dataset = make(dsl.Dataset, "dataset")
train.python_func(
    dataset=dataset, model=make(dsl.Model, "model"), metrics=make(dsl.Metrics, "metrics"),
    report=make(dsl.HTML, "report"), target="y", **parameters,
)
"""


def start(folder: Path, parameters: str, **environment: str) -> subprocess.Popen[bytes]:
    paths = os.pathsep.join(path for path in sys.path if path)
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder), parameters],
        env={**os.environ, "PYTHONPATH": paths, "KUBELINE_GIT_REVISION": "test", **environment},
    )


def kill_while_writing(folder: Path) -> None:
    """Kill a training after its package has begun to be written and before it is whole."""
    for _ in range(10):
        process = start(folder, '{"params": {"max_iter": 50}}')
        while process.poll() is None and not (folder / ".model.partial").exists():
            time.sleep(0.0005)
        process.kill()
        if process.wait() == -signal.SIGKILL and not (folder / "model").exists():
            return
        shutil.rmtree(folder / "model")  # it was quicker; try again
    raise AssertionError("no training could be killed while it wrote")


@pytest.mark.slow
def test_two_processes_make_the_same_package(dataset: Maker, tmp_path: Path) -> None:
    dataset(for_task(mixed_table(), "binary"))
    digests = []
    for seed in ("0", "1"):
        parameters = '{"estimator": "lightgbm", "tuning_trials": 2, "folds": 2, "calibration": "isotonic"}'
        process = start(tmp_path, parameters, PYTHONHASHSEED=seed, OMP_NUM_THREADS=str(int(seed) + 1))
        assert process.wait() == 0
        digests.append(ModelPackage.open(tmp_path / "model").digest)
    assert digests[0] == digests[1]


@pytest.mark.slow
def test_a_killed_training_leaves_nothing_and_its_rerun_gives_the_same_package(dataset: Maker, tmp_path: Path) -> None:
    dataset(for_task(mixed_table(2_000), "multiclass"))
    kill_while_writing(tmp_path)
    assert not (tmp_path / "model").exists()
    digests = []
    for seed in ("0", "1"):
        assert start(tmp_path, '{"params": {"max_iter": 50}}', PYTHONHASHSEED=seed).wait() == 0
        digests.append(ModelPackage.open(tmp_path / "model").digest)
    assert digests[0] == digests[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset", "metrics", "model", "report"]


@pytest.mark.parametrize(
    ("estimator", "params"),
    [
        ("hist_gradient_boosting", {"max_iter": 5, "learning_rate": 0.2}),
        ("lightgbm", {"n_estimators": 5, "learning_rate": 0.2, "reg_lambda": 1.0}),
        ("xgboost", {"n_estimators": 5, "learning_rate": 0.2, "reg_lambda": 1.0}),
    ],
)
def test_the_order_of_the_hyperparameters_does_not_change_the_package(
    train: Train, mixed: pd.DataFrame, estimator: str, params: dict[str, Any]
) -> None:
    turned = dict(reversed(params.items()))
    assert (
        train(mixed, estimator=estimator, params=params).digest
        == train(mixed, estimator=estimator, params=turned).digest
    )


def test_another_seed_gives_another_package(train: Train, mixed: pd.DataFrame) -> None:
    assert train(mixed, seed=1).digest != train(mixed, seed=2).digest


def test_whole_numbers_that_came_as_floats_give_the_same_package(train: Train, mixed: pd.DataFrame) -> None:
    """KFP makes floats of the integers in a dict."""
    one = train(mixed, params={"max_iter": 10, "max_leaf_nodes": 7})
    assert train(mixed, params={"max_iter": 10.0, "max_leaf_nodes": 7.0}).digest == one.digest
    assert one.manifest.params["max_iter"] == 10


def test_the_git_revision_is_taken_from_the_environment(
    train: Train, mixed: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBELINE_GIT_REVISION", "abc123")
    assert train(mixed).manifest.git_revision == "abc123"
