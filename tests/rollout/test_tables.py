"""Payload logs and tables of outcomes by the engine of `load`: matched by keys, drawn by a hash, their values exact."""

from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kubeline.columns import Kind
from kubeline.data.duck import Connection
from kubeline.data.engine import connect, fetch
from kubeline.data.sources import SourceFile
from kubeline.errors import UserError
from kubeline.model_package import Signature
from kubeline.model_package.plain_values import plain_values
from kubeline.rollout.probes.outcomes import Outcomes, by_request
from kubeline.rollout.probes.tables import arrays, drawn, hold, keep, numbers, opened, plain_rows, whole
from kubeline.rollout.spec import OutcomesSpec
from tests.support.packages import FEATURES

SIGNATURE = Signature(features=FEATURES, target="late", task="binary", classes=["False", "True"])


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    with closing(connect(tmp_path)) as found:
        yield found


def parquet(folder: Path, **columns: Any) -> list[SourceFile]:
    pq.write_table(pa.table({name.replace("_", "."): values for name, values in columns.items()}), folder / "a.parquet")
    return [SourceFile("a.parquet", folder / "a.parquet", "parquet")]


@pytest.mark.parametrize("ids", [pa.array([7, 8, 7, None]), pa.array(["7", "8", "7", None]).dictionary_encode()])
def test_keys_match_whatever_types_two_tables_have_for_them(connection: Connection, tmp_path: Path, ids: Any) -> None:
    hold(connection, {"request.id": np.array(["7", "7", "8", "9"], object), "request.row": np.array([0, 1, 0, 0])})
    known = parquet(tmp_path, request_id=ids, request_row=pa.array([1, 0, 5, 0], pa.int32()), late=[1, 2, 3, 4])
    outcomes = Outcomes(OutcomesSpec(source="known", payload_log="log"), SIGNATURE)
    found = outcomes.known(connection, opened(connection, known, "table"), "late")
    assert (found.rows.tolist(), found.values, found.differing) == ([1, 2], [1, 2], 0)


def test_a_share_of_the_requests_is_drawn_and_always_the_same_ones(connection: Connection) -> None:
    hold(connection, {"request.id": np.array([f"r-{number}" for number in range(10_000)], object)})

    def chosen(share: float) -> set[str]:
        return {given for (given,) in fetch(connection, f'SELECT "request.id" FROM log WHERE {drawn(share)}')}  # noqa: S608

    assert 2_800 < len(chosen(0.3)) < 3_200
    assert chosen(0.3) < chosen(0.6)
    assert len(chosen(1.0)) == 10_000


MOMENT = datetime.fromisoformat("2013-01-01T05:00:00.123456")
COLUMNS: list[tuple[pa.Array, Kind]] = [
    (pa.array([2**53 + 1, None]), "number"),
    (pa.array([0.5, float("nan")], pa.float32()), "number"),
    (pa.array([Decimal("1.25"), None]), "number"),
    (pa.array([True, None]), "boolean"),
    (pa.array(["UA", None]).dictionary_encode(), "category"),
    (pa.array([MOMENT, None], pa.timestamp("us")), "datetime"),
    (pa.array([1357016400123456789, None], pa.timestamp("ns")), "datetime"),
    (pa.array([MOMENT, None], pa.timestamp("us", "America/New_York")), "datetime"),
    (pa.array([MOMENT, None], pa.timestamp("ns", "UTC")), "datetime"),
    (pa.array([date(2013, 1, 1), None]), "datetime"),
    (pa.array(["2013-01-01T05:00", None]), "datetime"),
]


@pytest.mark.parametrize(("column", "kind"), COLUMNS)
def test_a_logged_request_is_sent_with_the_values_that_its_client_sent(
    connection: Connection, tmp_path: Path, column: pa.Array, kind: Kind
) -> None:
    table = opened(connection, parquet(tmp_path, request_id=["a", "b"], x=column), "log")
    keep(connection, f"SELECT * FROM {table.source}", 'ORDER BY "request.id"')  # noqa: S608
    found = [row["x"] for row in plain_rows(connection, {"x": kind})]
    assert list(map(repr, found)) == list(map(repr, plain_values(column, kind)))


