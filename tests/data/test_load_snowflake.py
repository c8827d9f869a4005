"""Results of queries on Snowflake keep the types that it names; its SQL API is a server that checks each request."""

import base64
import datetime as dt
import gzip
import hashlib
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat, PublicFormat

from kubeline.data.dataset import open_dataset
from kubeline.data.transfer import Transfer
from kubeline.errors import PlatformError, UserError
from tests.support.http_servers import serving
from tests.support.loading import Load

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
QUERIES: dict[str, list[list[list[str | None]]]] = {  # by partition
    "SELECT all": [[[text for text, _ in VALUES.values()], [None] * len(VALUES)]],
    "SELECT partitions": [[["0"], ["1"]], [["2"]], [["3"]]],
    "SELECT slow": [[["1"]]],
    "SELECT busy": [[["1"]]],
    "SELECT nanoseconds": [[["0.000000001"]]],
}
KINDS = {"SELECT all": list(VALUES), "SELECT nanoseconds": ["TIMESTAMP_NTZ"]}


class Snowflake:
    """What its API does with a statement; `bodies` are all that were posted, with their parameters."""

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        self.public = key.public_key()
        self.bodies: list[tuple[dict[str, str], Any]] = []
        self.busy = 2  # answers of 429
        self.pending = 2  # answers that the query still runs

    def admits(self, headers: Any) -> bool:
        """Whether the token is one that Snowflake takes."""
        kind, token = headers["X-Snowflake-Authorization-Token-Type"], headers["Authorization"].removeprefix("Bearer ")
        if kind == "PROGRAMMATIC_ACCESS_TOKEN":
            return bool(token == "right")  # noqa: S105
        assert kind == "KEYPAIR_JWT"
        claims = jwt.decode(token, self.public, ["RS256"])
        public = self.public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        known_by = base64.b64encode(hashlib.sha256(public).digest()).decode()
        assert claims["exp"] - claims["iat"] <= 3600
        who = claims["sub"]
        assert claims["iss"] == f"{who}.SHA256:{known_by}"
        return bool(who == "ORG-TEAM.LOADER")

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
            return 200, {"data": QUERIES[query][int(params["partition"])]}
        return 200, self._result(query)

    def _begin(self, query: str) -> tuple[int, dict[str, Any]]:
        if query == "SELECT busy" and self.busy:
            self.busy -= 1
            return 429, {"code": "390505", "message": "Too many requests"}
        if query not in QUERIES:
            return 422, {"code": "001003", "message": f"SQL compilation error: {query}", "sqlState": "42000"}
        if query == "SELECT slow":
            return 202, {"code": "333334", "statementHandle": "SELECT-slow", "message": "in progress"}
        return 200, self._result(query)

    def _result(self, query: str) -> dict[str, Any]:
        kinds = KINDS.get(query, ["FIXED"])
        names = kinds if query == "SELECT all" else ["V"]
        described = [{"name": name, "type": kind, "nullable": True} for name, kind in zip(names, kinds, strict=True)]
        partitions = [{"rowCount": len(rows), "uncompressedSize": 9} for rows in QUERIES[query]]
        found = {"format": "jsonv2", "rowType": described, "partitionInfo": partitions}
        handle = query.replace(" ", "-")
        return {"code": "090001", "statementHandle": handle, "resultSetMetaData": found, "data": QUERIES[query][0]}


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture
def snowflake(key: rsa.RSAPrivateKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Snowflake]:
    service = Snowflake(key)

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

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    file = tmp_path / "key.p8"
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    monkeypatch.setenv("SNOWFLAKE_PRIVATE_KEY_FILE", str(file))
    monkeypatch.setenv("SNOWFLAKE_PRIVATE_KEY_FILE_PWD", "secret")
    monkeypatch.setattr(Transfer, "wait", lambda transfer, seconds: None)
    with serving(Handler) as url:
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
