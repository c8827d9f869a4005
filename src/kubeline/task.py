"""What a target is predicted as, and which of two classes is the positive one: every step asks here."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from kubeline.errors import UserError, listed

Task = Literal["binary", "multiclass", "regression"]

MAX_CLASSES = 1000  # more cannot be learned
MAX_WHOLE_NUMBER_CLASSES = 20  # a target of more different whole numbers is a quantity


def task_of(numeric: bool, distinct: int, values: Collection[Any] | None) -> Task:
    """The task of a target, by its values and not by how they are stored.

    Text and booleans are classes. Numbers are classes when there are two of them, or when they are whole and have at
    most `MAX_WHOLE_NUMBER_CLASSES` distinct values, whether they are stored as integers, floats or decimals; else a
    quantity.

    Args:
        numeric: whether the target holds numbers.
        distinct: how many different values there are.
        values: these; None when they are too many to be listed.
    """
    if distinct == 2:
        return "binary"
    few = distinct <= MAX_WHOLE_NUMBER_CLASSES and values is not None
    if numeric and not (few and all(math.isfinite(value) and value == int(value) for value in values or ())):
        return "regression"
    return "multiclass"


def positive_class(wanted: str, classes: Sequence[str], rows: Mapping[str, float]) -> str:
    """The class of two that recall, precision and their like speak of: the one that is asked for, or the rarer one.

    Of two equally frequent classes it is the last one: ``True``, ``1``.

    Args:
        wanted: the class as text (``true`` and ``1.0`` name True and 1); empty leaves the choice to the rows.
        classes: both, in their order.
        rows: how many rows, or what weight, each class has.

    Raises:
        UserError: lists the classes there are.
    """
    if not wanted:
        first, last = classes
        return first if rows[first] < rows[last] else last
    for label in classes:
        if wanted == label:
            return label
    for label in classes:
        if _plain(wanted) == _plain(label):
            return label
    raise UserError(f"positive_class '{wanted}' is not a class of the target; it has: {listed(classes)}")


def _plain(label: str) -> str:
    """A boolean in one spelling, and a whole number without its ``.0``."""
    lowered = label.lower()
    return lowered if lowered in ("true", "false") else label.removesuffix(".0")
