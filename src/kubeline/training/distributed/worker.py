"""One worker of a distributed training.

    python -m kubeline.training.distributed.worker

The environment says which: ``DMLC_TRACKER_URI``, ``DMLC_TRACKER_PORT``, ``DMLC_TASK_ID`` and ``DMLC_NUM_WORKER``, as
Kubeflow Trainer's runtime ``xgboost-distributed`` sets them, and where its files are, see
:mod:`kubeline.training.distributed.exchange`. The job says by which library: :mod:`.by_xgboost`, :mod:`.by_lightgbm`.
A worker whose peers are gone ends with an error, and all of them are begun again.
"""

import importlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from kubeline.masking import trace_of
from kubeline.processes import peak_memory_bytes
from kubeline.training.distributed.exchange import Exchange, exchange_of
from kubeline.training.distributed.job import JOB, MODEL, Job, part, report


def main(environment: Mapping[str, str]) -> None:
    """Learn from this worker's part, together with the others."""
    worker = int(environment["DMLC_TASK_ID"])
    exchange = exchange_of(environment)
    job, rows = Job.of(_file(exchange, JOB).read_bytes()), _file(exchange, part(worker))
    library = importlib.import_module(f"kubeline.training.distributed.by_{job.library}")
    with library.learned(job, rows, exchange, worker, environment) as (model, count):
        if worker == 0:
            exchange.put(MODEL, model)
        facts = {"rows": count, "peak_bytes": peak_memory_bytes() or 0}
        exchange.put(report(worker), json.dumps(facts).encode())


def _file(exchange: Exchange, name: str) -> Path:
    found = exchange.fetch(name)
    if found is None:
        raise FileNotFoundError(f"the training step has no {name}")
    return found


if __name__ == "__main__":
    try:
        main(os.environ)
    except BaseException as error:
        print(trace_of(error), file=sys.stderr, end="")
        sys.stderr.flush()
        os._exit(1)  # to leave the group in order would wait for peers that are gone
