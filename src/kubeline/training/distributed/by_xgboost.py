"""XGBoost's part of a worker: its tracker, which worker 0 runs, its own rows, and checkpoints."""

import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import xgboost
from xgboost import collective
from xgboost.tracker import RabitTracker

from kubeline.training.distributed.exchange import Exchange
from kubeline.training.distributed.job import CHECKPOINT, TRACKER, Job, numbers

_GROUP_SECONDS = 600  # for all workers to come together, and for each to answer within one operation
_TRACKER_SECONDS = 20.0  # for worker 0 to say that its tracker runs, before the connection is tried anyway
_PORT_SECONDS = 150.0  # for the port of a container before this one to be free: its connections linger for 60
_RETRIES = 30  # of the connection to the tracker, with longer and longer waits


@contextmanager
def learned(
    job: Job, path: Path, exchange: Exchange, worker: int, environment: Mapping[str, str]
) -> Iterator[tuple[bytes, int]]:
    """The model, and from how many rows this worker learned; the group is left in order after the block.

    Args:
        job: of the training.
        path: of this worker's rows.
        exchange: where checkpoints are.
        worker: which one this is.
        environment: with the contract of the runtime.
    """
    warnings.filterwarnings("ignore", module="xgboost")  # each attempt to reach the tracker is one
    host, port = environment["DMLC_TRACKER_URI"], int(environment["DMLC_TRACKER_PORT"])
    tracker = _tracker(host, port, int(environment["DMLC_NUM_WORKER"])) if worker == 0 else None
    if tracker is not None:
        exchange.put(TRACKER, b"")
    else:
        _await(exchange)
    collective.init(
        dmlc_tracker_uri=host,
        dmlc_tracker_port=port,
        dmlc_task_id=f"{worker:06d}",  # the tracker sorts them as texts
        dmlc_timeout=_GROUP_SECONDS,
        dmlc_retry=_RETRIES,
    )
    rows = Parts(path)
    yield _learn(job, rows, exchange, is_first=worker == 0), rows.count
    collective.finalize()
    if tracker is not None:
        tracker.wait_for(_GROUP_SECONDS)


def _learn(job: Job, rows: "Parts", exchange: Exchange, is_first: bool) -> bytes:
    """The model after all rounds.

    After each checkpoint, learning goes on from the checkpoint itself, as it does when it is begun again, so that the
    model is the same, byte for byte, whether a worker was killed or not.
    """
    data = xgboost.QuantileDMatrix(rows, max_bin=job.params.get("max_bin", 256), nthread=job.threads)
    params = {**job.params, "nthread": job.threads, "seed_per_iteration": True}
    kept = exchange.fetch(CHECKPOINT)  # only worker 0 writes it, and it is in this group
    model = kept.read_bytes() if kept else b""
    while (done := _rounds(model)) < job.rounds:
        before = xgboost.Booster(params, model_file=bytearray(model)) if model else None
        some = min(job.checkpoint_rounds, job.rounds - done)
        learned = xgboost.train(params, data, some, xgb_model=before, verbose_eval=False)
        model = bytes(learned.save_raw("ubj"))
        if is_first:
            exchange.put(CHECKPOINT, model)
    return model


def _rounds(model: bytes) -> int:
    return int(xgboost.Booster(model_file=bytearray(model)).num_boosted_rounds()) if model else 0


class Parts(xgboost.DataIter):
    """The rows of a worker, batch by batch; XGBoost keeps their bins.

    Attributes:
        count: of rows.
    """

    def __init__(self, path: Path) -> None:
        self._file = pa.ipc.open_file(pa.OSFile(str(path)))
        self._next = self._seen = self.count = 0
        super().__init__()

    def reset(self) -> None:
        """Begin anew."""
        self._next = self._seen = 0

    def next(self, input_data: Any) -> bool:
        """Hand over the next batch; False when there is none."""
        if self._next == self._file.num_record_batches:
            self.count = self._seen
            return False
        batch = self._file.get_batch(self._next)
        self._next += 1
        self._seen += batch.num_rows
        weights = {"weight": batch.column("weight").to_numpy()} if "weight" in batch.schema.names else {}
        input_data(data=numbers(batch), label=batch.column("label").to_numpy(), **weights)
        return True


def _tracker(host: str, port: int, workers: int) -> RabitTracker:
    """XGBoost's tracker: on this machine alone where all workers are on it, else at every address of this pod."""
    address = "127.0.0.1" if host == "127.0.0.1" else "0.0.0.0"  # noqa: S104
    deadline = time.monotonic() + _PORT_SECONDS
    while True:
        try:
            tracker = RabitTracker(n_workers=workers, host_ip=address, port=port, sortby="task", timeout=_GROUP_SECONDS)
            break
        except xgboost.core.XGBoostError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.5)
    tracker.start()
    return tracker


def _await(exchange: Exchange) -> None:
    """Wait for the tracker a moment: XGBoost's own attempts to reach it are seconds apart."""
    deadline = time.monotonic() + _TRACKER_SECONDS
    while exchange.fetch(TRACKER) is None and time.monotonic() < deadline:
        time.sleep(0.1)
