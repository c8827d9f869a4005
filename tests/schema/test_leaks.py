"""Columns that give the target away are found, and others are not."""

import numpy as np
import pandas as pd
import pytest

from kubeline.schema.leaks import leak_scores

ROWS = 2_000
RNG = np.random.default_rng(0)
LABEL = pd.Series(RNG.random(ROWS) < 0.2)
PRICE = pd.Series(RNG.lognormal(0, 2, ROWS))


def score(column: object, target: pd.Series) -> float:
    frame = pd.DataFrame({"column": column, "target": target})
    return leak_scores(frame, "target", "regression" if target.dtype == float else "classification")["column"]


@pytest.mark.parametrize(
    "column",
    [
        LABEL.map({True: "yes", False: "no"}),
        LABEL.astype(float) * 3 + RNG.normal(0, 0.1, ROWS),
        np.where(LABEL, 15.0, -15.0) + RNG.uniform(-14, 14, ROWS),
        -np.where(LABEL, 1, 0),
        pd.Series("refunded", index=LABEL.index).where(LABEL),
        pd.Series(pd.Timestamp("2024-01-01"), index=LABEL.index).where(LABEL),
        np.abs(np.where(LABEL, RNG.uniform(0, 1, ROWS), RNG.uniform(1, 2, ROWS))) * RNG.choice([-1, 1], ROWS),
    ],
    ids=["copy", "noisy copy", "threshold", "reversed", "present when true", "time when true", "not monotone"],
)
def test_a_column_that_gives_a_class_away_scores_near_one(column: object) -> None:
    assert score(column, LABEL) > 0.99


@pytest.mark.parametrize(
    "column",
    [PRICE * 1.2 + 3, np.log(PRICE), -PRICE, PRICE.round(1), PRICE.rank(method="first").astype(int)],
    ids=["scaled", "log", "reversed", "rounded", "rank"],
)
def test_a_column_that_gives_a_quantity_away_scores_near_one(column: object) -> None:
    assert score(column, PRICE) > 0.99


@pytest.mark.parametrize("target", [LABEL, PRICE], ids=["class", "quantity"])
@pytest.mark.parametrize(
    "column",
    [
        range(ROWS),
        [f"id-{row}" for row in range(ROWS)],
        RNG.permutation(ROWS),
        RNG.random(ROWS),
        [f"user-{row // 2}" for row in range(ROWS)],
        [1] * ROWS,
        [None] * ROWS,
    ],
    ids=["row number", "text id", "random id", "noise", "pairs", "constant", "missing"],
)
def test_an_identifier_is_not_taken_for_a_leak(column: object, target: pd.Series) -> None:
    assert score(column, target) < 0.7


def test_a_good_feature_is_not_a_leak() -> None:
    assert 0.75 < score(LABEL * 1.5 + RNG.normal(0, 1, ROWS), LABEL) < 0.95


def test_a_leak_of_several_classes_is_found() -> None:
    color = pd.Series(RNG.choice(["red", "green", "blue", "white"], ROWS))
    assert score(color.str[:2] + "x", color) > 0.99
    assert score(RNG.random(ROWS), color) < 0.6


def test_a_rare_class_is_enough_to_find_a_leak() -> None:
    rare = pd.Series(np.arange(20_000) % 1_000 == 0)
    assert score(np.where(rare, 5.0, 0.0) + np.random.default_rng(1).random(20_000), rare) > 0.99


def test_too_few_rows_say_nothing() -> None:
    frame = pd.DataFrame({"copy": [True, False] * 20, "target": [True, False] * 20})
    assert leak_scores(frame, "target", "classification") == {}
