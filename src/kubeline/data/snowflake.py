"""A query's result from Snowflake, by its SQL API: what the server writes as text is read as the type that it names."""

import os
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from typing import Any, Self
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlsplit

import pyarrow as pa
import pyarrow.compute as pc

import kubeline
from kubeline.addresses import redact
from kubeline.data.snowflake_key import Key
from kubeline.data.tables import check_names
from kubeline.data.transfer import Transfer
from kubeline.errors import PlatformError, UserError
from kubeline.masking import without_values, words_of

HOST = "SNOWFLAKE_HOST"  # another server, as Snowflake's own clients know it
_TIMEOUT = (30.0, 120.0)  # seconds to connect, and of silence; the server answers after 45 that a query still runs
_PAUSES = (1.0, 2.0, 4.0, 8.0)  # seconds before each further attempt
_POLL_SECONDS = 1.0
_CHUNK_MB = 16  # of a partition, which is held whole
_ACCOUNT = re.compile(r"[A-Za-z0-9][\w.-]{0,250}", re.ASCII)
_GIVEN = ("warehouse", "role")
_WRONG = (400, 404, 422)
_TYPES: Mapping[str, pa.DataType] = {
    **dict.fromkeys(("REAL", "FLOAT", "DOUBLE"), pa.float64()),
    "BOOLEAN": pa.bool_(),
    "DATE": pa.date32(),
    "TIMESTAMP_NTZ": pa.timestamp("us"),
    **dict.fromkeys(("TIMESTAMP_LTZ", "TIMESTAMP_TZ"), pa.timestamp("us", "UTC")),
    "BINARY": pa.binary(),
}
_NUMBERS = ("FIXED", "NUMBER", "DECFLOAT")  # they keep all their digits


def open_snowflake(
    source: str, query: str, resources: ExitStack, transfer: Transfer
) -> tuple[pa.RecordBatchReader, list[str]]:
    """The rows of a query, and the columns whose text is to be inspected.

    The address is ``snowflake://USER@ACCOUNT/DATABASE/SCHEMA?warehouse=W&role=R``, of which only the account is needed;
    :mod:`kubeline.data.snowflake_key` has the credentials. The query is asked as a part of a SELECT, so that nothing
    else can be.

    Raises:
        UserError: when the address or the query is wrong, or a column holds parts of a microsecond.
        PlatformError: when Snowflake cannot be reached, or refuses.
    """
    address = _Address.of(source)
    statement = _Statement(_Service(address, transfer))
    resources.callback(statement.give_up)
    first = statement.begin(f"SELECT * FROM (\n{query}\n)")  # noqa: S608
    try:
        found = first["resultSetMetaData"]
        kinds = [(str(field["name"]), str(field["type"]).upper()) for field in found["rowType"]]
        partitions = len(found.get("partitionInfo", [])) or 1
    except (KeyError, TypeError) as error:
        raise PlatformError(f"'{address.name}' does not answer as Snowflake does ({error!r}); check {HOST}") from None
    check_names([name for name, _ in kinds], "the query's result")
    texts = [name for name, kind in kinds if kind in _NUMBERS]
    schema = pa.schema([(name, _TYPES.get(kind, pa.string())) for name, kind in kinds])
    return pa.RecordBatchReader.from_batches(schema, _batches(statement, first, partitions, schema, kinds)), texts


@dataclass(frozen=True)
class _Address:
    name: str  # for messages
    account: str
    user: str
    context: Mapping[str, str]  # what a statement names: database, schema, warehouse, role

    @classmethod
    def of(cls, source: str) -> Self:
        name, parts = redact(source), urlsplit(source)
        account, places = parts.hostname or "", [unquote(one) for one in parts.path.strip("/").split("/") if one]
        if not _ACCOUNT.fullmatch(account) or len(places) > 2 or parts.port:
            raise UserError(
                f"'{name}' is no address of Snowflake; expected snowflake://USER@ACCOUNT/DATABASE/SCHEMA?warehouse=W"
            )
        if parts.password is not None:
            raise UserError(
                f"'{name}' has a password, which Snowflake's SQL API does not take; set SNOWFLAKE_PRIVATE_KEY_FILE, or "
                "SNOWFLAKE_TOKEN"
            )
        context = dict(zip(("database", "schema"), places, strict=False)) | cls._given(name, parts)
        return cls(name, account, unquote(parts.username or ""), context)

    @staticmethod
    def _given(name: str, parts: SplitResult) -> dict[str, str]:
        asked = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if unknown := [key for key in asked if key not in _GIVEN]:
            raise UserError(f"'{name}' has '{unknown[0]}'; expected warehouse or role behind the question mark")
        return asked


