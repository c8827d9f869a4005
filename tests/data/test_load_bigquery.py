"""Results of queries on BigQuery keep the types that it names; its API is a server on loopback that checks requests."""

import datetime as dt
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from kubeline.data.dataset import open_dataset
from kubeline.data.transfer import Transfer
from kubeline.errors import PlatformError, UserError
from tests.support.http_servers import serving
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
QUERIES: dict[str, list[list[str | None]]] = {
    "SELECT all": [[text for text, _ in VALUES.values()], [None] * len(VALUES)],
    "SELECT pages": [[str(number)] for number in range(5)],
    "SELECT slow": [["1"]],
    "SELECT busy": [["1"]],
    "SELECT nested": [["1"]],
}
PAGE = 2  # rows


class BigQuery:
    """What its API does with a query; `requests` are all, as method, path, parameters and body."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []
        self.busy = 1  # answers of 503
        self.pending = 2  # answers that the job is not done

    def answer(self, method: str, path: str, params: dict[str, str], body: Any) -> tuple[int, dict[str, Any]]:
        self.requests.append((method, path, params, body))
        if (method, path) == ("POST", "/jobs"):
            return self._plan(body)
        if (method, path) == ("POST", "/queries"):
            assert body["useLegacySql"] is False
            assert body["formatOptions"] == {"useInt64Timestamp": True}
            assert len(body["requestId"]) == 36
            if body["query"] == "SELECT busy" and self.busy:
                self.busy -= 1
                return 503, {"error": {"message": "try again", "errors": [{"reason": "backendError"}]}}
            return 200, self._page(body["query"], 0)
        assert method == "GET"
        assert params["location"] == "EU"
        query, number = path.removeprefix("/queries/").replace("-", " "), int(params.get("pageToken", "0"))
        return 200, self._page(query, number)

    def _plan(self, body: Any) -> tuple[int, dict[str, Any]]:
        assert body["configuration"]["dryRun"] is True
        query = body["configuration"]["query"]["query"]
        if query.startswith("DELETE"):
            return 200, {"statistics": {"query": {"statementType": "DELETE"}}}
        if query == "SELECT secret":
            return 403, {"error": {"message": "Access Denied", "errors": [{"reason": "accessDenied"}]}}
        if query not in QUERIES:
            return 400, {"error": {"message": f"Syntax error: {query}", "errors": [{"reason": "invalidQuery"}]}}
        return 200, {"statistics": {"query": {"statementType": "SELECT"}}}

    def _page(self, query: str, number: int) -> dict[str, Any]:
        where = {"projectId": "team", "jobId": query.replace(" ", "-"), "location": "EU"}
        if query == "SELECT slow" and self.pending:
            self.pending -= 1
            return {"jobComplete": False, "jobReference": where}
        rows = QUERIES[query][number * PAGE : number * PAGE + PAGE]
        names = list(VALUES) if query == "SELECT all" else ["v"]
        kinds = names if query == "SELECT all" else ["INTEGER"]
        mode = "REPEATED" if query == "SELECT nested" else "NULLABLE"
        fields = [{"name": name, "type": kind, "mode": mode} for name, kind in zip(names, kinds, strict=True)]
        more = {"pageToken": str(number + 1)} if len(QUERIES[query]) > (number + 1) * PAGE else {}
        shown = [{"f": [{"v": value} for value in row]} for row in rows]
        return {"jobComplete": True, "jobReference": where, "schema": {"fields": fields}, "rows": shown, **more}


@pytest.fixture
def bigquery(monkeypatch: pytest.MonkeyPatch) -> Iterator[BigQuery]:
    service = BigQuery()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            prefix, project, path = parts.path.partition("/projects/team")
            assert (prefix, project) == ("/bigquery/v2", "/projects/team")
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            params = {name: value for name, [value] in parse_qs(parts.query).items()}
            status, found = service.answer(self.command, path, params, json.loads(body or "null"))
            content = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    monkeypatch.setattr(Transfer, "wait", lambda transfer, seconds: None)
    with serving(Handler) as url:
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
