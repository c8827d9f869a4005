"""Results of queries on a real PostgreSQL server keep their types and worth, and its failures are reported."""
# ruff: noqa: S608 - the statements are the tests' own

import datetime as dt
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import adbc_driver_postgresql.dbapi as driver
import pyarrow as pa
import pytest

from kubeline.data.dataset import open_dataset
from kubeline.errors import PlatformError, UserError
from tests.support.loading import Load, Loaded
from tests.support.real_servers import postgresql

UTC = dt.UTC
# Of each type, a value as the server takes it, and what the dataset holds.
VALUES = {
    "smallint": ("-7", -7),
    "bigint": ("9007199254740993", 9_007_199_254_740_993),
    "oid": ("4000000000", 4_000_000_000),
    "numeric(20, 2)": ("1.10", 1.1),
    "numeric(30, 0)": ("12345678901234567890123", "12345678901234567890123"),
    "money": ("'$12.34'", 12.34),
    "double precision": ("0.1", 0.1),
    "boolean": ("true", True),
    "text": ("'Ünïcode'", "Ünïcode"),
    "mood": ("'well'", "well"),
    "uuid": ("'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    "jsonb": ("""'{"a": 1}'""", '{"a": 1}'),
    "inet": ("'10.0.0.1'", "10.0.0.1/32"),
    "macaddr": ("'08:00:2b:01:02:03'", "08:00:2b:01:02:03"),
    "bit(3)": ("B'101'", "101"),
    "int4range": ("'[1,5)'", "[1,5)"),
    "time with time zone": ("'05:00:00+02'", "05:00:00+02"),
    "date": ("'2013-01-01'", dt.datetime.fromisoformat("2013-01-01")),
    "timestamp": ("'2013-01-01 05:00'", dt.datetime.fromisoformat("2013-01-01T05:00")),
    "timestamptz": ("'2013-01-01 05:00+02'", dt.datetime(2013, 1, 1, 3, tzinfo=UTC)),
    "int[]": ("'{1,2}'", [1, 2]),
    "bytea": (r"'\x00ff'", b"\x00\xff"),
}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgresql() as address:
        execute(
            address,
            "CREATE TYPE mood AS ENUM ('well', 'ill')",
            f"CREATE TABLE kinds ({', '.join(f'c{number} {kind}' for number, kind in enumerate(VALUES))})",
            f"INSERT INTO kinds VALUES ({', '.join(text for text, _ in VALUES.values())})",
            "INSERT INTO kinds (c0) VALUES (1)",
        )
        yield address


def execute(address: str, *statements: str) -> None:
    with driver.connect(address, autocommit=True) as database, database.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def table(loaded: Loaded) -> pa.Table:
    return open_dataset(loaded.path).to_table()


def test_values_of_each_type_of_postgresql_keep_their_worth(server: str, load: Load) -> None:
    found = table(load(server, query="SELECT * FROM kinds ORDER BY c0")).to_pylist()
    expected = dict(zip(VALUES, (value for _, value in VALUES.values()), strict=True))
    assert dict(zip(VALUES, found[0].values(), strict=True)) == expected
    assert found[1] == {"c0": 1, **{f"c{number}": None for number in range(1, len(VALUES))}}


@pytest.mark.parametrize("kind", ["timestamp", "timestamptz", "date"])
@pytest.mark.parametrize("value", ["infinity", "-infinity"])
def test_an_infinite_time_is_refused(kind: str, value: str, server: str, load: Load) -> None:
    with pytest.raises(UserError, match=r"^column 'v' of the query's result holds an infinite time, which no dataset"):
        load(server, query=f"SELECT '{value}'::{kind} AS v")


def test_rows_come_in_the_order_of_the_query_also_where_a_type_is_cast(server: str, load: Load) -> None:
    query = "SELECT g, g::oid AS o FROM generate_series(1, 100000) AS g ORDER BY g % 7, g DESC -- the end"
    expected = sorted(range(1, 100_001), key=lambda g: (g % 7, -g))
    assert table(load(server, query=query))["o"].to_pylist() == expected


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("INSERT INTO kinds (c0) VALUES (3)", "cannot execute INSERT in a read-only transaction"),
        ("SELECT nothing FROM kinds", 'column "nothing" does not exist'),
        ("SELECT 1; DROP TABLE kinds", "multiple commands"),
        ("SELECT 1 / (g - 3000) AS v FROM generate_series(1, 100000) AS g", "rows were read .*division by zero.; fix"),
    ],
)
def test_a_query_that_fails_is_the_users_to_mend(query: str, sentence: str, server: str, load: Load) -> None:
    with pytest.raises(UserError, match=sentence):
        load(server, query=query)


@pytest.mark.parametrize("query", ["SELECT pg_sleep(600)::text AS v", "SELECT pg_sleep(g)::text FROM t"])
def test_a_query_that_goes_on_for_too_long_is_ended_by_the_server(
    query: str, server: str, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBELINE_LOAD_LIMITS", str(1 / (12 * 3600)))  # 12 hours become a second
    query = query.replace("FROM t", "FROM generate_series(0, 600, 0.05) AS g")
    with pytest.raises(UserError, match=r"^'the query's result' has not sent all within 1 s"):
        load(server, query=query)
    assert running_queries(server, "pg_sleep") == 0


def running_queries(address: str, word: str) -> int:
    with driver.connect(address) as database, database.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query LIKE '%{word}%' "
            "AND state = 'active'"
        )
        return cursor.fetchone()[0]


def test_a_connection_that_breaks_off_among_the_rows_leaves_nothing(server: str, load: Load, tmp_path: Path) -> None:
    word = "pg_sleep(0.002)"

    def end() -> None:
        while not running_queries(server, word):
            time.sleep(0.02)
        execute(
            server,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE pid <> pg_backend_pid() AND query LIKE '%{word}%'",
        )

    thread = threading.Thread(target=end)
    thread.start()
    try:
        with pytest.raises(
            PlatformError, match=r"^the query broke off while its rows were read .*terminating connection"
        ):
            load(server, query=f"SELECT g, {word}::text AS s FROM generate_series(1, 100000) AS g")
    finally:
        thread.join()
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]
