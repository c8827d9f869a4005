"""The gate of a model that is to be written: its serving form is made, held against it, and scored."""

from collections.abc import Mapping, Sequence
from typing import Any

from kubeline.evaluation.metrics import choose
from kubeline.model_package.predictor import Predictions
from kubeline.model_package.signature import Signature
from kubeline.training import metrics
from kubeline.training.table import TrainingTable
from kubeline.training.target import spread
from kubeline.training.trained import Trained
from kubeline.training.tuning import Tuning
from kubeline.typing import Array


def scale_of(table: TrainingTable) -> float:
    """What differences of predictions are divided by: the target's standard deviation; 1 for probabilities."""
    return (spread(table.y) or 1.0) if table.classes is None else 1.0


def examine(
    table: TrainingTable,
    model: Any,
    signature: Signature,
    onnx: bytes,
    expected: Predictions,
    held: Array,
    *,
    metric: str,
    tolerance: float,
    rows: int,
    notes: Sequence[str],
    params: Mapping[str, Any] | None = None,
    tuning: Tuning | None = None,
    reference: str = "scikit-learn",
) -> Trained:
    """Hold both forms of a model against it on the held-out rows, and score what will serve.

    Args:
        table: of all rows.
        model: of scikit-learn, or what answers like one of its models; None where there is only ONNX.
        signature: of `onnx`.
        onnx: the portable form.
        expected: what the model answers for the held-out rows.
        held: positions of these.
        metric: that the score is of; empty for the default of the task.
        tolerance: the greatest difference that passes.
        rows: how many it learned from.
        notes: for the report.
        params: of the estimator.
        tuning: how they were found.
        reference: what `expected` is the answer of, for the message.

    Raises:
        UserError: names the form and the row where it differs beyond `tolerance`.
    """
    from kubeline.training.parity import compare_forms
    from kubeline.training.serving_form import serving_form

    serving, signature = serving_form(onnx, signature)
    frame = table.encoded[signature.names].iloc[held]
    found, parity = compare_forms(
        expected,
        onnx,
        serving,
        signature,
        scale=scale_of(table),
        tolerance=tolerance,
        rows=held,
        frame=frame,
        reference=reference,
    )
    chosen = choose(table.task, metric)
    measured = metrics.measure(metrics.scored(table, held, found), chosen)
    return Trained(
        table=table,
        signature=signature,
        model=model,
        onnx=onnx,
        serving=serving,
        held=held,
        predictions=found,
        parity=parity,
        metrics=measured,
        score_name=metrics.score_name(chosen),
        score=metrics.score(measured[chosen.name], chosen),
        params=dict(params or {}),
        tuning=tuning,
        rows=rows,
        notes=list(notes),
    )
