"""A query's result from BigQuery, by its REST API: what the server writes as text is read as the type that it names."""

import base64
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pyarrow as pa
import pyarrow.compute as pc

from kubeline.addresses import redact
from kubeline.data.tables import check_names
from kubeline.data.transfer import Transfer
from kubeline.errors import PlatformError, UserError
from kubeline.masking import without_values, words_of

EMULATOR = "BIGQUERY_EMULATOR_HOST"  # as Google's own clients know it
_HOST = "https://bigquery.googleapis.com"
_SCOPES = ("https://www.googleapis.com/auth/bigquery",)
_TIMEOUT = (30.0, 120.0)  # seconds to connect, and of silence
_WAIT_MS = 20_000  # that the server waits for a job before it answers that it is not done
_ROWS = 50_000  # of a page, which is 10 MB at most
_PAUSES = (1.0, 2.0, 4.0)  # seconds before each further attempt
_BUSY = ("rateLimitExceeded", "backendError", "internalError", "jobRateLimitExceeded")
_TYPES: Mapping[str, pa.DataType] = {
    **dict.fromkeys(("INTEGER", "INT64"), pa.int64()),
    **dict.fromkeys(("FLOAT", "FLOAT64"), pa.float64()),
    **dict.fromkeys(("BOOLEAN", "BOOL"), pa.bool_()),
    "TIMESTAMP": pa.timestamp("us", "UTC"),
    "DATETIME": pa.timestamp("us"),
    "DATE": pa.date32(),
    "BYTES": pa.binary(),
}
_DECIMALS = ("NUMERIC", "BIGNUMERIC")  # they keep all their digits


def open_bigquery(
    source: str, query: str, resources: ExitStack, transfer: Transfer
) -> tuple[pa.RecordBatchReader, list[str]]:
    """The rows of a query, and the columns whose text is to be inspected.

    The address is ``bigquery://PROJECT``, ``bigquery://PROJECT/DATASET`` (of tables that the query names without one),
    and ``?location=EU`` behind either. Credentials are Google's application default ones. A query that would change
    anything is refused before it runs.

    Raises:
        UserError: when the query is wrong, is none, or has columns of several values.
        PlatformError: when BigQuery cannot be reached, or refuses.
    """
    parts = urlsplit(source)
    project, dataset = parts.netloc, parts.path.strip("/")
    if not project or "/" in dataset:
        raise UserError(f"'{redact(source)}' is no address of BigQuery; expected bigquery://PROJECT or …/DATASET")
    location = parse_qs(parts.query).get("location", [""])[0]
    asked = {"query": query, "useLegacySql": False}
    asked |= {"defaultDataset": {"projectId": project, "datasetId": dataset}} if dataset else {}
    service = _Service(source, f"/bigquery/v2/projects/{quote(project, safe='')}", transfer)
    service.require_select(asked, location)
    job = _Job(service, location)
    resources.callback(job.give_up)
    first = job.begin(asked)
    fields = first.get("schema", {}).get("fields", [])
    schema = pa.schema([(field["name"], _type(field)) for field in fields])
    check_names(schema.names, "the query's result")
    texts = [field["name"] for field in fields if field["type"] in _DECIMALS]
    return pa.RecordBatchReader.from_batches(schema, _batches(job, first, schema)), texts


