"""Which rows are learned from and which are held out: at random, by group, or by time."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd

from kubeline.errors import UserError
from kubeline.roles import Roles
from kubeline.training.table import TrainingTable
from kubeline.typing import Array

ENCODING_FOLDS = 5  # scikit-learn's default for target encoding
# What is held out of a large table at most. The share of a class that is found, the score's least certain part, is
# then known to 0.03 at worst, that of all rows to 0.003 (95 %).
_ENOUGH = 100_000  # rows
_ENOUGH_OF_CLASS = 1_000  # rows of the rarest class, for which more may be held out


def divide(
    table: TrainingTable, roles: Roles, fraction: float, seed: int, *, calibrated: bool, number: int
) -> tuple[TrainingTable, Array, Array, Array | None]:
    """All that training holds out: the table with how it was done in its notes, and positions of its rows.

    Without a group or time column it goes by the split's; where the rows do not allow that, at random.

    Args:
        table: the table.
        roles: of its columns.
        fraction: share of rows to hold out, for validation and again for calibration; less of a large table, see
            :func:`_enough`.
        seed: of the random choice.
        calibrated: whether rows are held out for calibration.
        number: of folds that tuning will need of the rows to learn from, or 0.

    Returns:
        The table, and positions to learn from, to validate on, and to calibrate on (or None).

    Raises:
        UserError: when one of the parts would lack rows or a class.
    """
    table, fraction = _enough(table, fraction)

    def parts(table: TrainingTable) -> tuple[Array, Array, Array | None]:
        rows, held = hold_out(table, np.arange(len(table.y)), fraction, seed, "validation")
        third = None
        if calibrated:
            rows, third = hold_out(table, rows, fraction, seed, "calibration")
        if number:
            folds(table, rows, number, seed)  # refused before anything takes time
        return rows, held, third

    found = roles.grouped_by or roles.ordered_by
    if not found or roles.group or roles.time:
        return table, *parts(table)
    try:
        divided = parts(table)
    except UserError as error:
        said = f"rows are held out at random: by '{found}', which split went by, it is not possible ({error})"
        table = replace(table, groups=None, times=None)
        divided = parts(table)
    else:
        how = "the last rows by" if table.times is not None else "whole groups of"
        said = f"held out are {how} '{found}', because split went by it"
    return replace(table, notes=[*table.notes, said]), *divided


def _enough(table: TrainingTable, fraction: float) -> tuple[TrainingTable, float]:
    """The share to hold out, and the table with a note where it is less than asked for.

    More than enough rows make no score better, and are lost to learning.
    """
    share = _ENOUGH / len(table.y)
    if table.classes is not None:
        share = max(share, _ENOUGH_OF_CLASS / np.bincount(table.y).min())
    if share >= fraction:
        return table, fraction
    said = f"held out is a share of {share:.3g} instead of {fraction:g}: of so many rows {_ENOUGH:,} are enough" + (
        f", with {_ENOUGH_OF_CLASS:,} of the rarest class" if table.classes is not None else ""
    )
    return replace(table, notes=[*table.notes, said]), share


def hold_out(table: TrainingTable, rows: Array, fraction: float, seed: int, purpose: str) -> tuple[Array, Array]:
    """Split positions of rows into those to learn from and those held out, each in order.

    The last rows are held out when the table has times (rows of one instant stay together), whole groups when it has
    groups, else random rows, for a classification the same share of each class; copies of a row stay together.

    Args:
        table: the table.
        rows: positions to split, in order.
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
    return rows[learned], rows[held]


def folds(table: TrainingTable, rows: Array, number: int, seed: int) -> list[tuple[Array, Array]]:
    """Cross-validation that respects groups and time: pairs of positions to learn from and to score on.

    Raises:
        UserError: when there are too few rows, groups or rows of a class.
    """
    from sklearn.model_selection import GroupKFold, TimeSeriesSplit

    if number < 2:
        raise UserError(f"folds is {number}; cross-validation needs at least 2")
    if table.times is not None:
        _require(len(rows) - 1, number, "rows after the first")
        rows = rows[np.argsort(table.times[rows], kind="stable")]
        pairs = list(TimeSeriesSplit(number).split(rows))
        times = table.times[rows]
        pairs = [(learned[times[learned] < times[held[0]]], held) for learned, held in pairs]
    elif table.groups is not None:
        _require(len(pd.unique(table.groups[rows])), number, "groups")
        pairs = list(GroupKFold(number).split(rows, groups=table.groups[rows]))
    else:
        pairs = _random_folds(table, rows, number, seed)
    found = [(rows[learned], rows[held]) for learned, held in pairs]
    for index, (learned, held) in enumerate(found, start=1):
        _require_classes(table, learned, held, f"fold {index} of {number}")
    return found


