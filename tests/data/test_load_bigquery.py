"""Results of queries on BigQuery keep the types that it names; its API is a server on loopback that checks requests."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest

from kubeline.data.dataset import open_dataset
from kubeline.data.transfer import Transfer
from kubeline.errors import PlatformError, UserError
from tests.support.bigquery_server import BigQuery, Field, Row, served
from tests.support.loading import Load

# Of each type, what the server writes, and what the dataset holds, in a column of the type's name.
VALUES: dict[str, tuple[str, Any]] = {
    "INTEGER": ("9007199254740993", 9_007_199_254_740_993),
    "FLOAT": ("0.1", 0.1),
    "BOOLEAN": ("true", True),
    "NUMERIC": ("1.10", 1.1),
    "STRING": ("Ünïcode", "Ünïcode"),
    "JSON": ('{"a": 1}', '{"a": 1}'),
    "TIME": ("05:00:01", "05:00:01"),
    "DATE": ("2013-01-01", dt.datetime.fromisoformat("2013-01-01")),
    "DATETIME": ("2013-01-01T05:00:00.500000", dt.datetime.fromisoformat("2013-01-01T05:00:00.5")),
    "TIMESTAMP": ("1357016400000000", dt.datetime(2013, 1, 1, 5, tzinfo=dt.UTC)),
}
NUMBER = [Field("v", "INTEGER")]
QUERIES: dict[str, tuple[list[Field], list[Row]]] = {
    "SELECT all": (
        [Field(name, name) for name in VALUES],
        [[text for text, _ in VALUES.values()], [None] * len(VALUES)],
    ),
    "SELECT pages": (NUMBER, [[str(number)] for number in range(5)]),
    "SELECT slow": (NUMBER, [["1"]]),
    "SELECT busy": (NUMBER, [["1"]]),
    "SELECT nested": ([Field("v", "INTEGER", "REPEATED")], [["1"]]),
}


@pytest.fixture
def bigquery(monkeypatch: pytest.MonkeyPatch) -> Iterator[BigQuery]:
    monkeypatch.setattr(Transfer, "wait", lambda transfer, seconds: None)
    service = BigQuery(QUERIES, page=2)
    with served(service) as url:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", url)
        yield service


def test_every_type_arrives_as_it_is(bigquery: BigQuery, load: Load) -> None:
    loaded = load("bigquery://team/sales?location=EU", query="SELECT all;")
    rows = open_dataset(str(loaded.path)).to_table().to_pylist()
    assert rows == [{name: value for name, (_, value) in VALUES.items()}, dict.fromkeys(VALUES)]
    planned, asked = (body for *_, body in bigquery.requests)
    assert planned["jobReference"] == {"location": "EU"}
    assert asked["location"] == "EU"
    for query in (planned["configuration"]["query"], asked):
        assert query["defaultDataset"] == {"projectId": "team", "datasetId": "sales"}
    assert loaded.metadata["source"] == "bigquery://team/sales"


def test_pages_waiting_and_a_busy_server(bigquery: BigQuery, load: Load) -> None:
    assert load("bigquery://team", query="SELECT pages").frame["v"].tolist() == [0, 1, 2, 3, 4]
    assert load("bigquery://team", query="SELECT slow").frame["v"].tolist() == [1]
    assert load("bigquery://team", query="SELECT busy").frame["v"].tolist() == [1]
    assert bigquery.busy == bigquery.pending == 0
    [first, again] = [
        body["requestId"] for *_, body in bigquery.requests if body and body.get("query") == "SELECT busy"
    ]
    assert first == again  # so that no second job begins


@pytest.mark.parametrize(
    ("source", "query", "kind", "sentence"),
    [
        ("bigquery://team", "", UserError, "is a database, so a query is needed"),
        ("bigquery://", "SELECT all", UserError, r"is no address of BigQuery; expected bigquery://PROJECT or"),
        (
            "bigquery://team",
            "DELETE FROM t",
            UserError,
            r"the query on 'bigquery://team' is of the kind DELETE; give a",
        ),
        (
            "bigquery://team",
            "SELEC",
            UserError,
            r"the query on 'bigquery://team' failed \(Syntax error: SELEC\); fix it",
        ),
        ("bigquery://team", "SELECT nested", UserError, r"column 'v' .*holds several values; select one .*JSON_STRING"),
        ("bigquery://team", "SELECT secret", PlatformError, r"HTTP 403 \(Access Denied\); give .* bigquery.jobUser"),
    ],
)
def test_what_cannot_be_is_named(
    source: str, query: str, kind: type[Exception], sentence: str, bigquery: BigQuery, load: Load
) -> None:
    with pytest.raises(kind, match=sentence):
        load(source, query=query)


def test_without_credentials_or_a_server_it_says_what_to_set(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Transfer, "wait", lambda transfer, seconds: None)
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", "127.0.0.1:9")
    with pytest.raises(PlatformError, match=r"'bigquery://team' cannot be reached \(ConnectionError\); check"):
        load("bigquery://team", query="SELECT all")
    monkeypatch.delenv("BIGQUERY_EMULATOR_HOST")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("CLOUDSDK_CONFIG", "/nonexistent")
    with pytest.raises(PlatformError, match="needs Google's credentials, and there are none; give"):
        load("bigquery://team", query="SELECT all")
