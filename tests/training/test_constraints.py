"""Hyperparameters that speak of columns mean the columns that they name."""

import numpy as np
import pandas as pd
import pytest

from kubeline.errors import UserError
from kubeline.model_package import ModelPackage
from tests.support.training_tables import SMALL, Train

ROWS = 1_000
MONOTONE = {
    "hist_gradient_boosting": "monotonic_cst",
    "random_forest": "monotonic_cst",
    "xgboost": "monotone_constraints",
    "lightgbm": "monotone_constraints",
}
INTERACTION = {
    "hist_gradient_boosting": "interaction_cst",
    "xgboost": "interaction_constraints",
    "lightgbm": "interaction_constraints",
}


@pytest.fixture
def frame() -> pd.DataFrame:
    """Columns that preprocessing reorders; the target is a wave of both numbers, and a product of them."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "city": rng.choice(["Bern", "Rom", "Köln"], ROWS),
            "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 9_000, ROWS), "h"),
            "first": rng.uniform(0, 6, ROWS),
            "account": 1_234_567_890 + rng.integers(0, 100, ROWS),
            "second": rng.uniform(0, 6, ROWS),
        }
    )
    return frame.assign(
        y=np.sin(2 * frame["first"]) + np.sin(2 * frame["second"]) + frame["first"] * frame["second"] / 9
    )


def along(package: ModelPackage, frame: pd.DataFrame, column: str) -> np.ndarray:
    """Predictions for the first rows while one column rises, shape (rows, steps)."""
    steps = np.linspace(0, 6, 40)
    rows = frame.head(20)
    return np.array([package.predictor(1).predict(rows.assign(**{column: step})).values for step in steps]).T


@pytest.mark.parametrize("encoding", ["ordinal", "one_hot"])
@pytest.mark.parametrize("estimator", MONOTONE)
def test_the_named_column_is_monotone_and_no_other(
    train: Train, frame: pd.DataFrame, estimator: str, encoding: str
) -> None:
    """Positions [0, 1] landed on other columns, because preprocessing puts the numbers first."""
    params = {**SMALL[estimator], MONOTONE[estimator]: {"second": 1.0, "account": 0}}
    package = train(frame, estimator=estimator, params={**params, "category_encoding": encoding})
    assert np.diff(along(package, frame, "second")).min() >= -1e-6
    assert np.diff(along(package, frame, "first")).min() < -0.01
    falling = train(frame, estimator=estimator, params={**SMALL[estimator], MONOTONE[estimator]: {"first": -1}})
    assert np.diff(along(falling, frame, "first")).max() <= 1e-6


@pytest.mark.parametrize("estimator", INTERACTION)
def test_only_columns_of_a_named_group_interact(train: Train, frame: pd.DataFrame, estimator: str) -> None:
    """Without an interaction, what one column does is the same whatever the other one is."""
    groups = [["first", "city", "when"], ["second", "account"]]
    package = train(frame, estimator=estimator, params={**SMALL[estimator], INTERACTION[estimator]: groups})

    def effect(second: float) -> np.ndarray:
        curve = along(package, frame.assign(second=second), "first")
        return curve - curve[:, :1]

    assert np.abs(effect(1.0) - effect(5.0)).max() < 1e-5
    free = train(frame, estimator=estimator, params=SMALL[estimator])
    low, high = (along(free, frame.assign(second=second), "first") for second in (1.0, 5.0))
    assert np.abs((low - low[:, :1]) - (high - high[:, :1])).max() > 0.1


def test_scikit_learns_words_for_interactions_are_taken(train: Train, frame: pd.DataFrame) -> None:
    assert train(frame, params={"interaction_cst": "no_interactions", "max_iter": 5}).manifest.params["interaction_cst"]


REFUSED = {
    "a list of positions": (
        "hist_gradient_boosting",
        {"monotonic_cst": [0, 1]},
        r"monotonic_cst is \[0, 1\], but",
    ),
    "a text of positions": (
        "xgboost",
        {"monotone_constraints": "(1,-1)"},
        "is '.1,-1.', but positions",
    ),
    "positions that interact": ("lightgbm", {"interaction_constraints": [[0, 1]]}, "positions of columns change"),
    "sklearn's positions": ("hist_gradient_boosting", {"interaction_cst": [{0, 1}]}, "positions of columns change"),
    "an unknown column": (
        "xgboost",
        {"monotone_constraints": {"third": 1}},
        "column 'third', which is no feature",
    ),
    "the target": ("lightgbm", {"interaction_constraints": [["y"]]}, "names column 'y', which is no feature"),
    "a category": (
        "random_forest",
        {"monotonic_cst": {"city": 1}},
        "column 'city', a category, which has no ord",
    ),
    "no direction": ("xgboost", {"monotone_constraints": {"first": 2}}, "of column 'first' is 2; expected 1"),
    "weights by position": ("xgboost", {"feature_weights": [1, 2]}, "'feature_weights' is not a hyperparameter"),
    "another library's": ("lightgbm", {"monotonic_cst": {"first": 1}}, "'monotonic_cst' is not a hyperparameter"),
    "of a linear model": ("linear", {"monotonic_cst": {"first": 1}}, "'monotonic_cst' is not a hyperparameter"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_positions_and_columns_that_are_none_are_refused(train: Train, frame: pd.DataFrame, case: str) -> None:
    estimator, params, message = REFUSED[case]
    with pytest.raises(UserError, match=message):
        train(frame, estimator=estimator, params=params)


def test_monotone_columns_of_more_than_two_classes_are_refused(train: Train, frame: pd.DataFrame) -> None:
    many = frame.assign(y=np.digitize(frame["y"], [0, 2]).astype(str))
    with pytest.raises(UserError, match="monotonic_cst is for regression and two classes, but the task is multiclass"):
        train(many, params={"monotonic_cst": {"first": 1}})


def test_a_monotone_column_that_the_model_reads_as_two_is_refused(train: Train, frame: pd.DataFrame) -> None:
    wide = frame.assign(account=np.where(np.arange(ROWS) % 2, 1, 10**15) + np.arange(ROWS))
    with pytest.raises(UserError, match="'account', whose numbers need more than float32"):
        train(wide, params={"monotonic_cst": {"account": 1}})
