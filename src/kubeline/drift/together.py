"""All columns of a window at once: from samples of both sides to a verdict."""

from dataclasses import dataclass

from kubeline.drift.classifier import Classifier
from kubeline.drift.coded_rows import CodedRows
from kubeline.drift.result import ColumnVerdict, DriftRule, Separation, Together


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
    verdict: ColumnVerdict = "drift" if drifted else "stable"
    explained = asked.classifier.explain() if drifted else {}
    return Together(**found.model_dump(), verdict=verdict, adjusted_p=adjusted_p, explained_by=explained)
