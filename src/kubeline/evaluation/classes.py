"""Which classes are taken for which, as far as a page and metadata can hold it: of very many, the rest is summed."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from kubeline.errors import counted
from kubeline.evaluation.curves import confusion
from kubeline.evaluation.scored import Scored
from kubeline.typing import Array

MIX_UPS = 10  # pairs that are named


class ClassCounts(NamedTuple):
    """One class, or the sum of several: rows, or their weights."""

    name: str
    true: float
    predicted: float
    hits: float


class MixUp(NamedTuple):
    """Rows of one class that are taken for another."""

    true: str
    predicted: str
    rows: float
    share: float  # of the rows of the true class


@dataclass(frozen=True)
class Confusion:
    """Rows, or their weights, by true and predicted class.

    Attributes:
        names: Of the m classes, in their order, or those in most mistakes and last what stands for all others.
        counts: (m, m), true classes in rows, predicted ones in columns.
        classes: For each of `names`, how often it is true, predicted and both; of the others, both is of each alone.
        others: How many classes are summed in the last one; 0 where each stands for itself.
        mix_ups: The pairs of classes with the most rows, of all classes.
    """

    names: tuple[str, ...]
    counts: Array
    classes: tuple[ClassCounts, ...]
    others: int
    mix_ups: tuple[MixUp, ...]

    @property
    def summed(self) -> str:
        """A sentence on what is summed; empty where nothing is."""
        if not self.others:
            return ""
        return (
            f"The {len(self.names) - 1} of {len(self.names) - 1 + self.others:,} classes in most mistakes; the others "
            "are summed, and predictions has each row."
        )


def confusions(scored: Scored, most: int) -> Confusion:
    """The confusion matrix of at most `most` classes, 2 or more, the last of them the sum of all others."""
    counts = confusion(scored)
    true, predicted, hits = counts.sum(axis=1), counts.sum(axis=0), counts.diagonal()
    size = len(scored.classes)
    every = tuple(map(ClassCounts, scored.classes, true.tolist(), predicted.tolist(), hits.tolist()))
    whole = Confusion(scored.classes, counts, every, 0, _mix_ups(scored.classes, counts, true))
    if size <= most:
        return whole
    shown = np.sort(np.lexsort((-true, -(true + predicted - 2 * hits)))[: most - 1])
    others = np.setdiff1d(np.arange(size), shown)
    name = counted(len(others), "other class")
    place = np.full(size, most - 1)
    place[shown] = np.arange(most - 1)
    short = confusion(
        replace(
            scored,
            classes=(*(scored.classes[one] for one in shown), name),
            target=scored.column(lambda some: place[some.target]),
            prediction=scored.column(lambda some: place[some.prediction]),
        )
    )
    rest = ClassCounts(name, *(float(each[others].sum()) for each in (true, predicted, hits)))
    named = (*(every[one] for one in shown), rest)
    return replace(whole, names=tuple(one.name for one in named), counts=short, classes=named, others=len(others))


def _mix_ups(classes: tuple[str, ...], counts: Array, true: Array) -> tuple[MixUp, ...]:
    wrong = counts - np.diag(counts.diagonal())
    first = np.argsort(-wrong, axis=None, kind="stable")[:MIX_UPS]
    pairs = zip(*np.unravel_index(first, wrong.shape), strict=True)
    return tuple(
        MixUp(classes[one], classes[other], float(wrong[one, other]), float(wrong[one, other] / true[one]))
        for one, other in pairs
        if wrong[one, other]
    )
