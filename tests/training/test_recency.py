"""Weights by age: what is new is learned, what is measured is not weighted, and what has no age is refused."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from kubeline.errors import UserError
from kubeline.roles import Roles
from kubeline.training.recency import LEAST, check
from kubeline.training.table import read, weighed
from tests.support.artifacts import Maker
from tests.support.training_tables import SMALL, Train

DAYS = pd.date_range("2013-01-01", periods=600, freq="D")


@pytest.fixture
def turned() -> pd.DataFrame:
    """600 days; in the last third of them the sign of what follows from x has turned."""
    x = np.random.default_rng(0).normal(size=600)
    return pd.DataFrame({"day": DAYS, "x": x, "y": np.where(np.arange(600) < 400, x, -x) > 0})


@pytest.mark.parametrize("estimator", [*SMALL])
def test_every_estimator_learns_the_newer_rows_rather_than_the_older_ones(
    train: Train, turned: pd.DataFrame, estimator: str
) -> None:
    alike, newer = (
        train(turned, time_column="day", estimator=estimator, half_life=half_life).manifest.score
        for half_life in ("", "30d")
    )
    assert alike < 0.5
    assert newer > 0.9


def test_what_is_measured_counts_as_before(train: Train, turned: pd.DataFrame) -> None:
    """So that a champion that learned without a half-life has the same held-out rows and metrics as one with it."""
    plain, weighted = (train(turned, time_column="day", half_life=half_life).manifest for half_life in ("", "100000d"))
    assert weighted.held_out == plain.held_out
    assert weighted.metrics == pytest.approx(plain.metrics, abs=0.02)
    assert "half_life" not in plain.params
    assert weighted.params["half_life"] == "100000d"


def recency(dataset: Maker, frame: pd.DataFrame, half_life: str) -> Any:
    roles = Roles("y", time="day", weight="w" if "w" in frame else "")
    return weighed(read(dataset(frame).path, roles, "auto"), roles, half_life)


def test_weights_halve_with_each_half_life_and_multiply_with_those_of_the_table(
    dataset: Maker, turned: pd.DataFrame
) -> None:
    table = recency(dataset, turned.assign(w=2.0), "30d")
    found = table.weights_to_learn(np.array([599, 569, 539, 0]))
    assert found == pytest.approx([2.0, 1.0, 0.5, 2 * max(2 ** (-599 / 30), LEAST)])
    assert "the 600 rows of the table say as much as 87 that count alike" in table.notes[-1]


def test_a_training_that_is_repeated_later_with_more_rows_keeps_the_ratios(
    dataset: Maker, turned: pd.DataFrame
) -> None:
    early, late = (recency(dataset, turned.head(rows), "90d").recency for rows in (400, 600))
    assert late[:400] / late[0] == pytest.approx(early / early[0])


def test_times_that_are_numbers_have_a_half_life_in_their_unit(dataset: Maker, turned: pd.DataFrame) -> None:
    table = recency(dataset, turned.assign(day=np.arange(600)), "30")
    assert table.recency[569] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("roles", "half_life", "sentence"),
    [
        (Roles("y"), "90d", "the ages of the rows are not known: name their time_column"),
        (Roles("y", group="x"), "90d", "time_column instead of group_column 'x'"),
        (Roles("y", time="day"), "90", "time column 'day' holds times; give a length: 90d, 6mo"),
        (Roles("y", time="x"), "90d", "time column 'x' holds numbers; give a number too"),
    ],
)
def test_a_half_life_that_does_not_fit_the_times_is_refused(
    dataset: Maker, turned: pd.DataFrame, roles: Roles, half_life: str, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        weighed(read(dataset(turned).path, roles, "auto"), roles, half_life)


@pytest.mark.parametrize("half_life", ["90 days", "0", "-1", "nan", "0d"])
def test_what_is_no_half_life_is_refused_before_anything_is_read(half_life: str) -> None:
    with pytest.raises(UserError, match=f"half_life is '{half_life}'; expected a length of time"):
        check(half_life)
