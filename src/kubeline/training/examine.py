"""The gate of a model that is to be written: its serving form is made, held against it, and scored."""

from dataclasses import replace

from kubeline.evaluation.metrics import choose
from kubeline.training import metrics
from kubeline.training.table import TrainingTable
from kubeline.training.target import spread
from kubeline.training.trained import Exported, Trained
from kubeline.training.tuning import Tuning


def scale_of(table: TrainingTable) -> float:
    """What differences of predictions are divided by: the target's standard deviation; 1 for probabilities."""
    return (spread(table.y) or 1.0) if table.classes is None else 1.0


def examine(exported: Exported, *, metric: str, tolerance: float, rows: int, tuning: Tuning | None = None) -> Trained:
    """Hold both forms of a model against it on the held-out rows, and score what will serve.

    Args:
        exported: the model.
        metric: that the score is of; empty for the default of the task.
        tolerance: the greatest difference that passes.
        rows: how many it learned from.
        tuning: how its parameters were found.

    Raises:
        UserError: names the form and the row where it differs beyond `tolerance`.
    """
    from kubeline.training.parity import compare_forms
    from kubeline.training.serving_form import serving_form

    table = exported.table
    serving, signature = serving_form(exported.onnx, exported.signature)
    exported = replace(exported, signature=signature)
    found, parity = compare_forms(exported, serving, scale=scale_of(table), tolerance=tolerance)
    chosen = choose(table.task, metric)
    measured = metrics.measure(metrics.scored(table, exported.held, found), chosen)
    return Trained(
        **vars(exported),
        serving=serving,
        predictions=found,
        parity=parity,
        metrics=measured,
        score_name=metrics.score_name(chosen),
        score=metrics.score(measured[chosen.name], chosen),
        tuning=tuning,
        rows=rows,
    )
