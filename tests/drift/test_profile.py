"""The reference profile: what is kept of each column, and what reads it."""

import json
import math
from collections import Counter
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.stats import false_discovery_control

from kubeline.columns import Kind
from kubeline.drift.bins import Bins
from kubeline.drift.evidently_page import redrawn
from kubeline.drift.profile import (
    MAX_CATEGORIES,
    CategoryProfile,
    NumberProfile,
    Profile,
    build,
    column,
    quantile_edges,
    sorted_in_place,
)
from kubeline.drift.statistics import Bin, CategoryCounts, adjust, category_bins, divergence, interval_labels
from kubeline.drift.values import cells, numbers, numbers_in, texts, texts_in
from kubeline.errors import UserError
from kubeline.typing import Array
from tests.drift.helpers import KINDS, table


def number(values: object) -> NumberProfile:
    found = column(pd.Series(values), "number")
    assert isinstance(found, NumberProfile)
    return found


def category(values: object) -> CategoryProfile:
    found = column(pd.Series(values), "category")
    assert isinstance(found, CategoryProfile)
    return found


@pytest.mark.parametrize("number", [2**7 - 2, 2**7 - 1, 2**7, 2**15 - 2, 2**15 - 1, 2**15])
def test_every_category_is_counted_where_their_codes_are_as_short_as_they_can_be(number: int) -> None:
    names = [f"c{i}" for i in range(number)]
    chunk = pa.record_batch([pa.array([*names, None]).dictionary_encode()], ["x"])
    expected = Counter(names)
    assert texts(cells(chunk, "x"), "category") == (expected, 1)
    assert texts(pd.Series([*names, None]).astype("category"), "category") == (expected, 1)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pa.array([0.5, None, -1.0, math.nan]), "number"),
        (pa.array([0.1, None, 7], pa.float32()), "number"),
        (pa.array([3, 2**53, -1]), "number"),
        (pa.array([3, None, -1], pa.int8()), "number"),
        (pa.array([True, None]), "number"),
        (pa.nulls(3), "number"),
        (pa.array([datetime(2024, 2, 29, 12, tzinfo=UTC), None]), "datetime"),
        (pa.array(["a", None, "", "b", "a", "unseen"]), "category"),
        (pa.array(["a", None, "", "b", "a", "unseen"]).dictionary_encode(), "category"),
        (pa.array([None, None], pa.string()).dictionary_encode(), "category"),
        (pa.array([7, None, 8]), "category"),
        (pa.array([True, None, False]), "boolean"),
    ],
)
@pytest.mark.parametrize("start", [0, 1])
def test_a_column_of_a_chunk_is_counted_as_its_cells_are(values: pa.Array, kind: Kind, start: int) -> None:
    chunk = pa.record_batch([values.slice(start)], ["x"])
    if kind in ("category", "boolean"):
        assert texts_in(chunk, "x", kind) == texts(cells(chunk, "x"), kind)
    else:
        found, expected = numbers_in(chunk, "x", kind), numbers(cells(chunk, "x"), kind)
        assert found.dtype == expected.dtype == np.float64
        np.testing.assert_array_equal(found, expected)


def test_an_infinite_value_of_a_chunk_is_refused_by_name() -> None:
    with pytest.raises(UserError, match="column 'x' holds inf in row 1"):
        numbers_in(pa.record_batch([pa.array([0.5, math.inf])], ["x"]), "x", "number")


def test_a_profile_is_json_and_reads_back_the_same() -> None:
    frame = table(np.random.default_rng(0), 1_000)
    document = build(frame, KINDS, pd.DataFrame({"probability.yes": [0.1, 0.9]}))
    text = json.dumps(document, allow_nan=False)
    assert Profile.read(text) == Profile.read(document)
    assert Profile.read(text).predictions["probability.yes"].rows == 2


def test_the_same_rows_in_any_order_give_the_same_profile() -> None:
    frame = table(np.random.default_rng(1), 1_000)
    assert build(frame.sample(frac=1, random_state=0), KINDS) == build(frame, KINDS)


@pytest.mark.parametrize("missing", [0, 1, 499, 500])
def test_numbers_that_are_sorted_where_they_are_have_the_same_profile(missing: int) -> None:
    values = np.random.default_rng(0).normal(size=500).round(1)
    values[:missing] = np.nan
    assert sorted_in_place(values[::-1].copy()) == column(pd.Series(values), "number")