class _Service:
    """The API, asked with credentials, again where it is busy."""

    def __init__(self, source: str, path: str, transfer: Transfer) -> None:
        from google.auth.transport.requests import AuthorizedSession

        self._name, self.transfer = redact(source), transfer
        emulator = os.environ.get(EMULATOR, "").strip().rstrip("/")
        host = emulator if "://" in emulator else f"http://{emulator}" if emulator else _HOST
        self._address = f"{host}{path}"
        self._session = AuthorizedSession(self._credentials(bool(emulator)))

    def _credentials(self, emulated: bool) -> Any:
        import google.auth
        from google.auth.credentials import AnonymousCredentials
        from google.auth.exceptions import DefaultCredentialsError

        if emulated:
            return AnonymousCredentials()
        try:
            return google.auth.default(scopes=_SCOPES)[0]
        except DefaultCredentialsError:
            raise PlatformError(
                f"'{self._name}' needs Google's credentials, and there are none; give the step's service account a "
                "workload identity, or set GOOGLE_APPLICATION_CREDENTIALS to a file"
            ) from None

    def ask(self, method: str, path: str, body: Any = None, **params: Any) -> dict[str, Any]:
        """What it answers; each request can be repeated.

        Raises:
            UserError: when the query is wrong.
            PlatformError: when it cannot be reached, or refuses.
        """
        return self.transfer.tried(lambda last: self.once(method, path, body, params, last), _PAUSES)

    def once(self, method: str, path: str, body: Any, params: Any, last: bool) -> dict[str, Any] | None:
        """None where another attempt may do."""
        from google.auth.exceptions import GoogleAuthError
        from requests import RequestException

        given = {name: value for name, value in params.items() if value}
        try:
            answer = self._session.request(method, self._address + path, json=body, params=given, timeout=_TIMEOUT)
            found = answer.json()
            error = found.get("error", {})
        except (RequestException, GoogleAuthError, ValueError, AttributeError) as problem:
            if not last:
                return None
            raise PlatformError(
                f"'{self._name}' cannot be reached ({type(problem).__name__}); check the network and the credentials"
            ) from None
        if answer.status_code == 200:
            return dict(found)
        reasons = {one.get("reason", "") for one in error.get("errors", [])}
        if not last and (answer.status_code >= 500 or answer.status_code == 429 or reasons & set(_BUSY)):
            return None
        words = without_values(redact(" ".join(str(error.get("message", "no reason is given")).split())))[:300]
        if answer.status_code in (400, 404):
            raise UserError(f"the query on '{self._name}' failed ({words}); fix it, or the address")
        raise PlatformError(
            f"'{self._name}' failed with HTTP {answer.status_code} ({words}); give this job's identity the roles "
            "bigquery.jobUser and bigquery.dataViewer, or try again later"
        )

    def require_select(self, asked: Mapping[str, Any], location: str) -> None:
        """Refuse a query that is none: BigQuery has no read-only transactions, but says beforehand what one does."""
        job = {"configuration": {"dryRun": True, "query": asked}}
        job |= {"jobReference": {"location": location}} if location else {}
        kind = self.ask("POST", "/jobs", job).get("statistics", {}).get("query", {}).get("statementType", "")
        if kind != "SELECT":
            raise UserError(f"the query on '{self._name}' is of the kind {kind or 'that changes data'}; give a SELECT")


class _Job:
    """One query, whose rows are asked for page by page."""

    def __init__(self, service: _Service, location: str) -> None:
        self._service, self._location = service, location
        self._id = ""
        self._is_running = False

    def begin(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """The first page."""
        body = {
            **asked,
            "maxResults": _ROWS,
            "timeoutMs": _WAIT_MS,
            "formatOptions": {"useInt64Timestamp": True},
            "requestId": str(uuid.uuid4()),  # so that a repeated request begins no second job
            **({"location": self._location} if self._location else {}),
        }
        found = self._service.ask("POST", "/queries", body)
        where = found["jobReference"]
        self._id, self._location = where["jobId"], where.get("location", "")
        self._is_running = not found.get("jobComplete", False)
        return found if found.get("jobComplete") else self.page("")

    def page(self, token: str) -> dict[str, Any]:
        """The page that a token names, as soon as the query has one."""
        while True:
            found = self._service.ask(
                "GET", f"/queries/{quote(self._id, safe='')}", location=self._location, pageToken=token,
                maxResults=_ROWS, timeoutMs=_WAIT_MS, **{"formatOptions.useInt64Timestamp": "true"},
            )  # fmt: skip
            if found.get("jobComplete"):
                self._is_running = False
                return found
            self._service.transfer.check_time()

    def give_up(self) -> None:
        """Let a query that nobody waits for any more cost no more."""
        if self._is_running:
            self._service.once(
                "POST", f"/jobs/{quote(self._id, safe='')}/cancel", None, {"location": self._location}, last=False
            )


def _type(field: Mapping[str, Any]) -> pa.DataType:
    if field.get("mode") == "REPEATED" or field["type"] in ("RECORD", "STRUCT"):
        raise UserError(
            f"column '{field['name']}' of the query's result holds several values; select one of them, or use "
            f"TO_JSON_STRING({field['name']})"
        )
    return _TYPES.get(field["type"], pa.string())


def _batches(job: _Job, page: dict[str, Any], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    while True:
        rows = page.get("rows", [])
        columns = zip(*([cell["v"] for cell in row["f"]] for row in rows), strict=True) if rows else [()] * len(schema)
        yield pa.record_batch([_array(values, field) for values, field in zip(columns, schema, strict=True)], schema)
        if not (token := page.get("pageToken")):
            return
        page = job.page(token)


def _array(values: Any, field: pa.Field) -> pa.Array:
    """Values as the server writes them, as the type of their column."""
    if pa.types.is_binary(field.type):
        return pa.array([None if value is None else base64.b64decode(value) for value in values], field.type)
    texts = pa.array(values, pa.string())
    try:
        if pa.types.is_timestamp(field.type) and field.type.tz:
            return texts.cast(pa.int64()).cast(field.type)  # microseconds since 1970
        if pa.types.is_boolean(field.type):
            return pc.equal(texts, "true")
        return texts.cast(field.type)
    except pa.ArrowInvalid as error:
        raise PlatformError(
            f"column '{field.name}' of the query's result holds what is no {field.type} ({words_of(error)}); CAST it "
            "in the query"
        ) from None
