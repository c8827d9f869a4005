"""Which rows are held out, and what cross-validation sees."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from components.train.component import train
from kubeline.errors import UserError
from kubeline.model_package import ModelPackage
from kubeline.roles import Roles
from kubeline.training.holdout import divide, folds, hold_out
from kubeline.training.table import TrainingTable, read
from tests.support.artifacts import Maker


@pytest.fixture
def table(dataset: Maker) -> Any:
    """`table(roles)`: 400 rows with a group of ten, a shuffled time of pairs, and a rare class."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=400), "g": np.arange(400) // 10, "t": rng.permutation(400) // 2})
    frame["y"] = np.where(np.arange(400) % 50 == 0, "rare", np.where(rng.random(400) < 0.5, "a", "b"))
    artifact = dataset(frame)
    return lambda **roles: read(artifact.path, Roles("y", **roles), "auto")


def parts(table: TrainingTable, fraction: float = 0.2) -> Any:
    return hold_out(table, np.arange(400), fraction, 0, "validation")


def test_no_row_is_lost_or_in_both_parts(table: Callable[..., Any]) -> None:
    for roles in ({}, {"group": "g"}, {"time": "t"}):
        learned, held = parts(table(**roles))
        assert np.array_equal(np.sort(np.concatenate([learned, held])), np.arange(400))


def test_random_rows_hold_the_same_share_of_every_class(table: Callable[..., Any]) -> None:
    data = table()
    _, held = parts(data)
    assert np.bincount(data.y[held]).tolist() == [round(0.2 * count) for count in np.bincount(data.y)]


def test_a_rare_class_is_in_both_parts_even_where_its_share_is_less_than_a_row(table: Callable[..., Any]) -> None:
    data = table()
    learned, held = parts(data, fraction=0.01)
    assert set(data.y[held]) == set(data.y[learned]) == {0, 1, 2}


def test_groups_are_not_torn_apart(table: Callable[..., Any]) -> None:
    data = table(group="g")
    learned, held = parts(data)
    assert not set(data.groups[learned]) & set(data.groups[held])


def test_the_last_rows_by_time_are_held_out_and_one_instant_stays_together(table: Callable[..., Any]) -> None:
    data = table(time="t")
    learned, held = parts(data, fraction=0.2025)
    assert data.times[learned].max() < data.times[held].min()
    assert len(held) == 82


def test_another_seed_holds_out_other_rows(table: Callable[..., Any]) -> None:
    data = table()
    _, one = hold_out(data, np.arange(400), 0.2, 0, "validation")
    _, other = hold_out(data, np.arange(400), 0.2, 1, "validation")
    assert not np.array_equal(one, other)


def test_folds_respect_groups(table: Callable[..., Any]) -> None:
    data = table(group="g")
    for learned, held in folds(data, np.arange(400), 4, 0):
        assert not set(data.groups[learned]) & set(data.groups[held])


def test_folds_score_on_later_rows_than_they_learn_from(table: Callable[..., Any]) -> None:
    data = table(time="t")
    for learned, held in folds(data, np.arange(399), 4, 0):  # folds of odd size tear pairs of one instant apart
        assert data.times[learned].max() < data.times[held].min()


def test_folds_stay_within_the_rows_they_are_given(table: Callable[..., Any]) -> None:
    rows = np.arange(0, 400, 2)
    for learned, held in folds(table(), rows, 4, 0):
        assert set(learned) | set(held) <= set(rows)


