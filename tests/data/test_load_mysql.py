"""Results of queries over MySQL's protocol keep the types that the server names, and its failures are reported."""

import asyncio
import datetime as dt
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from mysql_mimic import MysqlServer
from mysql_mimic.errors import ErrorCode, MysqlError
from mysql_mimic.results import ResultColumn, ResultSet
from mysql_mimic.session import Session as Mimic
from mysql_mimic.types import ColumnType

from kubeline.data.dataset import open_dataset
from kubeline.errors import PlatformError, UserError
from tests.support.loading import Load

# Of each type, what the server writes, and what the dataset holds, in a column of the type's name.
VALUES = {
    ColumnType.TINY: ("-5", -5),
    ColumnType.LONGLONG: ("9007199254740993", 9_007_199_254_740_993),
    ColumnType.NEWDECIMAL: ("1.10", 1.1),
    ColumnType.DOUBLE: ("0.1", 0.1),
    ColumnType.VARCHAR: ("Ünïcode", "Ünïcode"),
    ColumnType.JSON: ('{"a": 1}', '{"a": 1}'),
    ColumnType.TIME: ("05:00:01", "05:00:01"),
    ColumnType.YEAR: ("2013", 2013),
    ColumnType.DATE: ("2013-01-01", dt.datetime.fromisoformat("2013-01-01")),
    ColumnType.DATETIME: ("2013-01-01 05:00:00.5", dt.datetime.fromisoformat("2013-01-01T05:00:00.5")),
    ColumnType.TIMESTAMP: ("2013-01-01 05:00:00", dt.datetime(2013, 1, 1, 5, tzinfo=dt.UTC)),
}
ROWS = 70_000


def table(*columns: tuple[str, ColumnType, list[str | None]]) -> ResultSet:
    """A result in the server's own words."""
    written = [ResultColumn(name, kind, text_encoder=lambda _, value: value.encode()) for name, kind, _ in columns]
    return ResultSet(list(zip(*(values for *_, values in columns), strict=True)), written)


class Session(Mimic):  # type: ignore[misc]  # mysql_mimic has no types
    """Answers some queries; `received` are all statements."""

    received: list[str]

    async def handle_query(self, sql: str, attrs: dict[str, str]) -> ResultSet:
        self.received.append(sql)
        if sql.startswith(("SET", "START", "EXPLAIN SELECT", "EXPLAIN INSERT")):
            return ResultSet([], [ResultColumn("plan", ColumnType.VARCHAR)] if "EXPLAIN" in sql else [])
        answers = {
            "SELECT all": table(*((kind.name, kind, [text, None]) for kind, (text, _) in VALUES.items())),
            "SELECT many": table(("n", ColumnType.LONG, [str(number) for number in range(ROWS)])),
            "SELECT zero": table(("v", ColumnType.DATE, ["0000-00-00"])),
            "SELECT float": table(("v", ColumnType.FLOAT, ["1.67772e7"])),
            "SELECT twins": table(("v", ColumnType.LONG, ["1"]), ("v", ColumnType.LONG, ["2"])),
        }
        if sql in answers:
            return answers[sql]
        if sql == "SELECT crowded":
            raise MysqlError("Too many connections", ErrorCode.CON_COUNT_ERROR)
        raise MysqlError("You have an error in your SQL syntax", ErrorCode.PARSE_ERROR)


@contextmanager
def serving() -> Iterator[tuple[str, list[str]]]:
    """The address of a server in a thread of its own, and what it hears."""
    received: list[str] = []
    kind = type("Received", (Session,), {"received": received})
    loop = asyncio.new_event_loop()
    server = MysqlServer(session_factory=kind)
    loop.run_until_complete(server.start_server(host="127.0.0.1", port=0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"mysql://me@127.0.0.1:{server.sockets()[0].getsockname()[1]}/db", received
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    with serving() as found:
        yield found


@pytest.fixture
def address(server: Any) -> str:
    server[1].clear()
    return server[0]


@pytest.fixture
def received(server: Any) -> list[str]:
    return server[1]


def test_values_of_each_type_of_mysql_keep_their_worth(address: Any, load: Load) -> None:
    found = open_dataset(load(address, query="SELECT all").path).to_table().to_pylist()
    assert found[0] == {kind.name: value for kind, (_, value) in VALUES.items()}
    assert set(found[1].values()) == {None}


def test_a_long_result_of_mysql_arrives_whole_and_in_order(address: Any, load: Load) -> None:
    loaded = load(address.replace("mysql:", "mariadb:"), query="SELECT many;")
    assert open_dataset(loaded.path).to_table()["n"].to_pylist() == list(range(ROWS))


def test_a_query_runs_in_a_read_only_transaction_in_utc_and_is_known_to_be_one_before(
    address: Any, received: Any, load: Load
) -> None:
    load(address, query="SELECT all")
    assert [word for word in received if word.startswith(("START", "EXPLAIN", "SELECT"))] == [
        "START TRANSACTION READ ONLY",
        "EXPLAIN SELECT all",
        "SELECT all",
    ]
    assert "SET SESSION time_zone = '+00:00'" in received
    assert "SET SESSION max_execution_time = 43200000" in received


def test_what_is_no_query_is_not_sent_as_one(address: Any, received: Any, load: Load) -> None:
    """A change of a table's form would end the transaction, and be made."""
    with pytest.raises(UserError, match=r"^the query on 'mysql://127.*' failed .*SQL syntax.*; fix it$"):
        load(address, query="DROP TABLE flights")
    assert "DROP TABLE flights" not in received


@pytest.mark.parametrize(
    ("query", "error", "sentence"),
    [
        ("SELECT zero", UserError, r"^column 'v' .* holds what is no date32.*0000-00-00.*; make it missing"),
        (
            "SELECT float",
            UserError,
            r"^column 'v' .* is a FLOAT, of which the server sends 6 digits; CAST it AS DOUBLE",
        ),
        ("SELECT twins", UserError, r"^'the query's result' has two columns 'v'; rename one of them$"),
        ("SELECT wrong", UserError, r"^the query on 'mysql://127.*' failed .*; fix it$"),
        ("SELECT crowded", PlatformError, r"^'mysql://127.*' failed .*Too many connections.*; try again later"),
    ],
)
def test_a_query_of_mysql_that_fails_is_reported(
    query: str, error: Any, sentence: str, address: Any, load: Load
) -> None:
    with pytest.raises(error, match=sentence):
        load(address, query=query)


def test_a_mysql_server_that_is_not_there_is_named_without_the_password(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MYSQL_PWD", "from-the-environment")
    with pytest.raises(PlatformError, match=r"^'mysql://127.0.0.1:1/db' cannot be reached") as caught:
        load("mysql://me:topsecret@127.0.0.1:1/db", query="SELECT 1")
    assert "secret" not in str(caught.value)
    assert "environment" not in str(caught.value)


def test_the_library_of_mysql_is_named_where_it_is_missing(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymysql", None)
    with pytest.raises(PlatformError, match=r"the package pymysql is missing; use an image with kubeline.mysql.$"):
        load("mysql://127.0.0.1/db", query="SELECT 1")
