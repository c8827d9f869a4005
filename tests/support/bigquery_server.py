"""BigQuery's API as a server on loopback: plans and answers the queries of a test, and checks each request."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from tests.support.http_servers import serving

Row = Sequence[str | None]


class Field(NamedTuple):
    """A column of a result, by its name, type and mode."""

    name: str
    type: str
    mode: str = "NULLABLE"


class BigQuery:
    """What its API does with a query.

    Attributes:
        results: of each query that there is, its columns and rows, in the form of its JSON.
        page: rows of one answer.
        requests: all of them, as method, path, parameters and body.
        busy: answers of 503 to the query `SELECT busy`.
        pending: answers to `SELECT slow` that the job is not done.
    """

    def __init__(self, results: Mapping[str, tuple[Sequence[Field], Sequence[Row]]], page: int, project: str = "team"):
        self.results, self.page, self._project = results, page, project
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []
        self.busy, self.pending = 1, 2

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
        if query not in self.results:
            return 400, {"error": {"message": f"Syntax error: {query}", "errors": [{"reason": "invalidQuery"}]}}
        return 200, {"statistics": {"query": {"statementType": "SELECT"}}}

    def _page(self, query: str, number: int) -> dict[str, Any]:
        where = {"projectId": self._project, "jobId": query.replace(" ", "-"), "location": "EU"}
        if query == "SELECT slow" and self.pending:
            self.pending -= 1
            return {"jobComplete": False, "jobReference": where}
        fields, rows = self.results[query]
        begin, end = number * self.page, (number + 1) * self.page
        shown = [{"f": [{"v": value} for value in row]} for row in rows[begin:end]]
        more = {"pageToken": str(number + 1)} if len(rows) > end else {}
        schema = {"fields": [field._asdict() for field in fields]}
        return {"jobComplete": True, "jobReference": where, "schema": schema, "rows": shown, **more}

    def called(self, method: str, target: str, body: Any) -> tuple[int, dict[str, Any]]:
        """The status and the body of an answer."""
        parts = urlsplit(target)
        prefix, project, path = parts.path.partition(f"/projects/{self._project}")
        assert (prefix, project) == ("/bigquery/v2", f"/projects/{self._project}")
        return self.answer(method, path, {name: value for name, [value] in parse_qs(parts.query).items()}, body)


@contextmanager
def served(service: BigQuery) -> Iterator[str]:
    """Serve until the end of the block; yields the URL for ``BIGQUERY_EMULATOR_HOST``."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            status, found = service.called(self.command, self.path, json.loads(body or "null"))
            content = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    with serving(Handler) as url:
        yield url
