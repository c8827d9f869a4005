"""Snowflake's SQL API as a server on loopback: answers the queries that a test gives it, and checks each request."""

import base64
import gzip
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat, PublicFormat

from tests.support.http_servers import serving

Rows = Sequence[Sequence[str | None]]


class Snowflake:
    """What its API does with a statement.

    Attributes:
        results: of each query that there is, the types of its columns, and its partitions in the form of its JSON.
        key: the private key of the user who may ask.
        bodies: all that were posted, with their parameters.
        busy: answers of 429 to the query `SELECT busy`.
        pending: answers to `SELECT slow` that the query still runs.
    """

    def __init__(self, results: Mapping[str, tuple[Mapping[str, str], Sequence[Rows]]], user: str = "ORG-TEAM.LOADER"):
        self.results, self._user = results, user
        self.key = rsa.generate_private_key(65537, 2048)
        self.bodies: list[tuple[dict[str, str], Any]] = []
        self.busy, self.pending = 2, 2

    def key_file(self, password: str) -> bytes:
        """The content of ``SNOWFLAKE_PRIVATE_KEY_FILE``, encrypted."""
        encrypted = BestAvailableEncryption(password.encode())
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encrypted)

    def admits(self, headers: Any) -> bool:
        """Whether the token is one that Snowflake takes."""
        kind, token = headers["X-Snowflake-Authorization-Token-Type"], headers["Authorization"].removeprefix("Bearer ")
        if kind == "PROGRAMMATIC_ACCESS_TOKEN":
            return bool(token == "right")  # noqa: S105
        assert kind == "KEYPAIR_JWT"
        claims = jwt.decode(token, self.key.public_key(), ["RS256"])
        public = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        known_by = base64.b64encode(hashlib.sha256(public).digest()).decode()
        assert claims["exp"] - claims["iat"] <= 3600
        who = claims["sub"]
        assert claims["iss"] == f"{who}.SHA256:{known_by}"
        return bool(who == self._user)

    def answer(self, method: str, path: str, params: dict[str, str], body: Any) -> tuple[int, dict[str, Any]]:
        if (method, path) == ("POST", "/api/v2/statements"):
            self.bodies.append((params, body))
            query = body["statement"].removeprefix("SELECT * FROM (\n").removesuffix("\n)")
            return self._begin(query)
        assert method == "GET"
        query = path.removeprefix("/api/v2/statements/").replace("-", " ")
        if query == "SELECT slow" and self.pending:
            self.pending -= 1
            return 202, {"code": "333334", "statementHandle": "SELECT-slow", "message": "in progress"}
        if "partition" in params:
            return 200, {"data": self.results[query][1][int(params["partition"])]}
        return 200, self._result(query)

    def _begin(self, query: str) -> tuple[int, dict[str, Any]]:
        if query == "SELECT busy" and self.busy:
            self.busy -= 1
            return 429, {"code": "390505", "message": "Too many requests"}
        if query not in self.results:
            return 422, {"code": "001003", "message": f"SQL compilation error: {query}", "sqlState": "42000"}
        if query == "SELECT slow":
            return 202, {"code": "333334", "statementHandle": "SELECT-slow", "message": "in progress"}
        return 200, self._result(query)

    def _result(self, query: str) -> dict[str, Any]:
        columns, partitions = self.results[query]
        described = [{"name": name, "type": kind, "nullable": True} for name, kind in columns.items()]
        sizes = [{"rowCount": len(rows), "uncompressedSize": 9} for rows in partitions]
        found = {"format": "jsonv2", "rowType": described, "partitionInfo": sizes}
        handle = query.replace(" ", "-")
        return {"code": "090001", "statementHandle": handle, "resultSetMetaData": found, "data": partitions[0]}


@contextmanager
def served(service: Snowflake) -> Iterator[str]:
    """Serve until the end of the block; yields the URL for ``SNOWFLAKE_HOST``."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            assert self.headers["Accept"] == "application/json"
            assert self.headers["User-Agent"].startswith("kubeline/")
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))) or "null")
            params = {name: value for name, [value] in parse_qs(parts.query).items()}
            status, found = 401, {"code": "390144", "message": "JWT token is invalid"}
            if service.admits(self.headers):
                status, found = service.answer(self.command, parts.path, params, body)
            content = json.dumps(found).encode()
            self.send_response(status)
            if "partition" in params:
                content = gzip.compress(content)
                self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    with serving(Handler) as url:
        yield url
