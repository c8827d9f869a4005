"""A small distributed training of two workers, and its processes on this machine."""

from pathlib import Path

import numpy as np

from kubeline.training.distributed.job import JOB, Job, write_parts

PARAMS = {
    "xgboost": {"objective": "binary:logistic", "tree_method": "hist", "colsample_bytree": 0.7, "subsample": 0.8},
    "lightgbm": {"objective": "binary", "deterministic": True, "force_row_wise": True, "verbose": -1, "num_leaves": 7},
}


def prepare(folder: Path, rows: int = 20_000, rounds: int = 60, library: str = "xgboost") -> None:
    """The files of a training of two workers."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(rows, 10)).astype(np.float32)
    labels = (values[:, 0] * values[:, 1] + rng.normal(size=rows) > 0).astype(np.float32)
    write_parts(folder, 2, values, labels, weights=None)
    job = Job(library, PARAMS[library], rounds, threads=1, checkpoint_rounds=10)
    (folder / JOB).write_bytes(job.to_bytes())


def workers_of(temporary: Path) -> dict[int, int]:
    """Process ids by number of the worker, of a training whose files are below a folder."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.joinpath("stat").read_text().rpartition(")")[2].split()[0] == "Z":
                continue
            pairs = process.joinpath("environ").read_bytes().decode(errors="replace").split("\0")
        except OSError:  # gone, or another user's
            continue
        environment = dict(pair.partition("=")[::2] for pair in pairs)
        if environment.get("KUBELINE_EXCHANGE_FOLDER", "").startswith(str(temporary)):
            found[int(environment["DMLC_TASK_ID"])] = int(process.name)
    return found
