"""From a dataset to what a model learns from: roles of columns, kinds of features, the task, the target."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.types as pat

from kubeline.columns import MISSING_CATEGORY, TO_BE_A_FEATURE, Kind, kind_of, why_no_feature
from kubeline.data.dataset import open_dataset
from kubeline.errors import UserError, counted, listed
from kubeline.model_package.encoding import coded_labels, encode_column
from kubeline.model_package.package import EXPECTED_PREDICTION, EXPECTED_PROBABILITY
from kubeline.model_package.predictor import PREDICTION, PROBABILITIES
from kubeline.model_package.signature import Feature, Signature
from kubeline.roles import Roles, check_weights, scaled_weights
from kubeline.task import MAX_CLASSES, Task, positive_class, task_of
from kubeline.training.categories import Categories, frequent
from kubeline.training.copies import RowHashes, equal
from kubeline.training.encoded import Encoded, column, columns
from kubeline.training.recency import by_age
from kubeline.training.settings import TASKS
from kubeline.transform.transform import Transform, declare
from kubeline.typing import Array, Mask

_FIRST = 1_000  # rows of which one has a value in most columns


@dataclass(frozen=True)
class TrainingTable:
    """A checked table, in memory.

    Attributes:
        raw: the rows as they came.
        encoded: the columns as the model reads them, and those derived from them.
        given: the kind of each column of the table that a model may read.
        kinds: the kind of each feature: of these columns, but for those that are only read by expressions, and of the
            derived ones.
        transform: how columns are derived.
        task: what is predicted.
        classes: of a classification, in order.
        positive_class: of a binary classification.
        y: int64 positions in `classes`, or float64 numbers; shape (rows,).
        weights: float64, shape (rows,), or None. They count in learning and in all metrics.
        groups: int64 codes, shape (rows,), or None.
        times: numbers, shape (rows,), or None.
        hashes: of the rows as they came.
        equal: int64, the same number for rows that are copies of each other, shape (rows,).
        notes: for the user, about the columns.
        recency: float64, shape (rows,), or None: weights by age, which count in learning alone.
    """

    raw: pa.Table
    encoded: Encoded
    given: dict[str, Kind]
    kinds: dict[str, Kind]
    transform: Transform
    task: Task
    classes: list[str] | None
    positive_class: str | None
    y: Array
    weights: Array | None
    groups: Array | None
    times: Array | None
    hashes: RowHashes
    equal: Array
    notes: list[str]
    recency: Array | None = None

    def weights_to_learn(self, rows: Array) -> Array | None:
        """How much each of these rows counts in learning; None when all count the same."""
        given = [weights[rows] for weights in (self.weights, self.recency) if weights is not None]
        return np.prod(given, axis=0) if given else None

    def signature(self, features: list[Feature], target: str) -> Signature:
        """Of a model that reads these columns."""
        return Signature(
            features=features,
            target=target,
            task=self.task,
            classes=self.classes,
            positive_class=self.positive_class,
        )

    def frequent(self, name: str, rows: Array, most: int) -> list[Any]:
        """The `most` frequent categories of a column in these rows, most frequent first, and by name where equal."""
        if isinstance(coded := self.encoded.columns[name], Categories):
            return coded.frequent(rows, most)
        return frequent(pd.Series(self.encoded.at(name, rows)), most)

    def is_missing(self, name: str, rows: Array) -> Mask:
        """(rows,) whether a column of the table has no value in these rows; an empty text is a value."""
        if self.encoded.dtype(name).kind != "O":
            undefined: Mask = np.isnan(self.encoded.at(name, rows))
            return undefined
        column = self.raw.column(name)
        if not column.null_count:
            return np.zeros(len(rows), dtype=np.bool_)
        absent: Mask = column.take(pa.array(rows)).is_null().to_numpy()
        return absent

    def missing(self, name: str) -> int:
        """How many rows have no value in a column of the table."""
        column = self.raw.column(name)
        if not pat.is_floating(column.type):
            return int(column.null_count)
        return sum(int(np.count_nonzero(np.isnan(chunk.to_numpy(zero_copy_only=False)))) for chunk in column.chunks)

    def is_empty(self, name: str, rows: Array) -> bool:
        """Whether a column has no value in any of these rows."""
        if isinstance(coded := self.encoded.columns[name], Categories):
            return not any(coded.counts(some)[coded.texts != MISSING_CATEGORY].any() for some in (rows[:_FIRST], rows))
        if self.encoded.dtype(name).kind == "O":
            return bool((self.encoded.at(name, rows) == MISSING_CATEGORY).all())
        return all(bool(np.isnan(self.encoded.at(name, some)).all()) for some in (rows[:1], rows))


def read(
    path: str, roles: Roles, task: str, wanted_class: str = "", derive: Mapping[str, str] | None = None
) -> TrainingTable:
    """Read the dataset at `path`, and check everything that can be checked before a model is fitted.

    Args:
        path: of the dataset.
        roles: of its columns.
        task: one of `TASKS`.
        wanted_class: the positive one of two classes; empty takes the rarer one.
        derive: expressions by the name of the derived column, see :func:`kubeline.transform.transform.declare`.

    Raises:
        UserError: names the column and what is wrong with it.
    """
    dataset = open_dataset(path)
    roles.require(dataset)
    return check(_rows(dataset, roles), roles, task, wanted_class, derive)


def _rows(dataset: pads.Dataset, roles: Roles) -> pa.Table:
    """All rows; the text of features as dictionaries, which is how files hold it, and takes half the time."""
    own = {roles.target, roles.grouped_by, roles.ordered_by, roles.weight}
    texts = [one.name for one in dataset.schema if pat.is_string(one.type) and one.name not in own]
    coded = pads.ParquetFileFormat(dictionary_columns=texts)
    return pads.dataset(dataset.files, format=coded).to_table()


def check(
    raw: pa.Table, roles: Roles, task: str, wanted_class: str = "", derive: Mapping[str, str] | None = None
) -> TrainingTable:
    """The same of a table in memory that has the columns of all roles; see :func:`read`."""
    if raw.num_rows < 2:
        raise UserError(f"the dataset has {counted(raw.num_rows, 'row')}; training needs at least 2")
    found, classes, y = _target(raw, roles.target, task)
    positive, said = _positive_class(wanted_class, found, classes, y)
    given, notes = features(raw, roles)
    hashes = RowHashes(raw)
    with ThreadPoolExecutor(1) as beside:
        copies = beside.submit(equal, hashes)
        encoded, more = columns(raw, given)
        same = copies.result()
    frame = encoded.whole() if derive else pd.DataFrame()
    transform = declare(derive or {}, frame, given, roles.reasons)
    kinds = {name: kind for name, kind in given.items() if name not in transform.only_read}
    if transform:
        computed = transform.columns(frame)
        encoded = Encoded({**encoded.columns, **{str(name): computed[name].to_numpy() for name in computed}})
        kinds |= {derived.name: derived.kind for derived in transform.derived}
    return TrainingTable(
        raw=raw,
        encoded=encoded,
        given=given,
        kinds=kinds,
        transform=transform,
        task=found,
        classes=classes,
        positive_class=positive,
        y=y,
        weights=_weights(raw, roles.weight),
        groups=_groups(raw, roles.grouped_by),
        times=_times(raw, roles.ordered_by),
        hashes=hashes,
        equal=same,
        notes=said + notes + more,
    )


def weighed(table: TrainingTable, roles: Roles, half_life: str) -> TrainingTable:
    """The table with its rows' weights by age, see :mod:`kubeline.training.recency`; an empty half-life has none.

    Raises:
        UserError: when the rows have no times, or times of another sort than the half-life.
    """
    if not half_life:
        return table
    if table.times is None:
        raise UserError(
            f"half_life is '{half_life}', but the ages of the rows are not known: name their time_column"
            + (f" instead of group_column '{roles.group}', which divides the rows otherwise" if roles.group else "")
        )
    column = roles.ordered_by
    recency, said = by_age(table.times, column, table.raw.schema.field(column).type, half_life)
    return replace(table, recency=recency, notes=[*table.notes, said])


def _target(raw: pa.Table, name: str, task: str) -> tuple[Task, list[str] | None, Array]:
    if task not in TASKS:
        raise UserError(f"task '{task}' is not known; choose one of: {listed(TASKS)}")
    kind = raw.schema.field(name).type
    if pat.is_nested(kind) or pat.is_temporal(kind) or pat.is_binary(kind):
        raise UserError(f"target '{name}' has the type {kind}; expected numbers, text or booleans, so convert it")
    numeric = pat.is_integer(kind) or pat.is_floating(kind) or pat.is_decimal(kind)
    values = column(raw, name)
    missing = int(values.isna().sum())
    if missing:
        raise UserError(f"target '{name}' is missing in {missing:,} of {len(values):,} rows; remove or fill them first")
    distinct = values.nunique()
    if distinct == 1:
        raise UserError(f"target '{name}' has the one value {values.iloc[0]} in every row; there is nothing to learn")
    if numeric and not pat.is_integer(kind):
        encode_column(values, "number", np.float64)  # refuses infinite values
    found = _task(name, values, task, numeric, distinct)
    if found == "regression":
        if not numeric:
            raise UserError(
                f"task regression needs a target of numbers, but '{name}' has the type {kind}; "
                f"choose task binary or multiclass, or convert the column"
            )
        return found, None, encode_column(values, "number", np.float64)
    return (found, *_classes(name, values, numeric))


def _task(name: str, values: pd.Series, task: str, numeric: bool, distinct: int) -> Task:
    if task == "regression":
        return "regression"
    if task == "binary" and distinct != 2:
        raise UserError(
            f"task binary needs a target of two classes, but '{name}' has {distinct:,}; choose another task"
        )
    found: Task = (
        "multiclass"
        if task == "multiclass"
        else task_of(numeric and task == "auto", distinct, values.unique().tolist())
    )
    if found != "regression" and distinct > MAX_CLASSES:
        raise UserError(
            f"target '{name}' has {distinct:,} different values, and at most {MAX_CLASSES:,} classes can be learned; "
            f"name another target, or merge rare classes"
        )
    return found


def _classes(name: str, values: pd.Series, numeric: bool) -> tuple[list[str], Array]:
    """Class labels in order (numbers by size, text by code points) and the position of each row's label."""
    codes, found = coded_labels(values)
    single = np.flatnonzero(np.bincount(codes) < 2)
    if len(single):
        first = found[codes[np.isin(codes, single).argmax()]]
        raise UserError(
            f"class '{first}' of target '{name}' has a single row, so it cannot be both learned and "
            f"validated; add rows, or remove or merge the class"
        )
    classes = sorted(found, key=float if numeric else None)
    places = {label: place for place, label in enumerate(classes)}
    return classes, np.array([places[label] for label in found], dtype=np.int64)[codes]


