"""Log lines: JSON on stdout, or text when stdout is a terminal; docs/monitoring.md lists the fields."""

import json
import logging
import os
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import orjson

from kubeline.masking import trace_of
from kubeline_serving.exchange import Exchange

_OTHERS = ("uvicorn", "uvicorn.error", "uvicorn.access", "grpc")
_MAX_WAITING = 10_000  # lines
_ATOMIC_BYTES = 4096  # a pipe takes so much at once, so that lines of several workers do not mix
_GATHER_SECONDS = 0.02
_BURST = 20  # lines of one kind at once, then
_PER_SECOND = 1.0
_FLUSH_SECONDS = 2.0
_LONGEST_REASON = 200

logger = logging.getLogger("kubeline_serving.requests")


def configure(level: int = logging.INFO, file: int | None = None) -> logging.Handler:
    """Send every logger's lines to stdout, those of uvicorn, gRPC and warnings too; to be called once in each process.

    Lines of one kind are limited to a burst of 20 and then 1 a second, and the next one says how many were left out.
    Writing happens in a thread: a reader of stdout that stands still never holds up a request; beyond 10,000 waiting
    lines they are dropped and counted. The standard library's QueueListener would write each line for itself, print a
    traceback for each that a full queue does not take, and wait at its end for a reader that stands still.

    Args:
        level: of :mod:`logging`; lines below it are left out.
        file: descriptor to write to; None for stdout.
    """
    descriptor = sys.stdout.fileno() if file is None else file
    handler = _BackgroundHandler(descriptor)
    handler.setFormatter(_TextFormatter() if os.isatty(descriptor) else _JsonFormatter())
    handler.addFilter(_limit)
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(level)
    for name in _OTHERS:
        other = logging.getLogger(name)
        other.handlers.clear()
        other.propagate = True
    logging.getLogger("uvicorn.access").disabled = True  # RequestLog is the access log
    logging.captureWarnings(capture=True)
    return handler


class RequestLog:
    """Logs refused and failed requests, and with `access` every one; an Observer.

    A line holds no values of a request: of the client's error message, only what names columns stays.

    Args:
        model: its name.
        version: of the package.
        names: of the columns and outputs of the model, which may stand in a line.
        access: whether answered requests are logged too, without a limit.
    """

    def __init__(self, model: str, version: str, names: Iterable[str], access: bool = False):
        self._facts = {"model": model, "version": version}
        self._known = {f"'{name}'" for name in (*names, model, version)}
        self._access = access

    def record(self, exchange: Exchange) -> None:
        """Log an exchange when it is to be logged."""
        status = exchange.status
        if status < 400:
            if self._access:
                logger.info("answered", extra={"fields": self._fields(exchange), "limit": None})
            return
        suppressed = _limit.admit((status,))  # asked first: under overload, a line costs as much as the refusal
        if suppressed is None:
            return
        fields = self._fields(exchange)
        if exchange.error:
            fields["error"] = self._without_values(exchange.error)
        level = logging.ERROR if status >= 500 and status != 503 else logging.WARNING
        what = "failed" if level == logging.ERROR else "refused"
        logger.log(level, what, extra={"fields": fields, "limit": None, "suppressed": suppressed})

    def close(self) -> None:
        """Write the lines that wait, and how many were left out."""
        for handler in logging.getLogger().handlers:
            handler.flush()

    def _fields(self, exchange: Exchange) -> dict[str, Any]:
        trace = exchange.traceparent
        return {
            "request_id": exchange.request_id,
            "trace_id": trace[3:35],
            "span_id": trace[36:52],
            **self._facts,
            "protocol": exchange.protocol,
            "status": exchange.status,
            "rows": exchange.rows,
            "queue_ms": _milliseconds(exchange.queue_seconds),
            "parse_ms": _milliseconds(exchange.parse_seconds),
            "predict_ms": _milliseconds(exchange.predict_seconds),
            "serialise_ms": _milliseconds(exchange.serialise_seconds),
            "total_ms": _milliseconds(exchange.total_seconds),
        }

    def _without_values(self, sentence: str) -> str:
        """What is wrong, without what a refusal repeats of the request: values, and names that are not the model's."""
        reason = sentence.partition(";")[0]  # the rest is advice, which may list what was sent
        found = re.search(r" holds (?:[-+.\w]+(?= in row \d+, which is no )|.*)", reason, re.DOTALL)
        if found:
            reason = f"{reason[: found.start()]} holds …{reason[found.end() :]}"
        reason = re.sub(r"'[^']*'", lambda name: name[0] if name[0] in self._known else "'…'", reason)
        return reason[:_LONGEST_REASON]


