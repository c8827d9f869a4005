"""What KServe's own logger wrote, as a table: one row for each instance of each answered request.

Its events are read as CloudEvents in JSON, one on a line, as a sink collects them, and as the records that it writes to
blob storage as JSON or Parquet. Source: KServe, ``pkg/logger`` (``worker.go``, ``store.go``, ``marshaller``).
"""

import base64
import json
import logging
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from kubeline.data.kserve_body import Row, answers, instances
from kubeline.data.limits import ADVICE, JSON_LINE, readable, scaled
from kubeline.data.sources import SourceFile
from kubeline.data.tables import check_pages
from kubeline.errors import UserError

logger = logging.getLogger(__name__)

_TYPES = {
    "org.kubeflow.serving.inference.request": "request",
    "org.kubeflow.serving.inference.response": "response",
}
_RECORDS = 256  # of a Parquet file, held at a time
_BLOCK = 1 << 20
LoggedEvent = tuple[str, str, str | None, str | None, bytes]  # id, request or response, time, model, body


class BrokenEvent(Exception):  # noqa: N818 - one event of many; counted
    """An event that is not what KServe writes."""


def flatten(files: Sequence[SourceFile], columns: Sequence[str], scratch: Path) -> SourceFile:
    """Pair requests with responses by id and write their rows as one file of JSON lines in `scratch`.

    Each row has the columns of the request, ``request.id``, ``request.time`` (of the event; missing in blob storage),
    ``request.row``, ``model.name`` (of the InferenceService), ``output.prediction`` and, where the answer has them,
    ``output.probability.<class>``. Requests without an answer are left out. Events are paired on disk, in the order of
    the requests.

    Args:
        files: what was logged, in any of the forms above.
        columns: names of the values of requests that send lists or one wide tensor.
        scratch: a folder for the table and for what waits for its pair.

    Raises:
        UserError: when no request can be read; it says why.
    """
    troubles: Counter[str] = Counter()
    target = scratch / "kserve.jsonl"
    with closing(sqlite3.connect(scratch / "kserve.db")) as database:
        database.execute(
            "CREATE TABLE events (id TEXT, kind TEXT, time TEXT, model TEXT, body BLOB, PRIMARY KEY (id, kind))"
        )
        for file in files:
            database.executemany("INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?)", _events(file, troubles))
        rows = 0
        with target.open("w", encoding="utf-8") as lines:
            for row in _rows(database, columns, troubles):
                rows += 1
                lines.write(json.dumps(row) + "\n")
    reasons = "; ".join(f"{count:,} x {trouble}" for trouble, count in troubles.most_common(5))
    if not rows:
        raise UserError(
            f"'{files[0].name}' holds no request with its response ({reasons or 'no events'}); check the log"
        )
    if troubles:
        logger.warning("%s of KServe's log were left out: %s", f"{troubles.total():,} events", reasons)
    return SourceFile(files[0].name if len(files) == 1 else "the log of KServe", target, "json")


def _events(file: SourceFile, troubles: Counter[str]) -> Iterator[LoggedEvent]:
    for record in _records(file, troubles):
        try:
            yield _event(record)
        except BrokenEvent as error:
            troubles[str(error)] += 1


def _records(file: SourceFile, troubles: Counter[str]) -> Iterator[Any]:
    with file.path.open("rb") as stream:
        magic = stream.read(4)
    if magic == b"PAR1":
        try:
            with pq.ParquetFile(file.path, read_dictionary=_texts(file), pre_buffer=False) as parquet:
                check_pages(parquet.metadata, file.name)
                for batch in parquet.iter_batches(_RECORDS):
                    for row in range(batch.num_rows):  # a body that is stored once may stand for all
                        yield from batch.slice(row, 1).to_pylist()
        except (pa.ArrowException, OSError, UnicodeDecodeError):
            troubles[f"'{file.name}' is not a whole Parquet file"] += 1
        return
    most = scaled(JSON_LINE)
    with file.path.open("rb") as stream:
        while line := stream.readline(most + 1):
            if len(line) > most:
                troubles[f"a line is longer than {readable(most)} ({ADVICE})"] += 1
                _pass_line(stream, line)
                continue
            if not line.strip():
                continue
            try:
                found = _json(line)
            except (ValueError, RecursionError):  # nested some thousand levels deep
                troubles["a line is not JSON"] += 1
                continue
            yield from found if isinstance(found, list) else [found]