def _positive_class(wanted: str, task: Task, classes: list[str] | None, y: Array) -> tuple[str | None, list[str]]:
    """The class that f1 and average_precision speak of, and a note of it."""
    if task != "binary" or classes is None:
        if wanted:
            raise UserError(f"positive_class '{wanted}' belongs to a target of two classes, but the task is {task}")
        return None, []
    rows = dict(zip(classes, np.bincount(y).tolist(), strict=True))
    found = positive_class(wanted, classes, rows)
    why = "as asked for" if wanted else "the rarer of the two; positive_class names another"
    return found, [f"the positive class is '{found}', {rows[found]:,} of {len(y):,} rows ({why})"]


def features(raw: pa.Table, roles: Roles) -> tuple[dict[str, Kind], list[str]]:
    """The columns that a model may read, each with its kind, and notes about others.

    Raises:
        UserError: names a column that is no feature.
    """
    kinds: dict[str, Kind] = {}
    notes = []
    for field in raw.schema:
        if field.name and field.name in roles.others:
            continue
        own = field.name in (EXPECTED_PREDICTION, PREDICTION, PROBABILITIES)
        if not field.name or "\0" in field.name or own or field.name.startswith(EXPECTED_PROBABILITY):
            raise UserError(
                f"a column has the name {field.name!r}, which a model package cannot hold; rename or exclude it"
            )
        if raw.column(field.name).null_count == raw.num_rows:
            notes.append(f"column '{field.name}' is not used: all its values are missing")
            continue
        kinds[field.name] = _kind(field)
    if not kinds:
        raise UserError(
            f"no feature is left: of the columns {listed(raw.schema.names)}, all are the target, excluded, the group, "
            f"time or weight column, or without any value"
        )
    return kinds, notes


