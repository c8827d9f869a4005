"""All columns of a window at once: from samples of both sides to a verdict."""

from dataclasses import dataclass

from kubeline.drift.classifier import Classifier, Separation
from kubeline.drift.coded_rows import CodedRows
from kubeline.drift.result import DriftRule, Together


@dataclass(frozen=True)
class Asked:
    """A classifier, and what it found."""

    classifier: Classifier
    found: Separation


def ask(reference: CodedRows | None, window: CodedRows | None, rule: DriftRule) -> tuple[Asked | None, str]:
    """Ask a classifier which sample rows are of, or say why not."""
    if rule.min_auc >= 1:
        return None, "no classifier was asked for"
    if reference is None:
        return None, "the model's package keeps no rows of its training to compare with; train it again"
    if window is None:
        return None, "the window has no rows"
    names = [name for name in reference.columns if name in window.columns]
    classifier = Classifier(reference.only(names), window.only(names))
    if classifier.refusal:
        return None, classifier.refusal
    return Asked(classifier, classifier.separate()), ""


def judged(asked: Asked | None, adjusted_p: float | None, rule: DriftRule) -> Together | None:
    """The verdict, and the columns that explain a drift."""
    if asked is None or adjusted_p is None:
        return None
    found = asked.found
    drifted = found.auc >= rule.min_auc and adjusted_p <= rule.max_p
    return Together(
        verdict="drift" if drifted else "stable",
        auc=found.auc,
        lower=found.lower,
        upper=found.upper,
        p_value=found.p_value,
        adjusted_p=adjusted_p,
        reference_rows=found.reference,
        rows=found.window,
        columns=found.columns,
        explained_by=asked.classifier.explain() if drifted else {},
        assumed=found.assumed,
    )