def test_a_continuous_column_gets_ten_bins_of_equal_share() -> None:
    found = number(np.random.default_rng(2).normal(size=1_000))
    assert found.counts == [100] * 10


def test_a_frequent_value_gets_a_bin_of_its_own() -> None:
    found = number([0.0] * 700 + list(np.linspace(1, 2, 300)))
    assert found.counts[:2] == [0, 700]
    assert len(found.counts) > 4


def test_few_values_get_a_bin_each_and_one_for_what_lies_beyond() -> None:
    found = number([1] * 10 + [2] * 500 + [3] * 490)
    assert found.counts == [0, 10, 500, 490, 0]
    assert interval_labels(found) == ["up to 0", "1", "2", "3", "from 4"]


def test_integers_with_many_values_are_labelled_as_integers() -> None:
    labels = interval_labels(number(np.arange(1_000)))
    assert labels[:2] == ["up to 99", "100 to 199"]
    assert labels[-1] == "from 900"


def edges_by_every_value(values: Array) -> list[float]:
    """Those of a column with more than 20 values that lie far from each other, from all of them and their counts."""
    distinct, counts = np.unique(values, return_counts=True)
    middles = (distinct[1:] + distinct[:-1]) / 2
    ends = [distinct[0] - (distinct[1] - distinct[0]) / 2, distinct[-1] + (distinct[-1] - distinct[-2]) / 2]
    between = np.array([ends[0], *middles, ends[1]])
    frequent = np.flatnonzero(counts * 10 >= len(values))
    at = np.searchsorted(np.cumsum(counts), len(values) * np.arange(1, 10) / 10)
    at = at[(at + 1 < len(distinct)) & ~np.isin(at, frequent)]
    return np.unique([*between[at + 1], *between[frequent], *between[frequent + 1]]).tolist()


@pytest.mark.parametrize("rows", [21, 99, 100, 10_007])
@pytest.mark.parametrize("zeros", [0.0, 0.08, 0.3, 0.95])
@pytest.mark.parametrize("different", [21, 40, 10_000])
def test_edges_are_those_that_all_values_and_their_counts_give(rows: int, zeros: float, different: int) -> None:
    rng = np.random.default_rng(rows)
    values = np.concatenate([np.arange(-10, 11), rng.integers(-different, different, rows)]).astype(float)
    values[21:][rng.random(rows) < zeros] = 0
    assert quantile_edges(rng.permutation(values)) == edges_by_every_value(values)


@pytest.mark.parametrize("values", [[5.0], [1e308, -1e308], [5e-324, 0.0], [1.0, np.nextafter(1.0, 2)], [0.1] * 3])
def test_extreme_values_give_rising_edges_that_count_every_row(values: list[float]) -> None:
    assert sum(number(values).counts) == len(values)


def test_a_column_without_a_value_has_one_empty_bin() -> None:
    found = number([np.nan, np.nan])
    assert (found.edges, found.counts, found.missing, found.mean, found.quantiles) == ([], [0], 2, None, [])
    assert quantile_edges(np.array([])) == []


def test_categories_are_counted_as_text_and_an_empty_text_is_missing() -> None:
    found = category(pd.Series(["a", "", None, "b", "a"]))
    assert found.counts == {"a": 2, "b": 1}
    assert found.missing == 2


def test_whole_numbers_are_one_category_with_and_without_a_missing_value() -> None:
    assert category(pd.Series([7, 8])).counts == category(pd.Series([7.0, 8.0])).counts == {"7": 1, "8": 1}


def test_booleans_are_counted_as_true_and_false_whatever_their_type() -> None:
    for values in ([True, False, True], [1, 0, 1], pd.array([True, False, True], dtype="boolean")):
        found = column(pd.Series(values), "boolean")
        assert isinstance(found, CategoryProfile)
        assert found.counts == {"true": 2, "false": 1}


def test_beyond_the_limit_categories_are_kept_as_a_number_of_rows() -> None:
    names = [f"c{i:06d}" for i in range(MAX_CATEGORIES + 500)]
    found = category(pd.Series(names + names[:100]))
    assert len(found.counts) == MAX_CATEGORIES
    assert (found.other, found.floor) == (500, 1)
    assert set(names[:100]) <= set(found.counts)