def encoding_folds(table: TrainingTable, rows: Array, seed: int) -> list[tuple[Array, Array]]:
    """Folds by which target encoding keeps a row's own target out of what it is encoded with.

    As rows are held out, so they are encoded: by rows of other groups, by earlier rows, and never by copies. By time,
    the first of the blocks has nothing earlier: its rows are encoded by others of the block.

    Args:
        table: the table.
        rows: positions to learn from.
        seed: of the random choice.

    Returns:
        Pairs of places in `rows`: to learn from, and to encode. Each place is encoded once.

    Raises:
        UserError: when there is a single group.
    """
    from sklearn.model_selection import GroupKFold

    if table.times is not None:
        return _earlier(table.times[rows], seed)
    if table.groups is not None:
        groups = table.groups[rows]
        number = min(ENCODING_FOLDS, len(pd.unique(groups)))
        if number < 2:
            raise UserError(
                "category_encoding 'target' encodes a row by rows of other groups, and the rows to learn from are of a "
                "single one; choose ordinal or one_hot, or name another group column"
            )
        return list(GroupKFold(number).split(rows, groups=groups))
    fewest = int(np.bincount(table.y[rows]).min()) if table.classes is not None else len(rows)
    return _random_folds(table, rows, max(2, min(ENCODING_FOLDS, fewest)), seed)


def _earlier(times: Array, seed: int) -> list[tuple[Array, Array]]:
    """Blocks by time, each with all rows before its first; rows of the first block with others of it."""
    from sklearn.model_selection import KFold

    order = np.argsort(times, kind="stable")
    starts = {int(np.searchsorted(times[order], part[0])) for part in np.array_split(times[order], ENCODING_FOLDS + 1)}
    first, *later = [*sorted(start for start in starts if start > 1), len(order)]
    inside = KFold(min(ENCODING_FOLDS, first), shuffle=True, random_state=seed).split(order[:first])
    after = [(np.arange(start), np.arange(start, end)) for start, end in itertools.pairwise([first, *later])]
    return [(order[learned], order[held]) for learned, held in [*inside, *after]]


def _random_folds(table: TrainingTable, rows: Array, number: int, seed: int) -> list[tuple[Array, Array]]:
    """Folds of the different rows, with as much of each class; copies follow the first of them.

    Where a class has fewer different rows than there are folds, every row stands for itself.
    """
    from sklearn.model_selection import KFold, StratifiedKFold

    codes = pd.factorize(table.equal[rows])[0]
    firsts = np.unique(codes, return_index=True)[1]
    y = table.y[rows]
    classes = table.classes is not None
    if (np.bincount(y[firsts]).min() if classes else len(firsts)) < number:
        codes = firsts = np.arange(len(rows))
    if classes:
        _require(int(np.bincount(y).min()), number, "rows in the smallest class")
        pairs = StratifiedKFold(number, shuffle=True, random_state=seed).split(firsts, y[firsts])
    else:
        _require(len(rows), number, "rows")
        pairs = KFold(number, shuffle=True, random_state=seed).split(firsts)
    inside = [np.isin(codes, held) for _, held in pairs]
    return [(np.flatnonzero(~held), np.flatnonzero(held)) for held in inside]


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

    if len(pd.unique(groups)) < 2:
        raise UserError("the group column has a single group, and at least 2 are needed to hold one out")
    split = GroupShuffleSplit(1, test_size=fraction, random_state=seed)
    learned, held = next(split.split(groups, groups=groups))
    return learned, held


def _random(table: TrainingTable, rows: Array, fraction: float, seed: int) -> tuple[Array, Array]:
    """The same share of each class, and at least one row of it; copies stay together where a class has others."""
    generator = np.random.default_rng(seed)
    y = table.y[rows] if table.classes is not None else np.zeros(len(rows), dtype=np.int64)
    held = np.zeros(len(rows), dtype=bool)
    has_copies = table.equal.max() + 1 < len(table.equal)
    for code in np.flatnonzero(np.bincount(y)):
        members = generator.permutation(np.flatnonzero(y == code))
        wanted = max(1, round(fraction * len(members)))
        copies = pd.factorize(table.equal[rows[members]])[0] if has_copies else None
        held[_first(members, copies, wanted)] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def _first(members: Array, copies: Array | None, wanted: int) -> Array:
    """About as many of the first rows as are wanted, and not all where it can be avoided.

    Args:
        members: positions of the rows of a class, shuffled.
        copies: the same number for rows that are copies of each other; None where there are none.
        wanted: how many rows.
    """
    if copies is None:
        return members[: min(wanted, max(1, len(members) - 1))]
    sizes = np.bincount(copies)
    if len(sizes) == 1:
        return members[:wanted]
    chosen = np.zeros(len(sizes), dtype=bool)
    chosen[_nearest(sizes, wanted)] = True
    return members[chosen[copies]]


def _nearest(sizes: Array, wanted: int) -> Array:
    """The first of some sets of rows that together have about the rows wanted: at least one set, and not all."""
    order = np.argsort(sizes > wanted, kind="stable")  # one that alone has more comes last
    total = np.cumsum(sizes[order])[:-1]
    return np.asarray(order[: int(np.argmin(np.abs(total - wanted))) + 1])


def _require_classes(table: TrainingTable, learned: Array, held: Array, purpose: str) -> None:
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
    absent = np.flatnonzero(np.bincount(table.y[learned], minlength=len(table.classes)) == 0)
    if len(absent):
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
