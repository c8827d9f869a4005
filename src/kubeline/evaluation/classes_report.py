"""How well each class is found, and which are taken for which: of very many, those in most mistakes."""

from markupsafe import Markup

from kubeline.evaluation import plots
from kubeline.evaluation.classes import Confusion, confusions
from kubeline.evaluation.scored import Scored
from kubeline.reports import figure, table, text

_CLASSES = 25  # drawn in the confusion matrix and listed, the last of them the sum of all others
_LEGIBLE = 12  # classes with numbers in the matrix; with more, the largest of them are listed


def class_blocks(scored: Scored) -> list[Markup]:
    """The confusion matrix, the pairs that are mixed up most, and precision, recall and F1, as they are served."""
    found = confusions(scored, _CLASSES)
    caption = f"Test rows by true and predicted class; shares are of the true class. {found.summed}".strip()
    blocks = [figure(plots.confusion_matrix(found), caption)]
    if len(found.names) > _LEGIBLE and found.mix_ups:
        blocks += [text("Taken for another most often:"), _mix_ups(found, scored.weights is not None)]
    return [*blocks, _classes(found, scored)]


def _amount(number: float, weighted: bool) -> float | int:
    return round(number, 1) if weighted else int(number)


def _mix_ups(found: Confusion, weighted: bool) -> Markup:
    rows = [(one.true, one.predicted, _amount(one.rows, weighted), f"{one.share:.1%}") for one in found.mix_ups]
    return table(["True class", "Predicted class", "Weight" if weighted else "Rows", "Of the true class"], rows)


def _classes(found: Confusion, scored: Scored) -> Markup:
    weighted = scored.weights is not None
    rows = [
        (
            one.name,
            _amount(one.true, weighted),
            _amount(one.predicted, weighted),
            _share(one.hits, one.predicted),
            _share(one.hits, one.true),
            _share(2 * one.hits, one.true + one.predicted),
        )
        for one in found.classes
    ]
    what = "weight" if weighted else "rows"
    chosen = "with a probability of at least 0.5" if len(scored.classes) == 2 else "with the highest probability"
    return table(
        ["Class", f"True {what}", f"Predicted {what}", "Precision", "Recall", "F1"],
        rows,
        note=f"Predicted: the class {chosen}. {found.summed}".strip(),
    )


def _share(part: float, whole: float) -> float | str:
    return float(part / whole) if whole else "not defined"
