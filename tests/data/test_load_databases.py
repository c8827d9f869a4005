"""Results of SQL queries are streamed with the types that their values have."""

import sqlite3
from pathlib import Path

import pandas as pd
import pytest

from kubeline.data.failures import database_words
from kubeline.errors import PlatformError, UserError
from tests.support.loading import Load


@pytest.fixture
def database(tmp_path: Path) -> str:
    """The address of a SQLite database with a table `flights`."""
    connection = sqlite3.connect(tmp_path / "flights.db")
    with connection:
        connection.execute("CREATE TABLE flights (id INTEGER, delay, carrier TEXT, departure TEXT, note, code TEXT)")
        connection.executemany(
            "INSERT INTO flights VALUES (?, ?, ?, ?, ?, ?)",
            [
                (1, 1, "UA", "2013-01-01 05:00:00", None, "007"),
                (2, 2.5, "NA", "2013-01-02", None, "10"),
                (3, None, "B6", None, None, "8"),
            ],
        )
    connection.close()
    return f"sqlite:///{tmp_path / 'flights.db'}".replace("sqlite:///", "sqlite:////", 1).replace("/////", "////")


def test_a_query_gives_columns_the_types_of_their_values(database: str, load: Load) -> None:
    loaded = load(database, query="SELECT * FROM flights ORDER BY id;")
    expected = pd.DataFrame(
        {
            "id": [1, 2, 3],
            "delay": [1.0, 2.5, None],
            "carrier": ["UA", "NA", "B6"],
            "departure": pd.to_datetime(["2013-01-01 05:00", "2013-01-02 00:00", None]).astype("datetime64[us]"),
            "note": pd.Series([None] * 3, dtype=object),
            "code": ["007", "10", "8"],
        }
    )
    pd.testing.assert_frame_equal(loaded.frame, expected)
    assert loaded.metadata["source"] == database


def test_columns_and_filter_apply_to_the_result_of_a_query(database: str, load: Load) -> None:
    parameters = {
        "query": "SELECT id, carrier, id * 2 AS twice FROM flights",
        "columns": ["twice"],
        "where": "carrier = 'NA'",
    }
    assert load(database, **parameters).frame.to_dict("list") == {"twice": [4]}


def test_a_result_longer_than_a_chunk_arrives_whole_and_in_order(database: str, load: Load) -> None:
    query = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150000) SELECT i FROM n"
    assert load(database, query=query).frame["i"].tolist() == list(range(1, 150_001))


def test_a_file_that_is_no_database_is_refused(tmp_path: Path, load: Load) -> None:
    (tmp_path / "t.db").write_bytes(b"not a database" * 100)
    with pytest.raises(UserError, match=r"t.db' cannot be queried as a SQLite database \(file is not a database\)"):
        load(f"sqlite:////{tmp_path}/t.db", query="SELECT * FROM t")


def test_two_result_columns_of_one_name_are_refused(database: str, load: Load) -> None:
    with pytest.raises(UserError, match="'the query's result' has two columns 'id'; rename one of them"):
        load(database, query="SELECT id, delay AS id FROM flights")


def test_a_postgresql_server_that_is_not_there_is_named_without_the_password(load: Load) -> None:
    with pytest.raises(PlatformError) as caught:
        load("postgresql://me:secret@127.0.0.1:1/flights", query="SELECT 1")
    assert str(caught.value).startswith("'postgresql://127.0.0.1:1/flights' cannot be reached (")
    assert "secret" not in str(caught.value)


def test_what_a_database_says_is_reported_without_its_credentials() -> None:
    source = "postgresql://me:s%23cret@host/db"
    assert database_words(ValueError("bad\nURI me:s%23cret, s#cret"), source) == "bad URI ***, ***"
