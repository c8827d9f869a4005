"""Which rows are held out, and what cross-validation sees."""

import numpy as np
import pandas as pd
import pytest

from kubeline.training.holdout import folds, hold_out
from kubeline.training.table import Roles, read


@pytest.fixture
def table(dataset):
    """`table(roles)`: 400 rows with a group of ten, a shuffled time of pairs, and a rare class."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=400), "g": np.arange(400) // 10, "t": rng.permutation(400) // 2})
    frame["y"] = np.where(np.arange(400) % 50 == 0, "rare", np.where(rng.random(400) < 0.5, "a", "b"))
    artifact = dataset(frame)
    return lambda **roles: read(artifact.path, Roles("y", **roles), "auto")


def parts(table, fraction=0.2):
    return hold_out(table, np.arange(400), fraction, 0, "validation")


def test_no_row_is_lost_or_in_both_parts(table):
    for roles in ({}, {"group": "g"}, {"time": "t"}):
        learned, held = parts(table(**roles))
        assert np.array_equal(np.sort(np.concatenate([learned, held])), np.arange(400))


def test_random_rows_hold_the_same_share_of_every_class(table):
    data = table()
    _, held = parts(data)
    assert np.bincount(data.y[held]).tolist() == [round(0.2 * count) for count in np.bincount(data.y)]


def test_a_rare_class_is_in_both_parts_even_where_its_share_is_less_than_a_row(table):
    data = table()
    learned, held = parts(data, fraction=0.01)
    assert set(data.y[held]) == set(data.y[learned]) == {0, 1, 2}


def test_groups_are_not_torn_apart(table):
    data = table(group="g")
    learned, held = parts(data)
    assert not set(data.groups[learned]) & set(data.groups[held])


def test_the_last_rows_by_time_are_held_out_and_one_instant_stays_together(table):
    data = table(time="t")
    learned, held = parts(data, fraction=0.2025)
    assert data.times[learned].max() < data.times[held].min()
    assert len(held) == 82


def test_another_seed_holds_out_other_rows(table):
    data = table()
    _, one = hold_out(data, np.arange(400), 0.2, 0, "validation")
    _, other = hold_out(data, np.arange(400), 0.2, 1, "validation")
    assert not np.array_equal(one, other)


def test_folds_respect_groups(table):
    data = table(group="g")
    for learned, held in folds(data, np.arange(400), 4, 0):
        assert not set(data.groups[learned]) & set(data.groups[held])


def test_folds_score_on_later_rows_than_they_learn_from(table):
    data = table(time="t")
    for learned, held in folds(data, np.arange(399), 4, 0):  # folds of odd size tear pairs of one instant apart
        assert data.times[learned].max() < data.times[held].min()


def test_folds_stay_within_the_rows_they_are_given(table):
    rows = np.arange(0, 400, 2)
    for learned, held in folds(table(), rows, 4, 0):
        assert set(learned) | set(held) <= set(rows)