class _Service:
    """The API, asked with credentials, again where it is busy."""

    def __init__(self, address: _Address, transfer: Transfer) -> None:
        import requests

        host = os.environ.get(HOST, "").strip().rstrip("/")
        host = host or f"{address.account.lower().replace('_', '-')}.snowflakecomputing.com"
        self._address = f"{host if '://' in host else f'https://{host}'}/api/v2/statements"
        self.context, self.transfer, self._name = address.context, transfer, address.name
        self._key = Key.of(address.account, address.user, address.name)
        self._session = requests.Session()

    def ask(self, method: str, path: str, body: Any = None, **params: Any) -> tuple[int, dict[str, Any]]:
        """The status (200, or 202 of a query that still runs) and what it answers; each request can be repeated.

        Raises:
            UserError: when the query is wrong.
            PlatformError: when it cannot be reached, or refuses.
        """
        again = params | ({"retry": "true"} if "requestId" in params else {})
        tries = count()
        return self.transfer.tried(
            lambda last: self.once(method, path, body, again if next(tries) else params, last), _PAUSES
        )

    def once(self, method: str, path: str, body: Any, params: Any, last: bool) -> tuple[int, dict[str, Any]] | None:
        """None where another attempt may do."""
        from requests import RequestException

        headers = {
            **self._key.headers(),
            "Accept": "application/json",
            "User-Agent": f"kubeline/{kubeline.__version__}",
        }
        try:
            answer = self._session.request(
                method, self._address + path, json=body, params=params, headers=headers, timeout=_TIMEOUT,
                allow_redirects=False,
            )  # fmt: skip
            found = dict(answer.json())
        except (RequestException, ValueError, TypeError) as problem:
            if not last:
                return None
            raise PlatformError(
                f"'{self._name}' cannot be reached ({type(problem).__name__}); check the account and the network"
            ) from None
        if answer.status_code in (200, 202):
            return answer.status_code, found
        if not last and (answer.status_code >= 500 or answer.status_code == 429):
            return None
        words = without_values(redact(" ".join(str(found.get("message", "no reason is given")).split())))[:300]
        if answer.status_code in _WRONG:
            raise UserError(f"the query on '{self._name}' failed ({words}); give one SELECT that its role may ask")
        if answer.status_code == 401:
            raise PlatformError(f"'{self._name}' refuses {self._key.what} ({words}); {self._key.remedy}")
        raise PlatformError(f"'{self._name}' failed with HTTP {answer.status_code} ({words}); try again later")


class _Statement:
    """One query, whose rows are asked for partition by partition."""

    def __init__(self, service: _Service) -> None:
        self._service = service
        self._path = ""
        self._is_running = False

    def begin(self, statement: str) -> dict[str, Any]:
        """The first partition, with what the result is, as soon as the query is done."""
        parameters = {"client_result_chunk_size": _CHUNK_MB, "multi_statement_count": 1, "binary_output_format": "HEX"}
        body = {"statement": statement, "parameters": parameters, **self._service.context}
        once = str(uuid.uuid4())  # so that a repeated request begins no second query
        status, found = self._service.ask("POST", "", body, requestId=once)
        self._path = f"/{quote(str(found.get('statementHandle')), safe='')}"
        while status == 202:
            self._is_running = True
            self._service.transfer.wait(_POLL_SECONDS)
            status, found = self._service.ask("GET", self._path)
        self._is_running = False
        return found

    def partition(self, number: int) -> dict[str, Any]:
        """Another partition."""
        status, found = self._service.ask("GET", self._path, partition=number)
        if status != 200:
            raise PlatformError("Snowflake has no longer the result of a query that was done; try again")
        return found

    def give_up(self) -> None:
        """Let a query that nobody waits for any more cost no more."""
        if self._is_running:
            self._service.once("POST", f"{self._path}/cancel", None, {}, last=False)


def _batches(
    statement: _Statement, page: dict[str, Any], partitions: int, schema: pa.Schema, kinds: list[tuple[str, str]]
) -> Iterator[pa.RecordBatch]:
    for number in range(partitions):
        rows = (statement.partition(number) if number else page).get("data") or []
        columns = zip(*rows, strict=True) if rows else [()] * len(schema)
        arrays = [_array(values, name, kind) for values, (name, kind) in zip(columns, kinds, strict=True)]
        yield pa.record_batch(arrays, schema)


def _array(values: Any, name: str, kind: str) -> pa.Array:
    """Values as the server writes them, as the type of their column.

    Source: Snowflake's SQL API, "Getting the data from the results".
    """
    target = _TYPES.get(kind, pa.string())
    try:
        if kind == "BINARY":
            return pa.array([None if value is None else bytes.fromhex(value) for value in values], target)
        texts = pa.array(values, pa.string())
        if kind == "DATE":
            return texts.cast(pa.int32()).cast(target)
        if kind == "TIME":
            return _micros(texts).cast(pa.time64("us")).cast(target)
        if kind.startswith("TIMESTAMP"):  # one with a zone has that behind a blank, and is in UTC without it
            return _micros(pc.list_element(pc.split_pattern(texts, " "), 0)).cast(target)
        return texts.cast(target)
    except (pa.ArrowInvalid, ValueError) as error:
        raise UserError(
            f"column '{name}' of the query's result, which is {kind}, has a value that cannot be kept "
            f"({words_of(error)}); CAST it in the query, a time to TIMESTAMP_NTZ(6)"
        ) from None


def _micros(seconds: pa.Array) -> pa.Array:
    """Seconds with fractions, as text, in microseconds; a part of one is an error."""
    exact = seconds.cast(pa.decimal128(24, 9)).cast(pa.decimal128(21, 6))
    return pc.multiply(exact, pa.scalar(1_000_000, pa.decimal128(7, 0))).cast(pa.int64())
