"""Slices: the right rows, the worst named, and no alarm from looking often."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kubeline.data.stored import StoredTable
from kubeline.errors import UserError
from kubeline.evaluation.metrics import METRICS
from kubeline.evaluation.parts import groups, parts_of
from kubeline.evaluation.scored import Scored
from kubeline.evaluation.slices import SliceSettings, evaluate_slices, ranked, worst

RMSE = METRICS["regression"]["rmse"]


def errors(error: np.ndarray) -> Scored:
    return Scored("regression", (), error, np.zeros(len(error)))


def table(rows: int = 6_000, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"shop": rng.choice([f"s{i}" for i in range(20)], rows), "age": rng.normal(size=rows)})
    return frame, rng.normal(size=rows)


def test_the_worst_slice_is_named_with_its_interval_and_flagged() -> None:
    frame, error = table()
    bad = (frame["shop"] == "s7").to_numpy()
    slices = evaluate_slices(frame, ["shop", "age"], SliceSettings(RMSE), errors(np.where(bad, 2 * error, error)), None)
    found = worst(slices, RMSE)
    assert found is not None
    assert found.name == "shop=s7"
    assert found.rows == bad.sum()
    assert found.estimate.lower < np.sqrt(np.mean((2 * error[bad]) ** 2)) < found.estimate.upper
    assert [part.name for part in slices if part.weak] == ["shop=s7"]


def test_looking_at_many_equal_slices_rarely_flags_one() -> None:
    flagged = 0
    for seed in range(25):
        frame, error = table(3_000, seed)
        as_good = errors(np.random.default_rng(seed + 1_000).normal(size=3_000))
        slices = evaluate_slices(frame, ["shop"], SliceSettings(RMSE, seed=seed), errors(error), as_good)
        flagged += any(part.weak or part.regression for part in slices)
    assert flagged <= 6  # two families of 20 looks each, at 5 of 100


def test_a_small_unlucky_slice_does_not_lead_the_list() -> None:
    frame, error = table()
    frame.loc[:119, "shop"] = "tiny"
    error[:120] *= 1.1
    large = (frame["age"] > 0.7).to_numpy()
    error[large] *= 1.4
    slices = evaluate_slices(frame, ["shop", "age"], SliceSettings(RMSE), errors(error), None)
    assert ranked(slices, RMSE)[0].column == "age"


def test_a_slice_lost_against_the_champion_is_flagged_even_when_the_whole_is_better() -> None:
    frame, error = table()
    lost = (frame["shop"] == "s3").to_numpy()
    model = errors(np.where(lost, 1.5 * error, 0.8 * error))
    slices = evaluate_slices(frame, ["shop"], SliceSettings(RMSE, margin=0.01), model, errors(error))
    assert [part.name for part in slices if part.regression] == ["shop=s3"]
    (part,) = [part for part in slices if part.regression]
    assert part.gain.upper < 0
    assert part.champion == pytest.approx(np.sqrt(np.mean(error[lost] ** 2)))


def test_a_loss_within_the_margin_is_no_regression() -> None:
    frame, error = table()
    slices = evaluate_slices(frame, ["shop"], SliceSettings(RMSE, margin=0.2), errors(1.1 * error), errors(error))
    assert not any(part.regression for part in slices)
    slices = evaluate_slices(frame, ["shop"], SliceSettings(RMSE, margin=0.05), errors(1.1 * error), errors(error))
    assert all(part.regression for part in slices)


def test_small_slices_are_not_judged() -> None:
    frame, error = table()
    frame.loc[:98, "shop"] = "tiny"
    slices = evaluate_slices(frame, ["shop"], SliceSettings(RMSE, min_rows=100), errors(error), None)
    assert "shop=tiny" not in [part.name for part in slices]


def test_a_slice_of_one_class_says_why_it_has_no_auc() -> None:
    rng = np.random.default_rng(0)
    target = rng.integers(0, 2, 1_000)
    score = rng.random(1_000)
    scored = Scored("binary", ("no", "yes"), target, (score > 0.5).astype(int), np.column_stack([1 - score, score]))
    frame = pd.DataFrame({"part": np.where(target == 0, rng.choice(["mixed", "clean"], 1_000), "mixed")})
    slices = evaluate_slices(frame, ["part"], SliceSettings(METRICS["binary"]["roc_auc"]), scored, None)
    (clean,) = [part for part in slices if part.value == "clean"]
    assert clean.undefined == "no row is labelled 'yes'"
    assert clean.estimate is None


@pytest.mark.parametrize(
    ("column", "labels"),
    [
        (pd.Series(["x", "y", None, "x"]), ["x", "missing", "y"]),
        (pd.Series([True, False, True, True]), ["True", "False"]),
        (pd.Series([1, 2, 2, 2]), ["2", "1"]),
        (
            pd.Series(np.arange(100.0)),
            ["up to 24.75", "above 24.75, up to 49.5", "above 49.5, up to 74.25", "above 74.25"],
        ),
        (pd.Series([2013.0] * 80 + list(range(20))), ["0 to 2013"]),
        (pd.Series([0.0] * 40 + list(range(60))), ["up to 9.5", "above 9.5, up to 34.25", "above 34.25"]),
    ],
)
def test_a_column_is_cut_by_value_or_by_quarters_and_missing_is_a_part(column: pd.Series, labels: list[str]) -> None:
    parts = dict(groups(column, bins=4))
    assert sorted(parts) == sorted(labels)
    assert sum(mask.sum() for mask in parts.values()) == len(column)


def test_times_are_cut_by_quarters() -> None:
    parts = groups(pd.Series(pd.date_range("2013-01-01", periods=100, freq="D")), bins=4)
    assert len(parts) == 4
    assert "2013-01-25" in parts[0][0]


@pytest.mark.parametrize(
    "values",
    [
        pd.Series(["x", "y", None, "missing"] * 50),
        pd.Series([True, None, False, True] * 50),
        pd.Series([3, None, 3, 4] * 50),
        pd.Series([2**60 + 1, None, 3, 4] * 50, dtype="Int64"),
        pd.Series(np.random.default_rng(0).normal(size=200).round(1)).where(np.arange(200) % 7 > 0),
        pd.Series(np.random.default_rng(1).integers(0, 90, 200)),
        pd.Series(np.random.default_rng(2).random(200), dtype=np.float32),
        pd.Series(pd.date_range("2013-01-01", periods=200, freq="7h")),
        pd.Series(pd.date_range("2013-01-01", periods=200, freq="7h", tz="UTC")).where(np.arange(200) % 9 > 0),
    ],
    ids=["texts", "booleans", "few", "large", "doubles", "integers", "floats", "times", "times of a zone"],
)
def test_a_stored_column_is_cut_chunk_by_chunk_as_one_in_memory_is(
    values: pd.Series, dataset: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubeline.evaluation.parts.PIECE_ROWS", 30)
    monkeypatch.setattr("kubeline.evaluation.kept.PIECE_ROWS", 40)
    table = StoredTable(dataset(pd.DataFrame({"column": values}), "test").path)
    for judged in (None, np.arange(200) % 3 > 0):
        frame = pd.DataFrame({"column": table["column"]})
        expected, found = parts_of(frame, "column", judged, 4), parts_of(table, "column", judged, 4)
        assert sorted(zip(found.labels, found.sizes, strict=True)) == sorted(
            zip(expected.labels, expected.sizes, strict=True)
        )
        assert found.sizes == expected.sizes
        codes = np.array([found.labels.index(label) for label in expected.labels])
        assert np.array_equal(np.asarray(found.codes), codes[expected.codes[:]])


def test_an_unknown_slice_column_is_refused_with_those_there_are() -> None:
    frame, error = table(200)
    with pytest.raises(UserError, match="slice 'region' is not a column of the test table; it has: shop, age"):
        evaluate_slices(frame, ["region"], SliceSettings(RMSE), errors(error), None)
