"""Which rows are learned from and which are held out: at random, by group, or by time."""

from typing import Any

import numpy as np

from kubeline.errors import UserError
from kubeline.training.table import Table

Array = np.ndarray[Any, np.dtype[Any]]


def hold_out(table: Table, rows: Array, fraction: float, seed: int, purpose: str) -> tuple[Array, Array]:
    """Split positions of rows into those to learn from and those held out, each in order.

    The last rows are held out when the table has times (rows of one instant stay together), whole groups when it has
    groups, else random rows, for a classification the same share of each class.

    Args:
        table: the table.
        rows: positions to split.
        fraction: share of rows to hold out.
        seed: of the random choice.
        purpose: what the held-out rows are for, for messages.

    Raises:
        UserError: when one of the two parts would lack rows or a class.
    """
    if table.times is not None:
        learned, held = _last(table.times[rows], fraction)
    elif table.groups is not None:
        learned, held = _groups(table.groups[rows], fraction, seed)
    else:
        learned, held = _random(table, rows, fraction, seed)
    _require_classes(table, rows[learned], rows[held], purpose)
    return np.sort(rows[learned]), np.sort(rows[held])


def folds(table: Table, rows: Array, number: int, seed: int) -> list[tuple[Array, Array]]:
    """Cross-validation that respects groups and time: pairs of positions to learn from and to score on.

    Raises:
        UserError: when there are too few rows, groups or rows of a class.
    """
    from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, TimeSeriesSplit

    if number < 2:
        raise UserError(f"folds is {number}; cross-validation needs at least 2")
    y = table.y[rows]
    if table.times is not None:
        _require(len(rows) - 1, number, "rows after the first")
        rows = rows[np.argsort(table.times[rows], kind="stable")]
        pairs = list(TimeSeriesSplit(number).split(rows))
        times = table.times[rows]
        pairs = [(learned[times[learned] < times[held[0]]], held) for learned, held in pairs]
    elif table.groups is not None:
        _require(len(np.unique(table.groups[rows])), number, "groups")
        pairs = list(GroupKFold(number).split(rows, groups=table.groups[rows]))
    elif table.classes is not None:
        _require(int(np.bincount(y).min()), number, "rows in the smallest class")
        pairs = list(StratifiedKFold(number, shuffle=True, random_state=seed).split(rows, y))
    else:
        _require(len(rows), number, "rows")
        pairs = list(KFold(number, shuffle=True, random_state=seed).split(rows))
    found = [(rows[learned], rows[held]) for learned, held in pairs]
    for index, (learned, held) in enumerate(found, start=1):
        _require_classes(table, learned, held, f"fold {index} of {number}")
    return found


def _require(there: int, number: int, what: str) -> None:
    if there < number:
        raise UserError(
            f"tuning with {number} folds needs at least {number} {what}, but there are {there}; lower folds"
        )


def _last(times: Array, fraction: float) -> tuple[Array, Array]:
    ordered = np.sort(times)
    cutoff = ordered[min(len(times) - 1, round((1 - fraction) * len(times)))]
    learned = times < cutoff
    if not learned.any():
        raise UserError("the time column has too few different times to hold out the last rows; use a finer one")
    return np.flatnonzero(learned), np.flatnonzero(~learned)


def _groups(groups: Array, fraction: float, seed: int) -> tuple[Array, Array]:
    from sklearn.model_selection import GroupShuffleSplit

    if len(np.unique(groups)) < 2:
        raise UserError("the group column has a single group, and at least 2 are needed to hold one out")
    split = GroupShuffleSplit(1, test_size=fraction, random_state=seed)
    learned, held = next(split.split(groups, groups=groups))
    return learned, held


def _random(table: Table, rows: Array, fraction: float, seed: int) -> tuple[Array, Array]:
    """The same share of each class, and at least one row of it."""
    generator = np.random.default_rng(seed)
    y = table.y[rows] if table.classes is not None else np.zeros(len(rows), dtype=np.int64)
    held = np.zeros(len(rows), dtype=bool)
    for code in np.unique(y):
        members = generator.permutation(np.flatnonzero(y == code))
        held[members[: max(1, round(fraction * len(members)))]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def _require_classes(table: Table, learned: Array, held: Array, purpose: str) -> None:
    """Every class must be learned, and a binary score needs both classes among the rows it is computed on."""
    if table.weights is not None:  # rows without weight do not count
        learned, held = learned[table.weights[learned] > 0], held[table.weights[held] > 0]
    if table.classes is None:
        if not len(learned) or not len(held):
            raise UserError(
                f"the rows are too few for {purpose}: {len(learned)} with weight to learn from and {len(held)} "
                f"held out; add rows"
            )
        return
    absent = sorted(set(range(len(table.classes))) - set(np.unique(table.y[learned]).tolist()))
    if absent:
        raise UserError(
            f"class '{table.classes[absent[0]]}' has no row to learn from besides those held out for {purpose}; "
            f"add rows, change the held-out share, or remove the class"
        )
    if len(table.classes) == 2 and len(np.unique(table.y[held])) < 2:
        only = table.classes[int(table.y[held][0])] if len(held) else "none"
        raise UserError(
            f"the rows held out for {purpose} are all of class '{only}', so they cannot score a model; "
            f"raise validation_fraction or add rows"
        )
