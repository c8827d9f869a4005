"""Results of queries on Snowflake keep the types that it names; its SQL API is a server that checks each request."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubeline.data.dataset import open_dataset
from kubeline.data.transfer import Transfer
from kubeline.errors import PlatformError, UserError
from tests.support.loading import Load
from tests.support.snowflake_server import Rows, Snowflake, served

ADDRESS = "snowflake://loader@org-team.eu-west-1/SALES/PUBLIC?warehouse=SMALL&role=READER"
# Of each type, what the server writes, and what the dataset holds, in a column of the type's name.
VALUES: dict[str, tuple[str, Any]] = {
    "FIXED": ("9007199254740993", 9_007_199_254_740_993),
    "NUMBER": ("1.10", 1.1),
    "REAL": ("0.1", 0.1),
    "BOOLEAN": ("true", True),
    "TEXT": ("Ünïcode", "Ünïcode"),
    "VARIANT": ('{"a": 1}', '{"a": 1}'),
    "TIME": ("18001.500000000", "05:00:01.500000"),
    "DATE": ("15706", dt.datetime.fromisoformat("2013-01-01")),
    "TIMESTAMP_NTZ": ("253402214400.000001000", dt.datetime.fromisoformat("9999-12-31T00:00:00.000001")),
    "TIMESTAMP_LTZ": ("1357016400.000000000", dt.datetime(2013, 1, 1, 5, tzinfo=dt.UTC)),
    "TIMESTAMP_TZ": ("-1.500000000 1500", dt.datetime(1969, 12, 31, 23, 59, 58, 500_000, tzinfo=dt.UTC)),
}
NUMBER = {"V": "FIXED"}
QUERIES: dict[str, tuple[dict[str, str], list[Rows]]] = {
    "SELECT all": (
        {name: name for name in VALUES},
        [[[text for text, _ in VALUES.values()], [None] * len(VALUES)]],
    ),
    "SELECT partitions": (NUMBER, [[["0"], ["1"]], [["2"]], [["3"]]]),
    "SELECT slow": (NUMBER, [[["1"]]]),
    "SELECT busy": (NUMBER, [[["1"]]]),
    "SELECT nanoseconds": ({"V": "TIMESTAMP_NTZ"}, [[["0.000000001"]]]),
}


@pytest.fixture
def snowflake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Snowflake]:
    service = Snowflake(QUERIES)
    file = tmp_path / "key.p8"
    file.write_bytes(service.key_file("secret"))
    monkeypatch.setenv("SNOWFLAKE_PRIVATE_KEY_FILE", str(file))
    monkeypatch.setenv("SNOWFLAKE_PRIVATE_KEY_FILE_PWD", "secret")
    monkeypatch.setattr(Transfer, "wait", lambda transfer, seconds: None)
    with served(service) as url:
        monkeypatch.setenv("SNOWFLAKE_HOST", url)
        yield service


def test_every_type_arrives_as_it_is(snowflake: Snowflake, load: Load) -> None:
    loaded = load(ADDRESS, query="SELECT all;")
    rows = open_dataset(str(loaded.path)).to_table().to_pylist()
    assert rows == [{name: value for name, (_, value) in VALUES.items()}, dict.fromkeys(VALUES)]
    [(_, asked)] = snowflake.bodies
    assert loaded.metadata["source"] == "snowflake://org-team.eu-west-1/SALES/PUBLIC"
    context = {"database": "SALES", "schema": "PUBLIC", "warehouse": "SMALL", "role": "READER"}
    assert context.items() <= asked.items()
    assert asked["parameters"]["multi_statement_count"] == 1


def test_partitions_waiting_and_a_busy_server(snowflake: Snowflake, load: Load) -> None:
    assert load(ADDRESS, query="SELECT partitions").frame["V"].tolist() == [0, 1, 2, 3]
    assert load(ADDRESS, query="SELECT slow").frame["V"].tolist() == [1]
    assert load(ADDRESS, query="SELECT busy").frame["V"].tolist() == [1]
    assert snowflake.busy == snowflake.pending == 0
    first, second, third = (params for params, _ in snowflake.bodies[2:])
    assert first["requestId"] == second["requestId"] == third["requestId"]  # so that no second query begins
    assert [params.get("retry") for params in (first, second, third)] == [None, "true", "true"]


@pytest.mark.parametrize(
    ("source", "query", "kind", "sentence"),
    [
        (ADDRESS, "", UserError, "is a database, so a query is needed"),
        ("snowflake://", "SELECT all", UserError, "is no address of Snowflake; expected snowflake://USER@ACCOUNT/"),
        ("snowflake://u:p@team", "SELECT all", UserError, "has a password, which .* set SNOWFLAKE_PRIVATE_KEY_FILE"),
        ("snowflake://u@team?size=1", "SELECT all", UserError, "has 'size'; expected warehouse or role"),
        (ADDRESS, "DELETE FROM t", UserError, r"failed \(SQL compilation error: DELETE FROM t\); give one SELECT"),
        (ADDRESS, "SELECT nanoseconds", UserError, r"column 'V' .* TIMESTAMP_NTZ, .*; CAST it .* TIMESTAMP_NTZ\(6\)"),
        ("snowflake://other@org-team", "SELECT all", PlatformError, r"refuses the key of ORG-TEAM.OTHER \(JWT token"),
    ],
)
def test_what_cannot_be_is_named(
    source: str, query: str, kind: type[Exception], sentence: str, snowflake: Snowflake, load: Load
) -> None:
    with pytest.raises(kind, match=sentence):
        load(source, query=query)


def test_credentials_are_a_key_of_a_user_or_a_token(
    snowflake: Snowflake, load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SNOWFLAKE_PRIVATE_KEY_FILE_PWD", "wrong")
    with pytest.raises(UserError, match="cannot be read as a private key"):
        load(ADDRESS, query="SELECT all")
    monkeypatch.delenv("SNOWFLAKE_PRIVATE_KEY_FILE")
    with pytest.raises(PlatformError, match="needs Snowflake's credentials, and there are none; set"):
        load(ADDRESS, query="SELECT all")
    monkeypatch.setenv("SNOWFLAKE_TOKEN", "right")
    assert load("snowflake://org-team", query="SELECT partitions").frame["V"].tolist() == [0, 1, 2, 3]
    monkeypatch.setenv("SNOWFLAKE_TOKEN", "stale")
    with pytest.raises(PlatformError, match=r"refuses the token \(JWT token is invalid\); set SNOWFLAKE_TOKEN"):
        load("snowflake://org-team", query="SELECT partitions")