def test_equal_rows_are_on_one_side_of_the_hold_out_and_of_each_fold(dataset: Maker) -> None:
    """A table whose rows were written twice scored a model on the rows it had learned."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=300), "y": rng.random(300) < 0.3})
    for target, task in (("y", "auto"), ("x", "regression")):
        table = read(dataset(pd.concat([frame, frame, frame.head(50)]), target).path, Roles(target), task)
        rows = np.arange(650)
        learned, held = hold_out(table, rows, 0.2, 0, "validation")
        assert not set(table.equal[learned]) & set(table.equal[held])
        assert len(held) == pytest.approx(130, abs=4)
        pairs = folds(table, rows, 5, 0)
        assert sorted(np.concatenate([held for _, held in pairs])) == rows.tolist()
        for learned, held in pairs:
            assert not set(table.equal[learned]) & set(table.equal[held])


def test_a_row_that_most_of_a_class_repeats_is_learned_and_others_are_held_out(dataset: Maker) -> None:
    frame = pd.DataFrame({"x": [0] * 80 + list(range(1, 71)) + [-1] * 50, "y": ["a"] * 150 + ["b"] * 50})
    table = read(dataset(frame).path, Roles("y"), "auto")
    learned, held = hold_out(table, np.arange(200), 0.1, 0, "validation")
    assert sorted(table.y[held]) == [0] * 15 + [1] * 5  # all rows of b are equal, and stand for themselves
    assert set(range(80)) <= set(learned)


def test_equal_rows_of_a_table_of_few_different_ones_are_no_copies(dataset: Maker) -> None:
    table = read(dataset(pd.DataFrame({"x": [1, 2, 3, 4] * 50, "y": [0, 1] * 100})).path, Roles("y"), "auto")
    learned, held = hold_out(table, np.arange(200), 0.2, 0, "validation")
    assert {tuple(row) for row in table.encoded.rows(learned).to_numpy()} == {(1,), (2,), (3,), (4,)}
    assert len(held) == 40


def split_table(rows: int = 400) -> pd.DataFrame:
    """Ten rows of each customer and day."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=rows), "customer": np.arange(rows) // 10})
    frame["day"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.permutation(rows) // 10, "D")
    return frame.assign(y=rng.random(rows) < 0.4)


@pytest.mark.parametrize(("by", "column"), [("group", "customer"), ("time", "day"), ("random", "")])
def test_what_the_table_was_split_by_is_what_is_held_out_by_and_stays_a_feature(
    by: str, column: str, artifact: Maker, dataset: Maker
) -> None:
    """With the test set of other customers, validation rows of known ones chose the model."""
    frame = split_table()
    given = dataset(frame)
    given.metadata |= {"split_by": by, "split_column": column}
    model, report = artifact("Model", "model"), artifact("HTML", "report")
    train.python_func(given, model, artifact("Metrics", "metrics"), report, "y", params={"max_iter": 5})
    package = ModelPackage.open(model.path)
    assert {"customer", "day"} <= set(package.signature.names)
    assert package.manifest.roles.group == package.manifest.roles.time == ""
    table, learned, held, _ = divide(
        read(given.path, Roles("y", split_by=by, split_column=column), "auto"),
        Roles("y", split_by=by, split_column=column), 0.1, 0, calibrated=True, number=3,
    )  # fmt: skip
    page = Path(report.path).read_text()
    customers, days = frame["customer"].to_numpy(), frame["day"].to_numpy()
    if by == "group":
        assert not set(customers[learned]) & set(customers[held])
        assert "whole groups of &#39;customer&#39;, because split went by it" in page
    elif by == "time":
        assert days[learned].max() < days[held].min()
        assert "the last rows by &#39;day&#39;, because split went by it" in page
    else:
        assert "split went by" not in page
        assert table.notes == read(given.path, Roles("y"), "auto").notes


def test_a_column_that_is_given_comes_before_that_of_the_split(dataset: Maker) -> None:
    path = dataset(split_table()).path
    table = read(path, Roles("y", time="day", split_by="group", split_column="customer"), "auto")
    assert (table.groups, table.times is None) == (None, False)
    table = read(path, Roles("y", group="customer", split_by="time", split_column="day"), "auto")
    assert (table.times, table.groups is None) == (None, False)


def test_where_the_split_column_leaves_a_class_out_rows_are_held_out_at_random_and_that_is_said(dataset: Maker) -> None:
    frame = split_table().assign(y=lambda table: table["day"] > table["day"].median())
    roles = Roles("y", split_by="time", split_column="day")
    path = dataset(frame).path
    table, learned, held, _ = divide(read(path, roles, "auto"), roles, 0.1, 0, calibrated=False, number=0)
    assert len(set(table.y[held])) == len(set(table.y[learned])) == 2
    assert table.notes[-1].startswith("rows are held out at random: by 'day', which split went by, it is not possible")
    given = Roles("y", time="day")
    with pytest.raises(UserError, match="are all of class 'True'"):
        divide(read(path, given, "auto"), given, 0.1, 0, calibrated=False, number=0)


@pytest.mark.parametrize(
    ("rarest", "held", "said"),
    [
        (0, 100_000, "a share of 0.333 instead of 0.5: of so many rows 100,000 are enough"),
        (2_500, 120_000, "a share of 0.4 instead of 0.5: of so many rows 100,000 are enough, with 1,000 of the rarest"),
        (1_000, 150_000, ""),
    ],
)
def test_of_a_large_table_no_more_is_held_out_than_is_enough_for_all_rows_and_for_the_rarest_class(
    dataset: Maker, rarest: int, held: int, said: str
) -> None:
    y = np.linspace(0, 1, 300_000) if not rarest else np.where(np.arange(300_000) < rarest, "rare", "common")
    path = dataset(pd.DataFrame({"x": np.arange(300_000) % 1009, "y": y})).path
    given = Roles("y")
    table, learned, found, _ = divide(read(path, given, "auto"), given, 0.5, 0, calibrated=False, number=0)
    assert len(found) == pytest.approx(held, abs=600)  # copies stay together
    assert len(learned) + len(found) == 300_000
    assert said in "".join(table.notes)
    assert ("instead of 0.5" in "".join(table.notes)) is bool(said)