def _kind(field: pa.Field) -> Kind:
    if kind := kind_of(field.type):
        return kind
    raise UserError(f"{why_no_feature(field.name, field.type)}; {TO_BE_A_FEATURE}")


def _weights(raw: pa.Table, name: str) -> Array | None:
    if not name:
        return None
    weights = encode_column(column(raw, name), "number", np.float64)
    check_weights(weights, name)
    if not weights.any():
        raise UserError(f"weight column '{name}' is 0 in every row; at least one row must count")
    return scaled_weights(weights)


def _groups(raw: pa.Table, name: str) -> Array | None:
    if not name:
        return None
    if pat.is_nested(raw.schema.field(name).type):
        raise UserError(f"group column '{name}' holds lists or records; expected one value in each row, so convert it")
    codes: Array
    codes, _ = pd.factorize(column(raw, name))
    if (codes < 0).any():
        raise UserError(f"group column '{name}' is missing in {counted(int((codes < 0).sum()), 'row')}; fix them")
    return codes.astype(np.int64)


def _times(raw: pa.Table, name: str) -> Array | None:
    if not name:
        return None
    kind = raw.schema.field(name).type
    values = raw.column(name)
    if pat.is_integer(kind) and not values.null_count:
        whole: Array = values.to_numpy()  # also those that are no float64
        return whole
    is_number = pat.is_integer(kind) or pat.is_floating(kind)
    times = encode_column(column(raw, name), "number" if is_number else "datetime", np.float64)
    if np.isnan(times).any():
        raise UserError(f"time column '{name}' is missing in {counted(int(np.isnan(times).sum()), 'row')}; fix them")
    return times
