"""Two models on the same rows: how far apart, and whether that can be chance."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kubeline.evaluation.bootstrap import Bootstrap, Interval, interval
from kubeline.evaluation.delong import compare_auc
from kubeline.evaluation.kept import Numbers, pieces
from kubeline.evaluation.metrics import METRICS, Metric
from kubeline.evaluation.scored import Scored
from kubeline.printable import p_words
from kubeline.typing import Array


@dataclass(frozen=True)
class Comparison:
    """One metric of a model beside that of another one on the same rows.

    Attributes:
        metric: What is compared.
        model: The metric of the model judged.
        other: The metric of the champion, or of a constant guess.
        difference: `model` minus `other`.
        p_value: Two-sided, for "there is no difference".
        method: The test it comes from.
    """

    metric: Metric
    model: float
    other: float
    difference: Interval
    p_value: float
    method: str

    @property
    def gain(self) -> Interval:
        """The difference in the direction of better: above zero, the model is better."""
        return self.difference if self.metric.greater_is_better else self.difference.negated()

    @property
    def p_words(self) -> str:
        """The p-value for people: ``p = 0.031``, or ``p < 0.001``."""
        return p_words(self.p_value)


def compare(metric: Metric, model: Scored, other: Scored, bootstrap: Bootstrap, confidence: float) -> Comparison:
    """Compare two models by one metric: DeLong for the AUC, McNemar's p for accuracy, else the paired bootstrap.

    DeLong and McNemar take rows as independent and equal: with clusters or weights the bootstrap is in their place.
    """
    metric = metric.about(model)
    values = metric.value(model), metric.value(other)
    plain = not bootstrap.clustered and model.weights is None
    if metric.name == "roc_auc" and plain:
        first, second = (one.column(lambda some: some.held_score) for one in (model, other))
        rankings = [model.ranking(), other.ranking()]
        found = compare_auc(model.column(lambda some: some.positive), first, second, confidence, rankings)
        return Comparison(metric, *values, found.difference, found.p_value, "DeLong")
    differences = metric.replicates(model, bootstrap) - metric.replicates(other, bootstrap)
    difference = interval(values[0] - values[1], differences, confidence)
    if metric.name == "accuracy" and plain:
        p_value = mcnemar(*(one.column(lambda some: some.target == some.prediction) for one in (model, other)))
        return Comparison(metric, *values, difference, p_value, "McNemar")
    return Comparison(metric, *values, difference, _two_sided(differences), bootstrap.method)


def compare_all(model: Scored, other: Scored, bootstrap: Bootstrap, confidence: float) -> dict[str, Comparison]:
    """The comparison by every metric that both models define on these rows."""
    return {
        name: compare(metric, model, other, bootstrap, confidence)
        for name, metric in METRICS[model.task].items()
        if not metric.undefined(model) and not metric.undefined(other)
    }


def mcnemar(first_right: Numbers, second_right: Numbers) -> float:
    """The exact two-sided p-value for "both are right equally often", from the rows on which only one is right.

    The exact binomial form costs no more than the chi-squared approximation, at any count.

    Source: McNemar (1947), Psychometrika 12.
    """
    from scipy.special import bdtr

    only_first = only_second = 0
    for rows in pieces(len(first_right)):
        first, second = first_right[rows], second_right[rows]
        only_first += int((first & ~second).sum())
        only_second += int((second & ~first).sum())
    discordant = only_first + only_second
    return float(min(1.0, 2 * bdtr(min(only_first, only_second), discordant, 0.5)))


def holm(p_values: Sequence[float]) -> Array:
    """The p-values adjusted so that the chance of any false one among them stays at the level (Holm, 1979)."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def _two_sided(differences: Array) -> float:
    """Twice the smaller share of replicates on one side of zero, never below what their number can show."""
    known = differences[np.isfinite(differences)]
    if not len(known):
        return 1.0
    beyond = min((known <= 0).sum(), (known >= 0).sum())
    return float(min(1.0, 2 * (beyond + 1) / (len(known) + 1)))