def test_a_category_that_may_only_be_unlisted_is_not_taken_for_unseen() -> None:
    names = [f"c{i:06d}" for i in range(MAX_CATEGORIES + 500)]
    unlisted = Counter({names[-1]: 40})
    bins = category_bins(category(pd.Series(names)), CategoryCounts(unlisted=unlisted, unlisted_rows=40))
    assert [each.label for each in bins] == ["(rest)", "(missing)"]


def test_categories_that_never_repeat_are_expected_to_be_unseen() -> None:
    names = {f"new {i}": 1 for i in range(1_000)}
    bins = category_bins(
        category([f"old {i}" for i in range(1_000)]), CategoryCounts(unlisted=Counter(names), unlisted_rows=1_000)
    )
    assert "(unseen)" not in [each.label for each in bins]


def test_bins_hold_every_row_of_both_samples() -> None:
    reference = category(np.random.default_rng(3).integers(0, 300, 2_000).astype(str))
    current = Counter({str(i): 2 for i in range(200, 450)})
    listed = Counter({name: count for name, count in current.items() if name in reference.counts})
    counts = CategoryCounts(listed, current - listed, (current - listed).total(), missing=7)
    bins = category_bins(reference, counts)
    assert sum(each.reference for each in bins) == 2_000
    assert sum(each.current for each in bins) == counts.rows == 507


def test_a_row_is_in_the_bin_in_which_its_value_was_counted() -> None:
    values = pd.Series(np.random.default_rng(0).normal(size=2_000).round(1)).where(lambda each: each != 0.3)
    profile = number(values)
    of_rows = np.bincount(Bins(profile).of(values), minlength=len(profile.counts) + 1)
    assert of_rows.tolist() == [*profile.counts, profile.missing]
    names = pd.Series(["a"] * 30 + ["b"] * 20 + ["", None] * 5 + ["new"])
    of_names = Bins(category(names[:-1]))
    for same in (names, names.astype("category")):  # as rows come from a frame, and from a file
        assert np.bincount(of_names.of(same)).tolist() == [30, 20, 1, 10]


def test_the_divergence_of_equal_shares_is_nothing_and_of_one_bin_too() -> None:
    assert divergence([Bin("a", 100, 10), Bin("b", 200, 20)]).effect == 0.0
    assert divergence([Bin("a", 100, 10), Bin("b", 0, 0)]).p_value == 1.0
    assert divergence([]).p_value == 1.0


def test_adjusted_p_values_are_those_of_scipy() -> None:
    p = np.random.default_rng(4).random(40) ** 3
    assert adjust(p.tolist()) == pytest.approx(false_discovery_control(p))
    assert adjust([]) == []


def test_a_missing_column_or_a_wrong_type_is_named() -> None:
    with pytest.raises(UserError, match="column 'y' is to be profiled but is not in the table"):
        build(pd.DataFrame({"x": [1]}), {"y": "number"})
    with pytest.raises(UserError, match="column 'x' holds 'a'"):
        build(pd.DataFrame({"x": ["a"]}), {"x": "number"})


@pytest.mark.parametrize(
    "document",
    ["{}", "not json", {"version": 2, "rows": 1, "columns": {}}, {"version": 1, "rows": 1, "columns": {"x": 1}}],
)
def test_what_is_no_profile_is_refused_in_one_sentence(document: object) -> None:
    with pytest.raises(UserError, match=r"^reference.json is not a reference profile of version 1 \("):
        Profile.read(document, "reference.json")


def test_a_profile_whose_counts_do_not_add_up_is_refused() -> None:
    document = build(pd.DataFrame({"x": [1.0, 2.0]}), {"x": "number"})
    document["columns"]["x"]["missing"] = 5
    with pytest.raises(UserError, match="must add up to the rows"):
        Profile.read(document)


def test_rows_that_are_redrawn_from_a_profile_have_the_profile_again() -> None:
    """Of every kind: rows of a boolean were texts, of which Evidently's page was never made."""
    profile = Profile.read(build(table(np.random.default_rng(0), 300), KINDS))
    again = Profile.read(build(redrawn(profile, profile.rows), KINDS))
    for name, kind in KINDS.items():
        before, now = profile.columns[name], again.columns[name]
        assert now.missing == before.missing
        if kind in ("category", "boolean"):
            assert now.counts == before.counts
        elif kind == "number":
            assert np.allclose(now.edges, before.edges, atol=0.2)
