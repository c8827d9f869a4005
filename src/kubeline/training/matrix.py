"""The numbers that an estimator learns from, made at once where preprocessing learns nothing from the rows.

A ColumnTransformer makes an array of each of its steps and then one of all; of text, it looks up every value. Here all
columns are written into one array, and of text each different one is looked up. Values are the same to the bit.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from kubeline.training.encoded import Encoded
from kubeline.training.estimators import THREADS, Estimator
from kubeline.training.preprocessing import Encoding
from kubeline.training.table import TrainingTable
from kubeline.typing import Array

_LEARN_NOTHING = {"numbers", "categories", "codes", "dates"}  # steps of preprocessing, where numbers pass through
_ROWS = 8_192  # that are written at a time: as many as a cache holds


def learns_nothing(columns: Any, estimator: Estimator, encoding: Encoding) -> bool:
    """Whether what a ColumnTransformer of :func:`kubeline.training.preprocessing.build` does is known before its fit.

    Categories are then numbers by a list that it was given.
    """
    titles = {title for title, *_ in columns.transformers}
    return estimator.reads_missing and encoding == "ordinal" and titles <= _LEARN_NOTHING


def matrix(columns: Any, table: TrainingTable, rows: Array, estimator: Estimator) -> Array:
    """What a fitted ColumnTransformer of which :func:`learns_nothing` makes of some rows, as the estimator takes it."""
    width = max(place.stop for place in columns.output_indices_.values())
    found = np.empty((len(rows), width), dtype=estimator.dtype)
    parts = list(_parts(columns, table))

    def write(start: int) -> None:
        some = rows[start : start + _ROWS]
        for place, values in parts:
            values(some, found[start : start + _ROWS, place])

    with ThreadPoolExecutor(THREADS) as workers:
        list(workers.map(write, range(0, len(rows), _ROWS)))
    return found


def _parts(columns: Any, table: TrainingTable) -> Iterator[tuple[slice, Callable[[Array, Array], None]]]:
    """Places of columns, and what writes the values there for some rows, shape (rows, columns)."""
    every = table.encoded.coded
    for title, transformer, names in columns.transformers_:
        place = columns.output_indices_[title]
        if title == "numbers":
            yield place, partial(table.encoded.write, names)
        elif title == "categories" and every.keys() >= set(names):
            for column, (name, known) in enumerate(zip(names, transformer.categories_, strict=True), place.start):
                coded = every[name]
                codes = coded.places(known, transformer.unknown_value)
                yield slice(column, column + 1), partial(_looked_up, codes, coded.codes)
        elif title != "remainder":  # columns that are no features here
            read = Encoded({name: table.encoded.columns[name] for name in names})
            yield place, partial(_transformed, transformer, read)


def _looked_up(table: Array, codes: Array, rows: Array, found: Array) -> None:
    found[:, 0] = table[codes[rows]]


def _transformed(transformer: Any, columns: Encoded, rows: Array, found: Array) -> None:
    found[:] = transformer.transform(columns.rows(rows))
