"""What a training will take of memory, before it takes it, and what there is."""

import logging
import os
import resource
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pyarrow.types as pat

from kubeline.data.dataset import chunk_rows, iter_batches, open_dataset
from kubeline.data.limits import readable
from kubeline.errors import UserError
from kubeline.quantities import read_quantity
from kubeline.roles import Roles
from kubeline.task import MAX_CLASSES
from kubeline.training import estimators, preprocessing
from kubeline.training.distributed.workers import ESTIMATORS, Workers

SETTING = "KUBELINE_MEMORY_LIMIT"
FEW_CLASSES = 20  # take next to nothing besides
_CGROUP = Path("/sys/fs/cgroup")
_MAX = 2**63  # bytes that any system counts to
_LIBRARIES = 350 << 20  # what is loaded before a row is
_SPARSE = (
    0.3  # share of values that are not 0, below which one-hot columns of a linear model are kept without the zeros
)
_CELL = 16  # bytes of a row and class of more than two while a model is fitted: scores, gradients, probabilities
_LEAF = 900  # bytes of a leaf of a tree, the copies that become ONNX with it
_LEAF_CLASS = 255  # the same of each class of a leaf, in a forest, whose trees know all of them
# The parameters of rounds and of leaves of a tree, with their defaults; boosting fits a tree for each class and round.
_TREES = {
    "hist_gradient_boosting": ("max_iter", 100, "max_leaf_nodes", 31),
    "lightgbm": ("n_estimators", 100, "num_leaves", 31),
    "xgboost": ("n_estimators", 100, "max_leaves", 64),
    "random_forest": ("n_estimators", 100, "max_leaf_nodes", 1024),
}
_ENCODED = {"number": 4.0, "text": 12.0, "derived": 8.0}  # of the frame that models read, in bytes of a value
# Where a matrix is made without that frame; numbers are held where values are missing, which first rows may not show.
_MADE = {**_ENCODED, "text": 4.0}
_ROOM = 8  # bytes of a number of a column that is read into the same memory as the others, for each thread


def limit(cgroup: Path = _CGROUP) -> int:
    """The bytes that this process may take: what the setting says, or the least of container, process and machine.

    Raises:
        UserError: when the setting is no quantity.
    """
    given = os.environ.get(SETTING, "").strip()
    if given:
        expected = "a quantity of memory such as 4Gi"
        asked = read_quantity(SETTING, given, expected)
        if not 1 <= asked < _MAX:
            raise UserError(f"{SETTING} is '{given}'; expected {expected}")
        return int(asked)
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    process, _ = resource.getrlimit(resource.RLIMIT_AS)
    return min([machine, *([process] if process != resource.RLIM_INFINITY else []), *_of_container(cgroup)])


