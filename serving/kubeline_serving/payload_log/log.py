"""The payload log: requests with their predictions as Parquet files, for the drift check and for analysis.

What is promised: every file that has the name of a part is whole. After SIGTERM no accepted row is missing, as long as
the store takes the last files within the grace period. After SIGKILL at most the rows of the last `seconds` (fewer,
when a file fills up before) and those of files that waited for a slow store are missing. Rows beyond the bound on
memory, and of files that could not be written, are lost and counted. docs/payload-log.md has the schema and metrics.
"""

import hashlib
import io
import logging
import re
import socket
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq

from kubeline.model_package.signature import Signature
from kubeline_serving.exchange import Exchange, PayloadOutcome
from kubeline_serving.inference.model import ServedModel
from kubeline_serving.options import Options
from kubeline_serving.payload_log.store import PayloadStore
from kubeline_serving.payload_log.table import PayloadTable, first_time

logger = logging.getLogger(__name__)


_GATHER_SECONDS = 0.2  # between two rounds of the writer
_BATCH_EXCHANGES = 64  # converted at once, for which others wait a fraction of a millisecond
_BATCH_ROWS = 2_000
_FIRST_RETRY_SECONDS = 0.25
_LONGEST_RETRY_SECONDS = 15.0
_REPORT_EVERY_SECONDS = 60.0
_EXCHANGE_BYTES = 2_800  # of the objects around the values of one request, as measured


@dataclass(frozen=True)
class PayloadOptions:
    """How much is logged, and when a file is written.

    Attributes:
        sample: share of the requests, 0 to 1. A request is chosen by a hash of its id, so that all workers and
            replicas, and a retry with the same id, decide alike.
        rows: of one file at most.
        seconds: a row waits for its file at most so long.
        memory_bytes: that waiting rows may take; a request that does not fit any more is dropped.
        grace: seconds that :meth:`PayloadLog.close` may take.
    """

    sample: float = 1.0
    rows: int = 50_000
    seconds: float = 10.0
    memory_bytes: int = 64 * 2**20
    grace: float = 20.0


@dataclass
class _Part:
    """A file that waits to be written."""

    name: str
    content: bytes
    rows: int


@dataclass(frozen=True)
class _Converted:
    """Exchanges as Arrow, or how many rows could not be that."""

    batch: pa.RecordBatch | None
    rows: int
    size: int  # bytes that the exchanges took
    arrived: float  # of the first, by time.perf_counter