class _RateLimit(logging.Filter):
    """Lets a burst of lines of one kind pass and then one a second; a kind is a place in the code, or a status."""

    def __init__(self) -> None:
        super().__init__()
        self._tokens: dict[tuple[Any, ...], tuple[float, float, int]] = {}  # by kind: left, when, left out since

    def filter(self, record: logging.LogRecord) -> bool:
        if getattr(record, "limit", 0) is None:
            return True
        suppressed = self.admit((record.name, record.lineno))
        record.__dict__["suppressed"] = suppressed
        return suppressed is not None

    def admit(self, kind: tuple[Any, ...]) -> int | None:
        """How many lines of a kind were left out before this one; None when this one is to be left out as well."""
        now = time.monotonic()
        left, then, left_out = self._tokens.get(kind, (_BURST, now, 0))
        left = min(_BURST, left + (now - then) * _PER_SECOND)
        if left < 1:
            self._tokens[kind] = (left, now, left_out + 1)
            return None
        self._tokens[kind] = (left - 1, now, 0)
        return left_out

    def take_left_out(self) -> int:
        """How many lines were left out and not reported yet."""
        unreported = sum(left_out for _, _, left_out in self._tokens.values())
        self._tokens = {kind: (left, when, 0) for kind, (left, when, _) in self._tokens.items()}
        return unreported


_limit = _RateLimit()


class _BackgroundHandler(logging.Handler):
    """Writes lines in a thread, never making who logs wait."""

    def __init__(self, descriptor: int):
        super().__init__()
        self._descriptor = descriptor
        self._lines: deque[bytes] = deque()
        self._dropped = 0
        self._wake = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        if len(self._lines) >= _MAX_WAITING:
            self._dropped += 1
            return
        try:
            line = self.format(record)
        except Exception:  # of a line that cannot be formatted; logging reports it on stderr
            self.handleError(record)
            return
        self._lines.append(line.encode("utf-8", "backslashreplace") + b"\n")
        if not self._wake.is_set():
            self._idle.clear()
            self._wake.set()

    def flush(self) -> None:
        """Log how many lines were left out, and wait until what was logged is written, 2 s at most."""
        unreported = sum(limit.take_left_out() for limit in self.filters if isinstance(limit, _RateLimit))
        if unreported:
            self.emit(_summary(f"{unreported} lines were left out, more than {_PER_SECOND:g} a second of their kind"))
        self._idle.wait(_FLUSH_SECONDS)

    def _run(self) -> None:
        while True:
            self._wake.wait()
            time.sleep(_GATHER_SECONDS)
            self._wake.clear()
            while self._lines:
                self._write(self._gather())
                if self._dropped and len(self._lines) < _MAX_WAITING:
                    dropped, self._dropped = self._dropped, 0
                    self.emit(_summary(f"{dropped} lines were dropped, because stdout was not read"))
            if not self._wake.is_set():
                self._idle.set()

    def _gather(self) -> bytes:
        block = self._lines.popleft()
        while self._lines and len(block) + len(self._lines[0]) <= _ATOMIC_BYTES:
            block += self._lines.popleft()
        return block

    def _write(self, block: bytes) -> None:
        try:
            while block:
                block = block[os.write(self._descriptor, block) :]
        except OSError:  # the reader of stdout is gone
            self._lines.clear()


class _Formatter(logging.Formatter):
    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        """The traceback, without the values of requests that exceptions may hold."""
        return trace_of(ei[1]).rstrip("\n") if ei[1] is not None else super().formatException(ei)


class _JsonFormatter(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        try:
            return orjson.dumps(line).decode()
        except TypeError:  # text that is no UTF-8
            return json.dumps(line, default=str)


class _TextFormatter(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S.%f")[:-3]
        fields = " ".join(f"{name}={json.dumps(value, default=str)}" for name, value in _fields(record).items())
        message = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in record.getMessage())
        line = f"{moment} {record.levelname:<8} {message} {fields}".rstrip()
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields = {name: value for name, value in getattr(record, "fields", {}).items() if value != ""}
    suppressed = getattr(record, "suppressed", 0)
    return fields | {"suppressed": suppressed} if suppressed else fields


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _summary(sentence: str) -> logging.LogRecord:
    return logger.makeRecord(logger.name, logging.WARNING, __file__, 0, sentence, (), None)