def _of_container(cgroup: Path) -> list[int]:
    """The limit of the control group, of version 2 or 1, where it has one."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            return [int((cgroup / name).read_text(encoding="ascii"))]
        except (OSError, ValueError):  # none of this version, or "max"
            continue
    return []


def check(path: str, candidates: Sequence[Any], roles: Roles, derived: int = 0) -> int:
    """Say how many bytes the training will take at most, and return them.

    Args:
        path: of the dataset.
        candidates: the settings of each, of which one is trained at a time.
        roles: of the columns.
        derived: how many columns are derived from others.

    Raises:
        UserError: when that is more than there is.
    """
    dataset = open_dataset(path)
    rows = dataset.count_rows()
    first = _first(dataset)
    if first is None:
        return 0
    classes = _classes(dataset, roles.target, candidates[0].task)
    needs = {
        one.estimator: need(first, rows, one.estimator, one.params, roles.exclude, _is_fitted_here(one), derived)
        + of_classes(rows, classes, one.estimator, one.params)
        for one in candidates
    }
    estimator = max(needs, key=lambda name: needs[name])
    most, allowed = needs[estimator], limit()
    what = f"{rows:,} rows of {len(dataset.schema):,} columns" + (f" and {classes:,} classes" if classes else "")
    what += f" take about {readable(most)} of memory for {estimator}"
    logging.getLogger(__name__).info("%s; there are %s", what, readable(allowed))
    if most > allowed:
        raise UserError(
            f"{what}, and there are {readable(allowed)}; give the step more (memory_limit), or load fewer columns, or "
            f"fewer rows, such as by where: hash(id) % {_parts(most, allowed)} = 0"
        )
    return most


def _first(dataset: pads.Dataset) -> pa.RecordBatch | None:
    """The first of its batches that has rows, and nothing read ahead."""
    for file in dataset.files:
        with pq.ParquetFile(file, pre_buffer=False) as parquet:
            for batch in parquet.iter_batches(chunk_rows(dataset.schema)):
                if batch.num_rows:
                    return batch
    return None


def _classes(dataset: pads.Dataset, target: str, task: str) -> int:
    """How many classes a target has; 0 where there are few, or a quantity is predicted."""
    if target not in dataset.schema.names or task in ("binary", "regression"):
        return 0
    kind, found = dataset.schema.field(target).type, pa.array([], pa.string())
    if task == "auto" and not (pat.is_string(kind) or pat.is_large_string(kind) or pat.is_dictionary(kind)):
        return 0
    for batch in iter_batches(dataset, [target]):
        values = pc.unique(batch.column(0).cast(pa.string()))
        found = pc.unique(pa.concat_arrays([found, values]))
        if len(found) > MAX_CLASSES:  # which is refused when the table is read
            return 0
    return len(found) if len(found) > FEW_CLASSES else 0


def of_classes(rows: int, classes: int, estimator: str, params: Mapping[str, Any]) -> int:
    """The bytes that many classes take besides, of rows and of trees.

    For 16,063 rows of 500 classes and 6 trees it says 0.9 GB (random_forest; the training took 1.2 GB, of which 0.4 GB
    were of the table), for 8 rounds of 31 leaves 0.24 GB (hist_gradient_boosting, 0.5 GB of which 0.4).
    """
    found = classes * rows * _CELL
    if classes and estimator in _TREES:
        rounds, usual_rounds, leaves, usual_leaves = _TREES[estimator]
        most = min(int(params.get(leaves) or usual_leaves), rows)
        trees = int(params.get(rounds) or usual_rounds)
        found += trees * most * classes * (_LEAF_CLASS if estimator == "random_forest" else _LEAF)
    return found


def _parts(most: int, allowed: int) -> int:
    """In how many parts a table is to be divided for one of them to fit."""
    return max(2, -(-(most - _LIBRARIES) // max(1, allowed - _LIBRARIES)))


def _is_fitted_here(candidate: Any) -> bool:
    """Whether it is not fitted by pods of workers."""
    workers = Workers.read(candidate.workers)
    return candidate.estimator not in ESTIMATORS or workers is None or not workers.are_pods


def need(
    first: pa.RecordBatch,
    rows: int,
    estimator: str,
    params: Mapping[str, Any],
    excluded: Sequence[str] = (),
    fitted_here: bool = True,
    derived: int = 0,
) -> int:
    """The bytes at the peak, by the first rows: the table, what models read of it, and what the method makes of that.

    For 400,000 rows of 25 numbers and 5 categories it says 661 MB (hist_gradient_boosting; 607 were measured), 661 MB
    (xgboost; 528) and 827 MB (random_forest; 825), and for 200,000 rows 636 MB (linear; 614).
    """
    found = estimators.find(estimator)
    hyper = {name: params[name] for name in ("category_encoding", "max_categories", "date_parts") if name in params}
    prepared, _ = preprocessing.take(hyper, found, "binary")
    fields = [field for field in first.schema if field.name not in excluded]
    at_once = found.reads_missing and prepared.category_encoding == "ordinal"
    sizes = _MADE if at_once else _ENCODED
    encoded = outputs = 0.0
    for field in fields:
        if pat.is_string(field.type) or pat.is_large_string(field.type) or pat.is_dictionary(field.type):
            encoded += sizes["text"]
            levels = min(prepared.max_categories, pc.count_distinct(first.column(field.name)).as_py())
            outputs += levels if prepared.category_encoding == "one_hot" else 1
        else:
            encoded += sizes["number"]
            outputs += len(prepared.date_parts) if pat.is_temporal(field.type) else 1
    encoded += derived * sizes["derived"]
    outputs += derived
    if found.one_hot and len(fields) < _SPARSE * outputs:
        outputs = len(fields)
    table = first.nbytes / first.num_rows
    read = encoded + estimators.THREADS * _ROOM if at_once else 2 * encoded
    return _LIBRARIES + int(rows * (table + read + (4 + found.fit_bytes * fitted_here) * outputs))