def test_answers_and_requests_are_arrays_in_the_order_of_the_log(connection: Connection, tmp_path: Path) -> None:
    answers = {"p": pa.array([0.25, None, 0.75], pa.float32()), "n": [1, 2, 3], "t": ["x", None, "z"]}
    table = opened(connection, parquet(tmp_path, request_id=["b", "a", "b"], **answers), "log")
    assert keep(connection, f"SELECT * FROM {table.source}", 'ORDER BY "n" DESC') == 3  # noqa: S608
    found = arrays(connection, ["p", "n", "t"])
    np.testing.assert_array_equal(found["p"], [0.75, np.nan, 0.25])
    assert (found["n"].tolist(), found["t"].tolist()) == ([3, 2, 1], ["z", None, "x"])
    assert found["request"][0] == found["request"][2] != found["request"][1]


def test_ids_of_a_text_file_stay_the_texts_that_they_are(connection: Connection, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("request.id,late\n007,True\n7,False\n")
    (tmp_path / "a.json").write_text('{"request.id": "007", "late": true}\n{"request.id": "7", "late": false}\n')
    for kind in ("csv", "json"):
        table = opened(connection, [SourceFile("a", tmp_path / f"a.{kind}", kind)], "table")
        assert fetch(connection, f"SELECT * FROM {table.source}") == [("007", True), ("7", False)]  # noqa: S608


def test_files_that_are_cut_are_left_out_and_none_that_is_whole_is_a_sentence(
    connection: Connection, tmp_path: Path
) -> None:
    (good,) = parquet(tmp_path, request_id=["a"])
    content = good.path.read_bytes()
    for length in range(0, len(content), 37):
        (tmp_path / "cut.parquet").write_bytes(content[:length])
        cut = SourceFile("cut.parquet", tmp_path / "cut.parquet", "parquet")
        assert whole(connection, [cut, good]) == [good]
        with pytest.raises(UserError, match=r"'cut\.parquet' and all other files of the payload log are no whole"):
            whole(connection, [cut])


def test_a_file_that_says_that_a_page_unpacks_to_gigabytes_takes_no_more_than_the_engine_may(
    connection: Connection, tmp_path: Path
) -> None:
    ids = pa.DictionaryArray.from_arrays(pa.array([0] * 1_000_000, pa.int32()), pa.array(["x" * 10_000]))
    table = opened(connection, parquet(tmp_path, request_id=ids), "log")
    keep(connection, f"SELECT DISTINCT * FROM {table.source}")  # noqa: S608
    assert fetch(connection, "SELECT count(*) FROM log") == [(1,)]


def test_of_two_formats_or_another_one_nothing_is_read(connection: Connection, tmp_path: Path) -> None:
    files = [SourceFile("a.feather", tmp_path / "a.feather", "feather"), *parquet(tmp_path, request_id=["a"])]
    for given in (files, files[:1]):
        with pytest.raises(UserError, match=r"the table is of the formats feather.*; expected Parquet, CSV or JSON"):
            opened(connection, given, "table")


@pytest.mark.parametrize("values", [[1, 0], [1.0, 0.0], [True, False], [Decimal("1.0"), Decimal("0.0")]])
def test_numbers_are_taken_from_every_type_that_holds_some(values: list[Any]) -> None:
    assert numbers(values, "revenue").tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("values", "sentence"), [(["1"], "'revenue' .* str where a number"), ([np.inf], "'revenue' .* infinite number")]
)
def test_texts_and_infinite_numbers_are_none(values: list[Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        numbers(values, "revenue")


def test_values_of_one_request_are_a_cluster() -> None:
    found = by_request(np.array([4, 4, 2, 2]), np.array([1.0, 3.0, 8.0, np.nan]))
    assert (found.n, found.mean) == (2, 4.0)