class PayloadLog:
    """Writes answered requests to ``date=YYYY-MM-DD/part-<time>-<pod>-<worker>-<number>.parquet`` below a folder.

    The date and the time are UTC, of the file's earliest request; sorted by name, files are in that order.

    :meth:`record` takes references, and makes every 64 requests Arrow; a thread of its own does so with what is left
    over, and makes and writes the files. `counts` are the rows by outcome.

    Args:
        uri: the folder, a path or an address of any fsspec file system.
        model: its name in URLs.
        version: the first digits of its package's digest.
        signature: what it reads and answers.
        options: see :class:`PayloadOptions`.
        on_count: called with an outcome and a number of rows, in any thread.

    Raises:
        UserError: when the address is wrong, its driver is missing, or a feature has the name of a column of the log.
        PlatformError: when nothing can be written there: silent loss would be worse than no server.
    """

    def __init__(
        self,
        uri: str,
        model: str,
        version: str,
        signature: Signature,
        options: PayloadOptions | None = None,
        on_count: Callable[[PayloadOutcome, int], None] | None = None,
    ):
        self.counts: dict[PayloadOutcome, int] = {"written": 0, "dropped": 0, "failed": 0, "sampled_out": 0}
        self._options = options or PayloadOptions()
        self._on_count = on_count
        self._table = PayloadTable(model, version, signature)
        self._row_bytes = _row_bytes(signature)
        self._store = PayloadStore(uri)
        pod = re.sub(r"[^A-Za-z0-9.]+", "_", socket.gethostname())
        self._worker = f"{pod}-{uuid.uuid4().hex[:8]}"
        self._store.check(f".writable-{self._worker}")

        self._queue: deque[tuple[Exchange, int]] = deque()
        self._converted: deque[_Converted] = deque()
        self._taken = 0  # bytes; written by the event loop alone
        self._given_back = 0  # the same, by the writer alone
        self._batches: list[pa.RecordBatch] = []
        self._batch_rows = 0
        self._batch_bytes = 0
        self._opened = 0.0  # when the first row of them arrived, by time.perf_counter
        self._latest = 0.0  # the same of the last batch
        self._parts: deque[_Part] = deque()
        self._number = 0
        self._attempts = 0
        self._retry_at = 0.0
        self._reported_at, self._reported_lost = -_REPORT_EVERY_SECONDS, 0
        self._deadline = 0.0
        self._full = False
        self._closed = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="payload-log", daemon=True)
        self._thread.start()

    @property
    def waiting_bytes(self) -> int:
        """Memory that rows take which are not written yet, as estimated."""
        return self._taken - self._given_back

    def record(self, exchange: Exchange) -> None:
        """Take an answered request into the log; others are not logged."""
        if exchange.status != 200 or exchange.predictions is None or exchange.inputs is None or not exchange.rows:
            return
        if not self._is_sampled(exchange.request_id):
            self._count("sampled_out", exchange.rows)
            return
        size = self.size_of(exchange)
        if self._closed or self.waiting_bytes + size > self._options.memory_bytes:
            self._full = True
            self._count("dropped", exchange.rows)
            return
        self._taken += size
        self._queue.append((exchange, size))
        if len(self._queue) >= _BATCH_EXCHANGES and exchange.rows < _BATCH_ROWS:
            # here, and not by the writer: two threads would contend for the GIL
            self._convert()
        if not self._wake.is_set():
            self._wake.set()

    def close(self) -> None:
        """Write what waits, within the grace period; what cannot be written by then is counted as failed."""
        self._deadline = time.monotonic() + self._options.grace
        self._closed = True
        self._wake.set()
        self._thread.join(self._options.grace + 1.0)
        if self._thread.is_alive():  # the store does not answer
            lost = sum(part.rows for part in [*self._parts]) + self._batch_rows
            lost += sum(converted.rows for converted in [*self._converted])
            self._count("failed", lost + sum(exchange.rows for exchange, _ in [*self._queue]))
        if self.counts["failed"] or self.counts["dropped"]:
            logger.error("payload log: %s", self._summary())

    def _is_sampled(self, request_id: str) -> bool:
        share = self._options.sample
        if share >= 1:
            return True
        digest = hashlib.blake2b(request_id.encode("utf-8", "replace"), digest_size=8).digest()
        return int.from_bytes(digest, "big") < share * 2**64

    def size_of(self, exchange: Exchange) -> int:
        """Approximate bytes that an exchange holds in memory."""
        size = _EXCHANGE_BYTES + self._row_bytes * exchange.rows
        for values in exchange.inputs.unseen if exchange.inputs is not None else ():
            size += sum(map(sys.getsizeof, values)) + 8 * len(values)
        return size

    def _count(self, outcome: PayloadOutcome, rows: int) -> None:
        self.counts[outcome] += rows
        if self._on_count is not None and rows:
            self._on_count(outcome, rows)

    def _convert(self) -> None:
        """Make an Arrow batch of the next exchanges; called by the event loop, and by the writer for what it leaves."""
        exchanges: list[Exchange] = []
        size = rows = 0
        while len(exchanges) < _BATCH_EXCHANGES and rows < _BATCH_ROWS:
            try:
                exchange, bytes_ = self._queue.popleft()
            except IndexError:  # the other thread may have taken it
                break
            exchanges.append(exchange)
            size += bytes_
            rows += exchange.rows
        if not exchanges:
            return
        batch = None
        try:
            batch = self._table.batch(exchanges)
        except Exception:  # a request that cannot be written must not end the log
            logger.exception("payload log: %d rows could not be converted", rows)
        self._converted.append(_Converted(batch, rows, size, exchanges[0].arrived))

    # --- in the thread of the writer ---------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            closed = self._closed
            self._wake.wait(self._pause())
            self._wake.clear()
            if not self._closed:
                time.sleep(_GATHER_SECONDS)
            try:
                self._collect()
                self._seal(everything=closed or self._is_due())
            except Exception:  # the log goes on without these rows
                logger.exception("payload log: %d rows could not be made a file", self._batch_rows)
                self._count("failed", self._batch_rows)
                self._given_back += self._batch_bytes
                self._batches, self._batch_rows, self._batch_bytes = [], 0, 0
            self._write_parts()
            self._report_loss()
            if closed and not self._queue and not self._converted and not self._batches:
                if not self._parts:
                    return
                if time.monotonic() >= self._deadline:
                    self._give_up(len(self._parts))
                    return

    def _pause(self) -> float | None:
        """Seconds to wait for a wake-up; None for as long as it takes."""
        if self._closed:
            return min(max(0.0, self._retry_at - time.monotonic()), 1.0) if self._parts else 0.0
        pauses = []
        if self._batches:
            pauses.append(self._opened + self._options.seconds - time.perf_counter() - _GATHER_SECONDS)
        if self._parts:
            pauses.append(self._retry_at - time.monotonic())
        if self._queue or self._converted:
            pauses.append(0.0)
        return max(0.0, min(pauses)) if pauses else None

    def _is_due(self) -> bool:
        return bool(self._batches) and time.perf_counter() - self._opened >= self._options.seconds - 2 * _GATHER_SECONDS

    def _collect(self) -> None:
        """Take what was converted, and convert what is left over, until a file is full and can be written."""
        while True:
            if self._has_left_over():
                self._convert()
            if not self._converted:
                return
            converted = self._converted.popleft()
            if converted.batch is None:
                self._given_back += converted.size
                self._count("failed", converted.rows)
                continue
            self._latest = converted.arrived
            if not self._batches:
                self._opened = self._latest
            self._batches.append(converted.batch)
            self._batch_rows += converted.rows
            self._batch_bytes += converted.size
            self._seal(everything=self._batch_bytes > self._options.memory_bytes / 4)
            if self._parts and time.monotonic() >= self._retry_at:
                return  # written first: under steady load the queue may never be empty
            if not self._closed:
                time.sleep(0.0001)  # releases the GIL to the event loop

    def _has_left_over(self) -> bool:
        """Whether exchanges wait that the event loop will not convert soon, because too few others come."""
        try:
            waits_since = self._queue[0][0].arrived
        except IndexError:  # the event loop may have taken it
            return False
        return self._closed or time.perf_counter() - waits_since > _GATHER_SECONDS

    def _seal(self, everything: bool) -> None:
        """Make files of the batches: those that are full, or all rows."""
        limit = self._options.rows
        while self._batch_rows >= limit or (everything and self._batch_rows):
            table = pa.Table.from_batches(self._batches, self._table.schema)
            rows = min(limit, table.num_rows)
            size = self._batch_bytes * rows // table.num_rows
            self._parts.append(self._part(table.slice(0, rows)))
            self._given_back += size - len(self._parts[-1].content)
            self._batches = table.slice(rows).to_batches() if rows < table.num_rows else []
            self._batch_rows -= rows
            self._batch_bytes -= size
            self._opened = self._latest  # what is left is of the last batch

    def _part(self, table: pa.Table) -> _Part:
        stream = io.BytesIO()
        pq.write_table(table, stream, compression="zstd")
        moment = datetime.fromtimestamp(first_time(table) / 1e6, UTC)
        self._number += 1
        name = f"part-{moment:%Y%m%dT%H%M%S.%fZ}-{self._worker}-{self._number:06d}.parquet"
        return _Part(f"date={moment:%Y-%m-%d}/{name}", stream.getvalue(), table.num_rows)

    def _write_parts(self) -> None:
        """Write waiting files, the oldest first; after a failure wait a while, longer each time."""
        while self._parts and time.monotonic() >= self._retry_at:
            part = self._parts[0]
            try:
                self._store.write(part.name, part.content)
            except Exception as error:  # each store's own
                self._attempts += 1
                pause = min(_FIRST_RETRY_SECONDS * 2 ** (self._attempts - 1), _LONGEST_RETRY_SECONDS)
                self._retry_at = time.monotonic() + pause
                if self._attempts == 1:
                    logger.warning("payload log: cannot write to '%s', trying again: %s", self._store.shown, error)
                if self._full and not self._closed:
                    self._give_up(1)  # the newest rows are worth more than the oldest
                self._full = False
                return
            self._attempts, self._retry_at = 0, 0.0
            self._parts.popleft()
            self._given_back += len(part.content)
            self._count("written", part.rows)

    def _give_up(self, parts: int) -> None:
        for _ in range(parts):
            part = self._parts.popleft()
            self._given_back += len(part.content)
            self._count("failed", part.rows)

    def _report_loss(self) -> None:
        """Log that rows are lost, at most once a minute."""
        lost = self.counts["failed"] + self.counts["dropped"]
        if lost and lost != self._reported_lost and time.monotonic() - self._reported_at > _REPORT_EVERY_SECONDS:
            self._reported_at, self._reported_lost = time.monotonic(), lost
            logger.error("payload log: %s", self._summary())

    def _summary(self) -> str:
        return ", ".join(f"{rows:,} rows {outcome.replace('_', ' ')}" for outcome, rows in self.counts.items())


def open_log(options: Options, model: ServedModel, on_count: Callable[[PayloadOutcome, int], None]) -> PayloadLog:
    """The payload log that the command line asks for."""
    how = PayloadOptions(
        options.payload_sample,
        options.payload_rows,
        options.payload_seconds,
        options.payload_memory_mb * 2**20,
        options.grace_seconds,
    )
    return PayloadLog(options.payload_log, model.name, model.version, model.signature, how, on_count)


def _row_bytes(signature: Signature) -> int:
    """Memory of one row without unseen texts."""
    widths = {"number": 4, "boolean": 4, "datetime": 8, "category": 4}
    return sum(widths[feature.kind] for feature in signature.features) + 8 + 4 * len(signature.classes or ())
