"""All columns at once: a classifier finds what moves between columns, and raises no alarm where nothing moved."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.power import RULE, reference_of, rows_of
from kubeline.drift.classifier import Classifier
from kubeline.drift.coded_rows import CELLS, ROWS, CodedRows, size_of
from kubeline.drift.profile import Profile, build
from kubeline.drift.result import Separation
from tests.drift.helpers import at_most

WINDOWS = 12


@pytest.fixture(scope="module")
def reference() -> tuple[Profile, CodedRows]:
    made = reference_of(2_000)
    assert made.coded is not None
    return made.profile, made.coded


def separated(reference: tuple[Profile, CodedRows], window: pd.DataFrame) -> tuple[Separation, dict[str, float]]:
    profile, rows = reference
    classifier = Classifier(rows, CodedRows.of(window, profile.columns))
    return classifier.separate(), classifier.explain()


def days(rng: np.random.Generator, number: int, rows: int, first: int, together: float = 0.0) -> pd.DataFrame:
    """So many days of so many rows: temperature and wind are nearly of the day, and may go together."""
    day = np.repeat(np.arange(number), rows)
    temp, wind = rng.normal(size=(2, number))
    wind = together * temp + np.sqrt(1 - together**2) * wind
    noise = rng.normal(0, 0.3, (2, len(day)))
    when = pd.Timestamp("2024-01-01") + pd.to_timedelta(first + day, unit="D")
    return pd.DataFrame({"temp": temp[day] + noise[0], "wind": wind[day] + noise[1], "day": when})


def test_windows_drawn_as_the_reference_was_are_distinguished_from_it_no_more_often_than_stated(
    reference: tuple[Profile, CodedRows],
) -> None:
    rng = np.random.default_rng(1)
    profile, rows = reference
    found = [Classifier(rows, CodedRows.of(rows_of(rng, 500), profile.columns)).separate() for _ in range(WINDOWS)]
    surely = sum(one.p_value <= RULE.max_p for one in found)
    print(f"p <= {RULE.max_p} in {surely} of {WINDOWS}, greatest AUC {max(one.auc for one in found):.3f}")
    assert surely <= at_most(RULE.max_p, WINDOWS)
    assert max(one.auc for one in found) < RULE.min_auc
    assert sum(one.lower <= 0.5 <= one.upper for one in found) >= WINDOWS - at_most(0.05, WINDOWS)


def test_a_correlation_that_no_column_shows_alone_is_found_and_both_columns_explain_it(
    reference: tuple[Profile, CodedRows],
) -> None:
    found, explained = separated(reference, rows_of(np.random.default_rng(2), 500, together=0.9))
    assert found.lower > RULE.min_auc
    assert found.p_value < 1e-6
    assert set(explained) == {"x", "y"}


@pytest.fixture(scope="module")
def of_days() -> tuple[Profile, CodedRows]:
    frame = days(np.random.default_rng(3), 120, 20, 0)
    profile = Profile.read(build(frame, {"temp": "number", "wind": "number"}))
    return profile, CodedRows.of(frame, profile.columns, "day").sample()


def test_rows_of_a_day_are_never_on_both_sides_so_that_other_days_raise_no_alarm(
    of_days: tuple[Profile, CodedRows],
) -> None:
    profile, rows = of_days
    rng = np.random.default_rng(4)
    surely, alone = 0, 0
    for _ in range(4):
        coded = CodedRows.of(days(rng, 30, 20, 500), profile.columns, "day")
        surely += Classifier(rows, coded).separate().p_value <= RULE.max_p
        known, new = (CodedRows(one.columns, one.codes, None) for one in (rows, coded))
        alone += Classifier(known, new).separate().p_value <= RULE.max_p
    assert surely <= at_most(RULE.max_p, 4)
    assert alone >= 3  # each window would be known by the weather of its days

    coded = CodedRows.of(days(rng, 60, 20, 500, together=0.95), profile.columns, "day")
    assert Classifier(rows, coded).separate().p_value <= RULE.max_p


def test_too_few_days_or_rows_are_refused_with_their_number(of_days: tuple[Profile, CodedRows]) -> None:
    profile, rows = of_days
    few = CodedRows.of(days(np.random.default_rng(5), 9, 50, 500), profile.columns, "day")
    assert "only 9 groups or days that belong together; 10 are needed" in Classifier(rows, few).refusal
    few = CodedRows.of(days(np.random.default_rng(5), 9, 5, 500), profile.columns, "day")
    assert "one of the samples has 45 rows; 100 are needed" in Classifier(rows, few).refusal


@pytest.mark.parametrize("different", [1, 3, 2**8])
def test_of_rows_that_stand_for_themselves_the_same_are_kept_as_of_one_group(different: int) -> None:
    codes = np.random.default_rng(0).integers(0, different, (2 * ROWS + 7, 3), dtype=np.uint8)
    alone, grouped = (CodedRows(["a", "b", "c"], codes, one).sample() for one in (None, np.zeros(len(codes))))
    assert len(alone) == ROWS
    np.testing.assert_array_equal(alone.codes, grouped.codes)


def test_the_rows_that_are_kept_are_the_same_in_any_order_bounded_and_of_each_day_as_many() -> None:
    frame = days(np.random.default_rng(6), 60, 500, 0)
    profile = Profile.read(build(frame, {"temp": "number", "wind": "number"}))
    kept = [CodedRows.of(one, profile.columns, "day").sample() for one in (frame, frame.sample(frac=1, random_state=0))]
    np.testing.assert_array_equal(kept[0].codes, kept[1].codes)
    assert len(kept[0]) == ROWS
    assert kept[0].together is not None
    _, of_each_day = np.unique(kept[0].together, return_counts=True)
    assert len(of_each_day) == 60
    assert of_each_day.max() - of_each_day.min() <= 1
    again = CodedRows.read(kept[0].kept())
    assert again.codes.tolist() == kept[0].codes.tolist()
    assert again.together is not None
    assert again.together.tolist() == kept[0].together.tolist()
    assert [size_of(columns) for columns in (3, 100, 1_000)] == [ROWS, ROWS, CELLS // 1_000]


def test_a_day_has_the_same_number_whatever_the_precision_of_its_times() -> None:
    frame = days(np.random.default_rng(7), 5, 3, 0)
    profile = Profile.read(build(frame, {"temp": "number"}))
    times: Any = frame["day"].astype("datetime64[us]") + pd.Timedelta(hours=3)
    one, other = (CodedRows.of(each, profile.columns, "day") for each in (frame, frame.assign(day=times)))
    assert one.together is not None
    assert other.together is not None
    assert one.together.tolist() == other.together.tolist()
