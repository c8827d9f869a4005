"""Values of hyperparameters that a library takes and ONNX cannot say, or that the library itself refuses."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from kubeline.errors import UserError
from kubeline.task import Task
from kubeline.training import candidates, estimators
from kubeline.training.settings import TrainingSettings
from tests.support.training_tables import Train

BEFORE_TRAINING: dict[str, tuple[str, dict[str, Any], str]] = {
    "xgboost's dart": ("xgboost", {"booster": "dart"}, "XGB with booster 'dart' cannot be exported to ONNX"),
    "xgboost's linear booster": ("xgboost", {"booster": "gblinear"}, "set it to gbtree"),
    "trees of several targets": ("xgboost", {"multi_strategy": "multi_output_tree"}, "set it to one_output_per_tree"),
    "xgboost without a tree": ("xgboost", {"n_estimators": 0}, "n_estimators is 0"),
    "lightgbm without a tree": ("lightgbm", {"n_estimators": 0.0}, "n_estimators is 0"),
}


@pytest.mark.parametrize("case", BEFORE_TRAINING)
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_what_cannot_be_exported_is_refused_before_anything_is_trained(case: str, task: Task) -> None:
    estimator, params, words = BEFORE_TRAINING[case]

    with pytest.raises(UserError, match=words):
        estimators.find(estimator).settle(task, params)


def test_the_candidates_of_a_run_are_refused_before_it_begins() -> None:
    with pytest.raises(UserError, match=r"candidate 2 \(xgboost\): XGB with booster 'dart'"):
        candidates.read([{}, {"estimator": "xgboost", "params": {"booster": "dart"}}], TrainingSettings())


def test_a_forest_of_forests_is_for_numbers() -> None:
    xgboost = estimators.find("xgboost")

    assert xgboost.settle("regression", {"num_parallel_tree": 3.0})["num_parallel_tree"] == 3
    with pytest.raises(UserError, match="num_parallel_tree 3 cannot be exported to ONNX for binary"):
        xgboost.settle("binary", {"num_parallel_tree": 3})


REFUSED = {
    "a quantile that is not given": ("hist_gradient_boosting", {"loss": "quantile"}, "regression", "quantile"),
    "no leaf": ("lightgbm", {"num_leaves": 1}, "binary", "num_leaves"),
    "a depth below zero": ("xgboost", {"max_depth": -1}, "binary", "max_depth"),
    "a text for a number": ("linear", {"regularization": "strong"}, "binary", "refuses its parameters"),
    "words for a rate": ("lightgbm", {"learning_rate": "slow"}, "binary", "refuses its parameters"),
    "words for trees": ("xgboost", {"n_estimators": "many"}, "binary", "refuses its parameters"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_library_refuses_is_one_sentence(case: str, train: Train, mixed: pd.DataFrame) -> None:
    estimator, params, task, words = REFUSED[case]
    if task == "regression":
        mixed["y"] = np.arange(len(mixed)) / 7

    with pytest.raises(UserError, match=f"estimator {estimator} refuses its parameters.*{words}|{words}") as caught:
        train(mixed, estimator=estimator, params=params)

    assert "\n" not in str(caught.value)


def test_without_regularization_the_linear_model_is_trained(train: Train, mixed: pd.DataFrame) -> None:
    package = train(mixed, estimator="linear", params={"regularization": 0})

    assert package.manifest.params["regularization"] == 0


def test_trees_of_one_leaf_predict_the_share_that_they_begin_with(train: Train) -> None:
    # the converter took the share itself for its log-odds: a difference of 0.127
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=300), "y": rng.choice(["often", "rare"], 300, p=[0.9, 0.1])})

    package = train(frame, estimator="xgboost", params={"n_estimators": 3, "min_child_weight": 1000})

    assert package.manifest.parity.max_difference < 1e-6
