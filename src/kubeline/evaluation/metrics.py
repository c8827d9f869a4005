"""The metrics of each task, each as a function of sums over the rows.

That form gives the value, its bootstrap interval (:mod:`kubeline.evaluation.bootstrap`) and the paired difference of
two models from one definition, all of them by the rows' weights. Values agree with scikit-learn's functions of the same
names, with the exceptions that their docstrings name.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from kubeline.errors import UserError, listed
from kubeline.evaluation import terms
from kubeline.evaluation.bootstrap import Bootstrap, Interval, Terms, interval
from kubeline.evaluation.curves import area_below
from kubeline.evaluation.delong import auc_of
from kubeline.evaluation.scored import Scored
from kubeline.task import Task
from kubeline.typing import Array


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name: Its name in parameters and metadata.
        label: Its name for people.
        greater_is_better: The direction of better.
        bounds: The smallest and the largest value there can be.
        terms: What it sums over the rows.
        estimate: (replicates,) values from the sums of :meth:`Terms.totals`, NaN where undefined.
        undefined: Why it is not defined on these rows, or an empty string.
        exact: The value itself, where the sums are of binned numbers and only give its spread.
        in_unit: Whether it is in the unit of a regression's target.
        of_class: Whether it says something else of the other one of two classes.
        of: The class it is of, for people; empty where it is of all.
    """

    name: str
    label: str
    greater_is_better: bool
    bounds: tuple[float, float]
    terms: Callable[[Scored], Terms]
    estimate: Callable[[list[Array], Terms], Array]
    undefined: Callable[[Scored], str] = lambda scored: ""
    exact: Callable[[Scored], float] | None = None
    in_unit: bool = False
    of_class: bool = False
    of: str = ""

    def about(self, scored: Scored) -> Self:
        """The same, and of which class it is where that matters."""
        return replace(self, of=scored.classes[1]) if self.of_class and not self.of else self

    @property
    def spoken(self) -> str:
        """Its name with the class: ``recall of 'fraud'``."""
        return f"{self.name} of '{self.of}'" if self.of else self.name

    @property
    def title(self) -> str:
        """Its label with the class."""
        return f"{self.label} of '{self.of}'" if self.of else self.label

    def value(self, scored: Scored) -> float:
        """The metric on these rows; they must define it."""
        scored, unit = self._scaled(scored)
        if self.exact is not None:
            return self.exact(scored) * unit
        found = self.terms(scored)
        return float(self.estimate(found.totals(), found)[0]) * unit

    def replicates(self, scored: Scored, bootstrap: Bootstrap) -> Array:
        """(replicates,) values under resampling, centred so that binning does not move them."""
        scored, unit = self._scaled(scored)
        found = self.terms(scored)
        with np.errstate(divide="ignore", invalid="ignore"):
            values = self.estimate(bootstrap.sums(found), found)
            if self.exact is not None:
                values = values + self.exact(scored) - self.estimate(found.totals(), found)[0]
        return np.clip(values, *self.bounds) * unit

    def _scaled(self, scored: Scored) -> tuple[Scored, float]:
        scored, unit = scored.in_own_unit()
        return scored, unit if self.in_unit else 1.0

    def interval(self, scored: Scored, bootstrap: Bootstrap, confidence: float) -> Interval:
        """The metric with its confidence interval."""
        return interval(self.value(scored), self.replicates(scored, bootstrap), confidence)


def _one_class(scored: Scored) -> str:
    for code, word in ((1, "no"), (0, "every")):
        if not scored.class_counts[0][code]:
            return f"{word} row is labelled '{scored.classes[1]}'"
    return ""


def _no_positive(scored: Scored) -> str:
    return "" if scored.class_counts[0][1] else f"no row is labelled '{scored.classes[1]}'"


def _none_predicted(scored: Scored) -> str:
    return "" if scored.class_counts[1][1] else f"no row is predicted '{scored.classes[1]}'"


def _neither(scored: Scored) -> str:
    return "" if scored.class_counts[1][1] else _no_positive(scored)


def _single_class(scored: Scored) -> str:
    return "" if scored.varies else f"every row is labelled '{scored.classes[scored.class_counts[0].argmax()]}'"


def _no_variation(scored: Scored) -> str:
    return "" if scored.varies else "the target is the same in every row"


