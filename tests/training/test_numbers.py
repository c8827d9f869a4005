"""Numbers that float32 merges are distinguished, in training and in both forms of the model, or refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kubeline.errors import UserError
from kubeline.model_package import ModelPackage
from kubeline.training.numbers import Differences
from kubeline.training.precision import needs_float64
from tests.support.training_tables import SMALL, Train
from tests.training.exactness import TREES, difference

ROWS = 600
CODE = np.arange(ROWS) % 2
STRONG: dict[str, Any] = {**SMALL, "linear": {"regularization": 1e-3}}


def accuracy(package: ModelPackage, frame: pd.DataFrame) -> float:
    """Of what serves."""
    return float(np.mean(package.predictor(threads=1).predict(frame).values == frame["y"].astype(str)))


PAIRS = {
    "two account numbers": [1_234_567_890, 1_234_567_891],
    "the first whole number that float32 does not hold": [16_777_216, 16_777_217],
    "accounts as floats": [1e15, 1e15 + 1],
    "whole numbers up to 2**53": [2**53 - 1, 2**53],
    "negative ones": [-1_234_567_890, -1_234_567_891],
    "moments a millisecond apart": [1_700_000_000.001, 1_700_000_000.002],
    "neighbouring float64": [1.0, np.nextafter(1.0, 2.0)],
    "too small for float32": [1e-50, 2e-50],
    "too close for a random forest": [1e-9, 2e-9],
}


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("estimator", STRONG)
def test_two_numbers_that_float32_merges_are_distinguished(
    train: Train, tmp_path: Path, estimator: str, pair: str
) -> None:
    """Of two account numbers the accuracy was .517 instead of 1."""
    frame = pd.DataFrame({"x": np.array(PAIRS[pair])[CODE], "y": CODE == 1})
    package = train(frame, estimator=estimator, params=STRONG[estimator])
    assert package.signature.features[0].dtype == "float64"
    assert accuracy(package, frame) == 1.0
    assert difference(package, frame) < 1e-5
    assert "olumn &#39;x&#39; is read as float64, because float32 would round it" in (tmp_path / "report").read_text()


@pytest.mark.parametrize("estimator", TREES)
def test_seconds_since_1970_are_distinguished(train: Train, estimator: str) -> None:
    """The accuracy was .84, because float32 knows every 128th second."""
    seconds = 1_700_000_000 + np.random.default_rng(0).permutation(ROWS)
    frame = pd.DataFrame({"x": seconds, "y": (seconds // 60) % 2 == 0})
    params = {"random_forest": {"max_leaf_nodes": 200}, "lightgbm": {"min_child_samples": 5}}.get(estimator, {})
    assert accuracy(train(frame, estimator=estimator, params=params), frame) > 0.98


@pytest.mark.parametrize("estimator", TREES)
def test_account_numbers_near_and_far_from_each_other_are_distinguished(
    train: Train, tmp_path: Path, estimator: str
) -> None:
    """Near ones by their difference from an origin, far ones too by what float32 leaves of it."""
    accounts = np.array([10**10, 10**10 + 1, 3 * 10**14, 3 * 10**14 + 1])[np.arange(ROWS) % 4]
    frame = pd.DataFrame({"x": accounts, "y": accounts % 2 == 0})
    package = train(frame, estimator=estimator)
    assert accuracy(package, frame) == 1.0
    assert "merge 2 of its 4 different values" in (tmp_path / "report").read_text()


def test_wide_numbers_beside_missing_ones_categories_and_dates(train: Train) -> None:
    from tests.support.training_tables import for_task, mixed_table

    frame = for_task(mixed_table(), "binary")
    frame["account"] = pd.array(1_234_567_890 + frame["y"].astype(int), dtype="Int64")
    frame.loc[::5, "account"] = pd.NA
    for estimator in SMALL:
        package = train(frame, estimator=estimator)
        assert difference(package, frame) < 1e-5
        assert accuracy(package, frame[frame["account"].notna()]) > 0.97


@pytest.mark.parametrize(
    ("values", "needed"),
    [
        (np.arange(1000.0), False),
        (np.arange(1000) / 8, False),
        (np.random.default_rng(0).normal(size=1000), False),
        (np.random.default_rng(0).lognormal(12, 1, size=1000).round(2), False),
        (np.full(1000, 16_777_217.0), True),
        (1e6 + np.random.default_rng(0).normal(size=1000), True),
        (np.full(10, 0.1), False),
        (np.full(10, np.nan), False),
        (np.linspace(0, 2.0**-14, 1000), True),
        (np.where(np.arange(1000) < 995, 1e6 + np.arange(1000) / 1000, 0.5), True),
        (np.where(np.arange(1000) < 980, 1e6 + np.arange(1000) / 1000, 0.5), False),
        (np.append(np.arange(1000) / 8, 1e30), False),
    ],
)
def test_a_column_is_float64_only_where_it_must(values: Any, needed: bool) -> None:
    assert needs_float64(values) is needed


def test_whole_numbers_up_to_2_to_the_48_apart_become_different_rows() -> None:
    rng = np.random.default_rng(0)
    values = np.unique(rng.integers(0, 2**48, 2_000) + np.repeat([0, 1, 2, 3], 500))
    found = Differences().fit(values[:, None].astype(float)).transform(values[:, None].astype(float))
    assert found.dtype == np.float32
    assert len(np.unique(found, axis=0)) == len(values)


@pytest.mark.parametrize("missing", [False, True])
def test_a_whole_number_that_even_float64_rounds_is_refused_by_name(train: Train, missing: bool) -> None:
    values: list[Any] = [2**60, 2**60 + 1] * (ROWS // 2)
    if missing:
        values[0] = None
    frame = pd.DataFrame({"x": pd.array(values, dtype="Int64"), "y": CODE == 1})
    form = "9" * len(str(2**60))  # no value of a table is in a message
    with pytest.raises(UserError, match=f"column 'x' holds {form} in row 1, which float64 does not hold"):
        train(frame)


def test_numbers_that_merge_without_harm_are_counted_in_the_report(train: Train, tmp_path: Path) -> None:
    cents = np.random.default_rng(0).integers(0, 10**8, 3_000) / 100
    cents[:100] = 999_999 + np.arange(100) / 100  # float32 knows every sixteenth there
    train(pd.DataFrame({"price": cents, "y": np.arange(3_000) % 2 == 0}))
    page = (tmp_path / "report").read_text()
    assert "different values of column &#39;price&#39; with others" in page
    assert "loat32 merges 8" in page


def test_times_as_whole_nanoseconds_are_held_out_in_their_order(train: Train) -> None:
    """As float64, 256 of them are one moment."""
    frame = pd.DataFrame({"t": 1_700_000_000_000_000_000 + np.arange(ROWS), "x": CODE, "y": CODE == 1})
    assert train(frame, time_column="t").manifest.parity.rows == 60


@pytest.mark.parametrize(
    ("values", "warned"),
    [
        (np.arange(ROWS) + 5_000, True),
        ([f"customer {row}" for row in range(ROWS)], True),
        (np.arange(ROWS) * 1.0, True),
        (np.arange(ROWS) / 7, False),
        (np.arange(ROWS) // 2, False),
        (np.where(np.arange(ROWS) % 2, "a", "b"), False),
    ],
)
def test_a_column_that_looks_like_an_identifier_is_warned_about_by_name(
    train: Train, tmp_path: Path, values: Any, warned: bool
) -> None:
    train(pd.DataFrame({"customer_id": values, "x": CODE, "y": CODE == 1}))
    words = "olumn &#39;customer_id&#39; has 600 different values in 600 rows, as an identifier has"
    assert (words in (tmp_path / "report").read_text()) is warned
