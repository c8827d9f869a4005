"""One worker of a distributed training of XGBoost.

    python -m kubeline.training.distributed.worker

The environment says which: ``DMLC_TRACKER_URI``, ``DMLC_TRACKER_PORT``, ``DMLC_TASK_ID`` and ``DMLC_NUM_WORKER``, as
Kubeflow Trainer's runtime ``xgboost-distributed`` sets them, and where its files are, see
:mod:`kubeline.training.distributed.exchange`. Worker 0 runs XGBoost's tracker besides. A worker whose peers are gone
ends with an error; begun again, all of them go on from the last checkpoint.
"""

import json
import os
import sys
import time
import traceback
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import xgboost
from xgboost import collective
from xgboost.tracker import RabitTracker

from kubeline.training.distributed.exchange import Exchange, exchange_of
from kubeline.training.distributed.job import CHECKPOINT, JOB, MODEL, TRACKER, Job, part, report

_GROUP_SECONDS = 600  # for all workers to come together, and for each to answer within one operation
_TRACKER_SECONDS = 20.0  # for worker 0 to say that its tracker runs, before the connection is tried anyway
_PORT_SECONDS = 150.0  # for the port of a container before this one to be free: its connections linger for 60
_RETRIES = 30  # of the connection to the tracker, with longer and longer waits


def main(environment: Mapping[str, str]) -> None:
    """Learn from this worker's part, together with the others."""
    worker, workers = int(environment["DMLC_TASK_ID"]), int(environment["DMLC_NUM_WORKER"])
    host, port = environment["DMLC_TRACKER_URI"], int(environment["DMLC_TRACKER_PORT"])
    exchange = exchange_of(environment)
    job, rows = Job.of(_file(exchange, JOB).read_bytes()), Parts(_file(exchange, part(worker)))
    tracker = _tracker(host, port, workers) if worker == 0 else None
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
    model = _learn(job, rows, exchange, is_first=worker == 0)
    if worker == 0:
        exchange.put(MODEL, model)
    facts = {"rows": rows.count, "peak_bytes": _peak_bytes()}
    exchange.put(report(worker), json.dumps(facts).encode())
    collective.finalize()
    if tracker is not None:
        tracker.wait_for(_GROUP_SECONDS)


def _learn(job: Job, rows: "Parts", exchange: Exchange, is_first: bool) -> bytes:
    """The model after all rounds.

    After each checkpoint, learning goes on from the checkpoint itself, as it does when it is begun again, so that the
    model is the same, byte for byte, whether a worker was killed or not.
    """
    data = xgboost.QuantileDMatrix(rows, max_bin=job.max_bin, nthread=job.threads)
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
        values = batch.column("row").flatten().to_numpy().reshape(batch.num_rows, -1)
        input_data(data=values, label=batch.column("label").to_numpy(), **weights)
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


def _peak_bytes() -> int:
    """The most memory that this process held; 0 where the system does not say.

    Not that of getrusage, which begins with what the parent held.
    """
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) << 10
    return 0


def _file(exchange: Exchange, name: str) -> Path:
    found = exchange.fetch(name)
    if found is None:
        raise FileNotFoundError(f"the training step has no {name}")
    return found


if __name__ == "__main__":
    warnings.filterwarnings("ignore", module="xgboost")  # each attempt to reach the tracker is one
    try:
        main(os.environ)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)  # to leave the group in order would wait for peers that are gone