def _zero_target(scored: Scored) -> str:
    if all(some.target.all() for some in scored.pieces()):
        return ""
    return "the target is zero in some rows, where a relative error has no meaning"


def _macro_auc(scored: Scored) -> float:
    return float(np.mean([auc_of(scored.ranking(int(code))) for code in np.flatnonzero(scored.class_counts[0])]))


UNIT = (0.0, 1.0)
POSITIVE = (0.0, np.inf)

_CLASSIFICATION = [
    Metric("log_loss", "Log loss", False, POSITIVE, terms.log_loss, terms.mean),
    Metric("accuracy", "Accuracy", True, UNIT, terms.labels, terms.accuracy),
    Metric("balanced_accuracy", "Balanced accuracy", True, UNIT, terms.labels, terms.balanced_accuracy),
]
_BINARY = [
    Metric(
        "roc_auc", "ROC AUC", True, UNIT, terms.score_bins, terms.roc_auc, _one_class,
        lambda scored: auc_of(scored.ranking()),
    ),
    Metric(
        "average_precision", "Average precision", True, UNIT, terms.score_bins, terms.average_precision,
        _no_positive, lambda scored: area_below(scored.ranking()), of_class=True,
    ),
    Metric("brier", "Brier score", False, UNIT, terms.brier, terms.mean),
    *_CLASSIFICATION,
    Metric("f1", "F1", True, UNIT, terms.labels, terms.f1, _neither, of_class=True),
    Metric("precision", "Precision", True, UNIT, terms.labels, terms.precision, _none_predicted, of_class=True),
    Metric("recall", "Recall", True, UNIT, terms.labels, terms.recall, _no_positive, of_class=True),
]  # fmt: skip
_MULTICLASS = [
    *_CLASSIFICATION,
    Metric("macro_f1", "Macro F1", True, UNIT, terms.labels, terms.macro_f1),
    Metric(
        "macro_roc_auc", "Macro ROC AUC, one against the rest", True, UNIT, terms.class_score_bins,
        terms.macro_roc_auc, _single_class, _macro_auc,
    ),
]  # fmt: skip
_REGRESSION = [
    Metric("rmse", "RMSE", False, POSITIVE, terms.errors, terms.rmse, in_unit=True),
    Metric("mae", "MAE", False, POSITIVE, terms.errors, terms.mae, in_unit=True),
    Metric(
        "median_ae", "Median absolute error", False, POSITIVE, terms.error_bins, terms.median, lambda scored: "",
        lambda scored: terms.ranked_errors(scored).middle(),
        in_unit=True,
    ),
    Metric("r2", "R²", True, (-np.inf, 1.0), terms.errors, terms.r2, _no_variation),
    Metric("mape", "MAPE", False, POSITIVE, terms.relative_error, terms.mean, _zero_target),
]  # fmt: skip

METRICS: dict[Task, dict[str, Metric]] = {
    "binary": {metric.name: metric for metric in _BINARY},
    "multiclass": {metric.name: metric for metric in _MULTICLASS},
    "regression": {metric.name: metric for metric in _REGRESSION},
}
# What only probabilities that come true make best; a regression's metrics see every error by themselves.
PROPER: dict[Task, tuple[str, ...]] = {"binary": ("log_loss", "brier"), "multiclass": ("log_loss",), "regression": ()}
PRIMARY: dict[Task, str] = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}


def choose(task: Task, name: str = "") -> Metric:
    """The metric of that name, or the task's own: ROC AUC, log loss or RMSE.

    Raises:
        UserError: when the task has no such metric.
    """
    metrics = METRICS[task]
    chosen = name or PRIMARY[task]
    if chosen not in metrics:
        raise UserError(f"'{name}' is not a metric of a {task} task; choose one of: {listed(metrics)}")
    return metrics[chosen]


def measure(scored: Scored, bootstrap: Bootstrap, confidence: float) -> tuple[dict[str, Interval], dict[str, str]]:
    """Every metric of the task that these rows define, with intervals, and why the others are not defined."""
    found, undefined = {}, {}
    for name, metric in METRICS[scored.task].items():
        reason = metric.undefined(scored)
        if reason:
            undefined[name] = reason
        else:
            found[name] = metric.interval(scored, bootstrap, confidence)
    return found, undefined