def _texts(file: SourceFile) -> list[str]:
    """The columns of a Parquet file that may hold a value once for many rows."""
    kinds = pq.read_schema(file.path)
    return [
        field.name for field in kinds if not pa.types.is_primitive(field.type) and not pa.types.is_nested(field.type)
    ]


def _pass_line(stream: BinaryIO, line: bytes) -> None:
    """Read on to the end of a line of which the beginning was read."""
    while line and not line.endswith(b"\n"):
        line = stream.readline(_BLOCK)


def _json(content: bytes, **options: Any) -> Any:
    """A value of JSON whose texts are text: half of a surrogate pair, which `json` lets pass, is a ValueError."""
    found = json.loads(content, **options)
    if b"\\u" in content:
        json.dumps(found, ensure_ascii=False).encode()
    return found


def _event(record: Any) -> LoggedEvent:
    """A CloudEvent, or a record of blob storage, whose names are written in several ways."""
    if not isinstance(record, dict):
        raise BrokenEvent("an event is no object")
    fields = {str(name).lower().replace("_", ""): value for name, value in record.items()}
    kind = _TYPES.get(str(fields.get("type") or fields.get("reqtype")))
    if kind is None:
        raise BrokenEvent("the type of an event is neither a request nor a response of inference")
    identity = fields.get("id")
    if not isinstance(identity, str) or not identity:
        raise BrokenEvent("an event has no id")
    model = fields.get("inferenceservicename") or fields.get("inferenceservice")
    time = re.sub(r"([.]\d{6})\d+", r"\1", str(fields.get("time") or ""))  # Go writes nanoseconds
    body = _body(fields)
    if len(body) > scaled(JSON_LINE):
        raise BrokenEvent(f"a body is longer than {readable(scaled(JSON_LINE))} ({ADVICE})")
    return identity, kind, time or None, str(model) if model else None, body


def _body(fields: dict[str, Any]) -> bytes:
    for name in ("database64", "bytes"):
        body = fields.get(name)
        if isinstance(body, bytes):
            return body
        if isinstance(body, str):
            try:
                return base64.b64decode(body, validate=True)
            except ValueError as error:
                raise BrokenEvent("the body of an event is not base64") from error
    data = fields.get("data")
    if data is None:
        raise BrokenEvent("an event has no body")
    return data.encode() if isinstance(data, str) else json.dumps(data).encode()


def _rows(database: sqlite3.Connection, columns: Sequence[str], troubles: Counter[str]) -> Iterator[Row]:
    """The rows of each pair, in the order of the requests."""
    query = (
        "SELECT q.id, q.time, q.model, q.body, p.body FROM events q LEFT JOIN events p "
        "ON p.id = q.id AND p.kind = 'response' WHERE q.kind = 'request' ORDER BY q.rowid"
    )
    for identity, time, model, request, response in database.execute(query):
        if response is None:
            troubles["a request has no response"] += 1
            continue
        try:
            rows = _pair(_parsed(request), _parsed(response), columns)
        except (BrokenEvent, UserError) as error:
            troubles[str(error)] += 1
            continue
        except (ValueError, TypeError, AttributeError, KeyError, IndexError):
            troubles["a body is not of KServe's protocols v1 or v2"] += 1
            continue
        for number, (given, answer) in enumerate(rows):
            about = {"request.id": identity, "request.time": time, "request.row": number, "model.name": model}
            yield given | about | answer


def _pair(request: Any, response: Any, columns: Sequence[str]) -> list[tuple[Row, Row]]:
    inputs, outputs = instances(request, columns), answers(response)
    if len(inputs) != len(outputs):
        raise UserError("a response has another number of rows than its request")
    return list(zip(inputs, outputs, strict=True))


def _parsed(body: bytes) -> Any:
    try:
        return _json(body, parse_constant=lambda _: None)  # NaN is no JSON
    except (ValueError, RecursionError) as error:  # raw tensors come behind their JSON
        raise BrokenEvent("a body is not JSON (binary tensors are not read)") from error
