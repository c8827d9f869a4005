"""Rows that belong together: windows of the reference's own days raise no more alarms than stated, and a shift does."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.false_alarms import SORTS, reference_of, table, window_of
from kubeline.drift.check import judge
from kubeline.drift.clusters import ClusterCounts
from kubeline.drift.compare import compare
from kubeline.drift.profile import Profile, build
from kubeline.drift.result import ColumnDrift
from kubeline.drift.window import counter
from tests.drift.helpers import RULE, at_most

KINDS = {"temp": "number", "wind": "number", "sky": "category", "seats": "number"}
WINDOWS = 200


def days(rng: np.random.Generator, number: int, rows: int, warmer: float = 0.0) -> pd.DataFrame:
    """So many days of so many rows: of the day are temperature and sky, nearly, and half of the wind; seats are not."""
    day = np.repeat(np.arange(number), rows)
    temp = rng.normal(warmer, 1, number)[day] + rng.normal(0, 0.3, len(day))
    wind = rng.normal(0, 1, number)[day] + rng.normal(0, 1, len(day))
    usual = np.array(["clear", "cloud", "rain", "snow"])[rng.integers(0, 4, number)][day]
    sky = np.where(rng.random(len(day)) < 0.8, usual, "clear")
    return pd.DataFrame({"temp": temp, "wind": wind, "sky": sky, "seats": rng.poisson(150, len(day)), "day": day})


def judged(reference: Profile, window: pd.DataFrame, clustered: bool = True) -> dict[str, ColumnDrift]:
    counters = {name: counter(column) for name, column in reference.columns.items()}
    clusters = ClusterCounts(reference.columns, "day", reference.rows / (reference.clusters or 1))
    for name, each in counters.items():
        each.add(window[name])
    for part in np.array_split(np.arange(len(window)), 3):
        clusters.add(dict(window.iloc[part]))
    columns = compare(counters, {}, RULE, clusters.spreads() if clustered else {}).columns
    return {column.name: column for column in columns}


def alarmed(found: dict[str, ColumnDrift]) -> bool:
    return any(column.verdict == "drift" for column in found.values())


@pytest.fixture(scope="module")
def reference() -> Profile:
    """270 days of 200 rows."""
    return Profile.read(build(days(np.random.default_rng(0), 270, 200), KINDS, clusters=270))


@pytest.mark.parametrize(("number", "rows"), [(30, 33), (30, 400), (90, 20)])
def test_200_windows_of_days_that_are_as_before_alarm_no_more_often_than_stated(
    number: int, rows: int, reference: Profile
) -> None:
    rng = np.random.default_rng(1)
    windows = [days(rng, number, rows) for _ in range(WINDOWS)]
    alarms = sum(alarmed(judged(reference, window)) for window in windows)
    print(f"{number} days of {rows} rows: {alarms} of {WINDOWS} windows alarm")
    assert alarms <= at_most(RULE.max_p, WINDOWS)


def test_windows_of_customers_of_very_different_sizes_alarm_no_more_often_than_stated() -> None:
    """One customer may have a tenth of the rows, and a favourite of many categories."""
    rng, sort, rule = np.random.default_rng(5), SORTS[-1], RULE.model_copy(update={"min_auc": 1.0})
    known = reference_of(rng, sort)
    windows = [window_of(known, table(rng, sort.window(rng, 1_000), True), True) for _ in range(50)]
    alarms = sum(judge(window, known, rule)[0].drifted for window in windows)
    assert alarms <= at_most(RULE.max_p, 50)


def test_as_independent_rows_nearly_every_month_of_the_same_days_would_alarm(reference: Profile) -> None:
    rng = np.random.default_rng(2)
    assert sum(alarmed(judged(reference, days(rng, 30, 33), clustered=False)) for _ in range(20)) >= 10


def test_days_that_are_warmer_by_two_standard_deviations_still_alarm(reference: Profile) -> None:
    rng = np.random.default_rng(3)
    found = [judged(reference, days(rng, 30, 33, warmer=2.0))["temp"] for _ in range(20)]
    print([f"effect {column.effect:.2f}, p {column.p_value:.2g}" for column in found])
    assert sum(column.verdict == "drift" for column in found) >= 18


def test_independent_rows_of_many_groups_are_judged_as_before(reference: Profile) -> None:
    rng = np.random.default_rng(4)
    window = days(rng, 1_000, 2)
    window["day"] = np.arange(len(window))
    window["temp"] += 0.5
    with_groups, alone = judged(reference, window), judged(reference, window, clustered=False)
    assert with_groups["seats"].effect == pytest.approx(alone["seats"].effect, abs=0.01)
    assert with_groups["temp"].verdict == alone["temp"].verdict == "drift"


def test_too_few_days_decide_nothing_and_that_is_said(reference: Profile) -> None:
    clusters = ClusterCounts(reference.columns, "day", None)
    clusters.add(dict(days(np.random.default_rng(5), 9, 50)))
    assert clusters.spreads() == {}
    assert clusters.assumed.startswith(
        "the window has only 9 groups or days of 'day'; every row is taken as independent"
    )


def test_counts_do_not_depend_on_chunks(reference: Profile) -> None:
    window: Any = days(np.random.default_rng(6), 20, 50)
    whole, parts = (ClusterCounts(reference.columns, "day", None) for _ in range(2))
    whole.add(dict(window))
    for part in np.array_split(np.arange(len(window)), 7):
        parts.add(dict(window.iloc[part]))
    for name, spread in whole.spreads().items():
        np.testing.assert_array_equal(spread.covariance, parts.spreads()[name].covariance)
