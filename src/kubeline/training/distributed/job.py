"""What the workers of one training are given: a job, and a part of the rows each.

The files of a training have the same names wherever they lie: ``job.json``, ``part-I`` for worker I (an Arrow file with
the columns ``row``, ``label`` and, where there are any, ``weight``), ``checkpoint``, ``model``, ``report-I.json``; and
those by which the workers find each other: ``tracker`` (XGBoost), ``round``, ``address-I`` and ``group`` (LightGBM).
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa

from kubeline.typing import Array

JOB, CHECKPOINT, MODEL = "job.json", "checkpoint", "model"
TRACKER = "tracker"  # it is there when XGBoost's tracker runs
ROUND, GROUP = "round", "group"  # of LightGBM's workers, see by_lightgbm
_ROWS = 16_384  # of a batch, which is what a worker holds of its part besides the bins
_MAX_BYTES = 64 << 20  # of a batch of many columns


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        library: ``xgboost`` or ``lightgbm``.
        params: of the library's native interface.
        rounds: of boosting.
        threads: of each worker.
        checkpoint_rounds: of XGBoost, after which what was learned so far is kept.
    """

    library: str
    params: Mapping[str, Any]
    rounds: int
    threads: int
    checkpoint_rounds: int = 1

    def to_bytes(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def of(cls, content: bytes) -> Self:
        """From JSON."""
        return cls(**json.loads(content))


def part(worker: int) -> str:
    """Name of a worker's rows."""
    return f"part-{worker}"


def address(worker: int) -> str:
    """Name of where a worker of LightGBM is reached."""
    return f"address-{worker}"


def report(worker: int) -> str:
    """Name of what a worker reports of itself: ``rows``, and ``peak_bytes``, the most memory that it held."""
    return f"report-{worker}.json"


def write_parts(folder: Path, workers: int, rows: Array, labels: Array, weights: Array | None) -> None:
    """Divide the rows among the workers, to within one row equally.

    They are drawn, not cut: LightGBM takes the bins of a column from the rows of one worker, which must not be the
    earliest of a table.

    Args:
        folder: where the parts are written.
        workers: how many.
        rows: float32, shape (rows, columns).
        labels: float32, shape (rows,).
        weights: float32, shape (rows,), or None.
    """
    width = rows.shape[1]
    step = max(1, min(_ROWS, _MAX_BYTES // (4 * width)))
    fields = {"row": pa.list_(pa.float32(), width), "label": pa.float32()}
    schema = pa.schema(fields | ({} if weights is None else {"weight": pa.float32()}))
    drawn = np.random.default_rng(0).permutation(len(rows))
    bounds = np.linspace(0, len(rows), workers + 1).astype(int)
    for worker in range(workers):
        end = int(bounds[worker + 1])
        with pa.OSFile(str(folder / part(worker)), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            for start in range(int(bounds[worker]), end, step):
                some = np.sort(drawn[start : min(start + step, end)])
                flat = pa.array(np.ascontiguousarray(rows[some], dtype=np.float32).reshape(-1))
                columns = [pa.FixedSizeListArray.from_arrays(flat, width), pa.array(labels[some])]
                columns += [] if weights is None else [pa.array(weights[some])]
                writer.write_batch(pa.record_batch(columns, schema=schema))


def numbers(batch: pa.RecordBatch) -> Array:
    """What the model reads of a batch: float32, shape (rows, columns)."""
    values: Array = batch.column("row").flatten().to_numpy().reshape(batch.num_rows, -1)
    return values
