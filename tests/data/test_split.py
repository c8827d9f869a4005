"""Every row goes to one set, chosen as asked for, and what both sets share is reported."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kfp import dsl

from components.split.component import split as component
from kubeline.data import assignment
from kubeline.data.dataset import read_frame
from kubeline.errors import UserError
from tests.support.artifacts import Maker


class Sets(NamedTuple):
    train: pd.DataFrame
    test: pd.DataFrame
    report: str
    artifacts: dict[str, dsl.Artifact]


@pytest.fixture
def split(tmp_path: Path, dataset: Maker) -> Any:
    """`split(frame, **parameters)`: what the component makes of a table."""
    runs = iter(range(100))

    def run(frame: pd.DataFrame, metadata: Mapping[str, Any] = {}, **parameters: Any) -> Sets:
        number = next(runs)
        kinds = {"train": dsl.Dataset, "test": dsl.Dataset, "report": dsl.Markdown}
        made = {
            name: kind(name=name, uri=str(tmp_path / f"split-{number}" / name), metadata={})
            for name, kind in kinds.items()
        }
        table = dataset(frame, f"table-{number}")
        table.metadata.update(metadata)
        component.python_func(dataset=table, **made, **parameters)
        return Sets(
            read_frame(made["train"].path),
            read_frame(made["test"].path),
            Path(made["report"].path).read_text(encoding="utf-8"),
            made,
        )

    return run


WAYS = [
    {"by": "random"},
    {"by": "stratified", "column": "late"},
    {"by": "group", "column": "dest"},
    {"by": "time", "column": "departure"},
    {"by": "time", "column": "departure", "cutoff": "2013-10-01"},
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: " ".join(way.values()))
def test_every_row_is_in_exactly_one_set_in_the_order_of_the_table(
    way: Any, flights: pd.DataFrame, split: Callable[..., Sets]
) -> None:
    flights["row"] = range(len(flights))
    sets = split(flights, **way)
    rows = [sets.train["row"], sets.test["row"]]
    assert all(row.is_monotonic_increasing for row in rows)
    assert sorted(pd.concat(rows)) == list(range(len(flights)))
    pd.testing.assert_frame_equal(sets.test, flights.iloc[sets.test["row"]].reset_index(drop=True), check_dtype=False)


@pytest.mark.parametrize("way", WAYS[:4], ids=lambda way: way["by"])
def test_the_share_is_as_asked_for_and_the_same_seed_gives_the_same_sets(
    way: Any, flights: pd.DataFrame, split: Callable[..., Sets]
) -> None:
    first, again = (split(flights, test_fraction=0.3, seed=7, **way) for _ in range(2))
    assert len(first.test) / len(flights) == pytest.approx(0.3, abs=0.1 if way["by"] == "group" else 0.02)
    assert first.artifacts["test"].metadata == again.artifacts["test"].metadata
    other = split(flights, test_fraction=0.3, seed=8, **way)
    assert (other.test["departure"].tolist() == first.test["departure"].tolist()) == (way["by"] == "time")


def test_the_metadata_say_what_each_set_is_and_what_it_is_a_part_of(
    flights: pd.DataFrame, split: Callable[..., Sets]
) -> None:
    sets = split(flights)
    train, test = (sets.artifacts[name].metadata for name in ("train", "test"))
    assert train["rows"] + test["rows"] == 6_000
    assert test["rows"] == pytest.approx(1_200, abs=100)
    assert train["fingerprint"] != test["fingerprint"]
    assert len(train["parent_fingerprint"]) == 64
    assert train["parent_fingerprint"] == test["parent_fingerprint"]
    assert train["source"] == "test"
    assert (test["split_by"], test["split_column"]) == ("random", "")


@pytest.mark.parametrize("known", [{}, {"personal": []}, {"personal": ["name"]}])
def test_both_sets_name_the_columns_of_personal_data_where_the_table_does(
    known: dict[str, Any], split: Callable[..., Sets]
) -> None:
    for one in ("train", "test"):
        found = split(pd.DataFrame({"name": list("abcdefgh")}), known).artifacts[one].metadata
        assert {key: value for key, value in found.items() if key == "personal"} == known


def test_each_class_has_about_the_same_share_and_is_in_both_sets(split: Callable[..., Sets]) -> None:
    frame = pd.DataFrame({"class": ["rare"] * 10 + ["common"] * 9_988 + [None] * 2, "n": range(10_000)})
    sets = split(frame, by="stratified", column="class", test_fraction=0.2)
    counts = sets.test["class"].value_counts(dropna=False).to_dict()
    assert counts["common"] == pytest.approx(0.2 * 9_988, abs=150)
    assert 1 <= counts["rare"] <= 9
    assert counts[None] == 1


@pytest.mark.parametrize("way", WAYS[:3], ids=lambda way: way["by"])
def test_rows_stay_on_their_side_when_others_are_added_and_the_order_changes(
    way: Any, flights: pd.DataFrame, split: Callable[..., Sets]
) -> None:
    before = split(flights.head(4_000), **way)
    after = split(flights.sample(frac=1, random_state=1), **way)
    tested, trained = (set(rows.astype(str).agg("|".join, axis=1)) for rows in (after.test, before.train))
    assert len(tested) > 500
    assert not tested & trained


def test_with_a_larger_share_no_row_leaves_the_test_set(flights: pd.DataFrame, split: Callable[..., Sets]) -> None:
    small, large = (split(flights, test_fraction=share).test for share in (0.1, 0.3))
    assert len(small.merge(large.drop_duplicates())) == len(small)


@pytest.mark.parametrize("way", [{"by": "random"}, {"by": "stratified", "column": "b"}], ids=lambda way: way["by"])
def test_equal_rows_are_on_one_side_however_often_they_are_there(
    way: dict[str, str], split: Callable[..., Sets]
) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.integers(0, 300, 3_000).astype(float), "b": rng.choice(["x", "y"], 3_000)})
    frame.loc[::50, "a"] = np.nan
    sets = split(frame, test_fraction=0.4, **way)
    assert len(sets.test) > 500
    assert sets.test.merge(sets.train.drop_duplicates()).empty
    assert "equal rows are on one side" in sets.report


def test_a_table_of_equal_rows_cannot_be_split(split: Callable[..., Sets]) -> None:
    with pytest.raises(UserError, match="all 5 rows are equal and belong on one side; a split needs at least two"):
        split(pd.DataFrame({"a": [1] * 5}))


def test_groups_are_never_in_both_sets(flights: pd.DataFrame, split: Callable[..., Sets]) -> None:
    sets = split(flights, by="group", column="dest")
    assert not set(sets.train["dest"]) & set(sets.test["dest"])


def test_of_two_groups_one_is_for_the_test_whatever_the_share(split: Callable[..., Sets]) -> None:
    frame = pd.DataFrame({"g": ["a"] * 5 + ["b"] * 3})
    for share in (0.01, 0.99):
        sets = split(frame, by="group", column="g", test_fraction=share)
        assert len(set(sets.test["g"])) == len(set(sets.train["g"])) == 1


def test_equal_instants_are_never_in_both_sets(split: Callable[..., Sets]) -> None:
    frame = pd.DataFrame({"t": pd.to_datetime(["2013-01-02", "2013-01-01"] * 3 + ["2013-01-03"])})
    sets = split(frame, by="time", column="t", test_fraction=0.2)
    assert sets.test["t"].tolist() == [pd.Timestamp("2013-01-03")]
    assert "first of test: 2013-01-03" in sets.report


def test_nan_and_null_are_one_missing_class() -> None:
    classes = pa.chunked_array([pa.array([1.0, 1.0, float("nan"), None])])
    assert assignment.by_class(classes, np.arange(4, dtype=np.uint64), "c", 0.5, 0).sum() == 2


@pytest.mark.parametrize(
    ("times", "cutoff", "rows"),
    [
        (pd.to_datetime(["2013-01-01", "2013-06-01"]), "2013-06-01", 1),
        (pd.to_datetime(["2013-01-01", "2013-06-01"], utc=True), "2013-05-31T22:00:00-02:00", 1),
        (pd.to_datetime(["2013-01-01", "2013-06-01"]).date, "2013-03", 1),
        ([2011, 2012, 2013], "2012", 2),
        ([0.5, 1.5], "1.0", 1),
        ([2011, 2012, 2013], "2011.5", 2),
        ([1_370_044_800_000_000_001, 1_370_044_800_000_000_002], "1370044800000000002", 1),  # nanoseconds since 1970
        (np.array([1, 2**64 - 1], np.uint64), "18446744073709551615", 1),
        (pd.to_datetime(["2013-01-01", "2013-06-01"]).astype("datetime64[s]"), "2013-01-01T00:00:00.5", 1),
    ],
)
def test_a_cutoff_is_the_first_instant_of_the_test_set(
    times: Any, cutoff: str, rows: int, split: Callable[..., Sets]
) -> None:
    assert len(split(pd.DataFrame({"t": times}), by="time", column="t", cutoff=cutoff).test) == rows


FRAME = pd.DataFrame(
    {
        "g": ["a", None, "b"],
        "one": ["a"] * 3,
        "t": pd.to_datetime(["2013-01-01", None, "2013-01-03"]),
        "same": pd.to_datetime(["2013-01-01"] * 3),
        "day": pd.to_datetime(["2013-01-01", "2013-01-02", "2013-01-03"]),
        "nan": [1.0, float("nan"), 2.0],
        "n": [1, 2, 3],
    }
)


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"by": "chance"}, "by='chance' is not a way to split; expected one of: random, stratified, group, time"),
        ({"by": "group"}, "by='group' needs a column; say which one holds the group"),
        ({"column": "g"}, "column 'g' has no meaning for by='random'; expected by to be one of: stratified, group"),
        ({"by": "group", "column": "x"}, "group column 'x' is not a column of this table; it has: g, one, t, same"),
        ({"test_fraction": 0.0}, "test_fraction is 0.0; expected a share between 0 and 1, such as 0.2"),
        ({"test_fraction": 1.0}, "test_fraction is 1.0; expected a share between 0 and 1, such as 0.2"),
        ({"test_fraction": float("nan")}, "test_fraction is nan; expected a share between 0 and 1, such as 0.2"),
        ({"cutoff": "2013"}, "cutoff '2013' has no meaning for by='random'; give it with by='time'"),
        ({"by": "group", "column": "g"}, "group column 'g' is missing in 1 row, which may belong to any group; drop"),
        (
            {"by": "group", "column": "nan"},
            "group column 'nan' is missing in 1 row, which may belong to any group; drop",
        ),
        ({"by": "time", "column": "n", "cutoff": "nan"}, r"cutoff 'nan' does not fit time column 'n' \(int64\)"),
        ({"by": "group", "column": "one"}, r"group column 'one' has one group only; a split needs at least two"),
        (
            {"by": "stratified", "column": "n"},
            "3 of the 3 classes of 'n' have one row only, or equal ones, and cannot be in both sets, such as 9 in",
        ),
        ({"by": "time", "column": "g"}, "time column 'g' holds string; expected timestamps, dates or numbers"),
        (
            {"by": "time", "column": "t"},
            "time column 't' is missing in 1 row; drop them, for they have no place in time",
        ),
        ({"by": "time", "column": "nan"}, "time column 'nan' is missing in 1 row; drop them"),
        (
            {"by": "time", "column": "same"},
            "time column 'same' holds one instant only; a split by time needs at least two",
        ),
        (
            {"by": "time", "column": "day", "cutoff": "2014-01-01"},
            "cutoff '2014-01-01' leaves no row at or after it; 'day' goes from 2013-01-01 00:00:00 to 2013-01-03",
        ),
        (
            {"by": "time", "column": "day", "cutoff": "2013-01-01"},
            "cutoff '2013-01-01' leaves no row before it; 'day'",
        ),
        (
            {"by": "time", "column": "day", "cutoff": "soon"},
            r"cutoff 'soon' does not fit time column 'day' \(timestamp",
        ),
        ({"by": "time", "column": "n", "cutoff": "soon"}, r"cutoff 'soon' does not fit time column 'n' \(int64\)"),
        (
            {"by": "time", "column": "day", "cutoff": "2013-01-02T00:00Z"},
            "cutoff '2013-01-02T00:00Z' has an offset from UTC, but time",
        ),
    ],
)
def test_what_cannot_be_split_is_refused_in_one_sentence(
    parameters: dict[str, Any], sentence: str, split: Callable[..., Sets], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=f"^{sentence}"):
        split(FRAME, **parameters)
    assert not (tmp_path / "split-0").exists() or not list((tmp_path / "split-0").iterdir())


def test_one_row_cannot_be_split(split: Callable[..., Sets]) -> None:
    with pytest.raises(UserError, match="a table of 1 row cannot be split into two sets; expected at least two rows"):
        split(FRAME.head(1))


@settings(deadline=None)
@given(
    st.lists(st.integers(2, 40), min_size=1, max_size=6),
    st.floats(0.01, 0.99),
    st.integers(0, 2**32),
)
def test_every_class_is_on_both_sides(sizes: Any, fraction: Any, seed: Any) -> None:
    codes = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    rows = np.arange(len(codes), dtype=np.uint64)
    test = assignment.by_class(pa.chunked_array([codes]), rows, "class", fraction, seed)
    for code, size in enumerate(sizes):
        assert 1 <= int(test[codes == code].sum()) <= size - 1


@settings(deadline=None)
@given(st.lists(st.integers(0, 5), min_size=2, max_size=60), st.floats(0.01, 0.99), st.integers(0, 2**32))
def test_groups_stay_whole_and_both_sides_have_rows(groups: Any, fraction: Any, seed: Any) -> None:
    if len(set(groups)) == 1:
        return
    test = assignment.by_group(pa.chunked_array([groups]), "group", fraction, seed)
    assert 0 < test.sum() < len(groups)
    for group in set(groups):
        assert len(set(test[np.array(groups) == group])) == 1
