"""A model package asked about test rows, in both of its forms."""

from dataclasses import dataclass

import pandas as pd

from kubeline.errors import UserError, listed
from kubeline.evaluation.scored import Array, Scored
from kubeline.model_package.agreement import differences
from kubeline.model_package.package import ModelPackage
from kubeline.model_package.predictor import Predictions
from kubeline.model_package.signature import Signature


@dataclass(frozen=True)
class Agreement:
    """How far ONNX and scikit-learn are apart on the test rows.

    Attributes:
        rows: How many rows both forms answered.
        max_difference: The greatest difference: of probabilities, or for regression of predictions in standard
            deviations of the target, as the manifest's own parity.
        tolerance: What the package states.
        beyond: Rows that differ by more.
        worst_row: The position of the row that differs most.
    """

    rows: int
    max_difference: float
    tolerance: float
    beyond: int
    worst_row: int

    def __str__(self) -> str:
        if not self.beyond:
            return (
                f"ONNX and scikit-learn agree on all {self.rows:,} test rows: they differ by at most "
                f"{self.max_difference:.2g}, within the tolerance of {self.tolerance:g}"
            )
        return (
            f"ONNX and scikit-learn disagree on {self.beyond:,} of {self.rows:,} test rows, by up to "
            f"{self.max_difference:.2g} in row {self.worst_row} (tolerance {self.tolerance:g}): train the model again"
        )


def labelled(frame: pd.DataFrame, signature: Signature) -> Array:
    """(n,) True for the rows whose target is known.

    Raises:
        UserError: when there is no row, no target column, or no row with a target.
    """
    if not len(frame):
        raise UserError("the test table has no rows; give one that the model was not trained on")
    if signature.target not in frame.columns:
        raise UserError(
            f"target '{signature.target}' is not a column of the test table; it has: {listed(frame.columns)}"
        )
    known = frame[signature.target].notna().to_numpy()
    if not known.any():
        raise UserError(f"target '{signature.target}' is missing in all {len(frame):,} test rows; give labelled rows")
    return known


def judged(
    frame: pd.DataFrame, known: Array, signature: Signature, predictions: Predictions, weights: Array | None = None
) -> Scored:
    """The predictions for some rows with a label, beside that label.

    Args:
        frame: All rows.
        known: (n,) True for those with a label that are judged.
        signature: Of the model that is judged: its positive class is the one spoken of, for a champion too.
        predictions: For all rows.
        weights: Of the rows that are judged, or None.

    Raises:
        UserError: when a label is none of the model's classes, or a target is not a finite number.
    """
    rows = frame[known]
    target = signature.truth(rows) if signature.classes is None else signature.codes(rows)
    probabilities = None if predictions.probabilities is None else predictions.probabilities[known]
    answers = Predictions(predictions.values[known], probabilities)
    return Scored.of(signature.classes, signature.positive_class, target, answers, weights)


def agreement(package: ModelPackage, inputs: dict[str, Array], predictions: Predictions) -> Agreement:
    """Ask the scikit-learn form for the same rows and compare.

    Args:
        package: A verified package.
        inputs: The encoded rows, as :meth:`Signature.encode` gives them.
        predictions: What ONNX answered for them.
    """
    pipeline = package.sklearn()
    table = pd.DataFrame({name: column[:, 0] for name, column in inputs.items()})
    expected = Predictions(
        predictions.values if predictions.probabilities is not None else pipeline.predict(table),
        None if predictions.probabilities is None else pipeline.predict_proba(table),
    )
    parity = package.manifest.parity
    apart, tolerance = differences(expected, predictions, parity.scale), parity.tolerance
    return Agreement(len(apart), float(apart.max()), tolerance, int((apart > tolerance).sum()), int(apart.argmax()))


def require_same_question(model: Signature, champion: Signature, reference: str) -> None:
    """Refuse a champion that answers another question than the model.

    Raises:
        UserError: when target, task or classes differ.
    """
    mine, theirs = (f"{found.task} '{found.target}'" for found in (model, champion))
    if mine != theirs:
        raise UserError(
            f"the champion '{reference}' predicts {theirs}, but this model predicts {mine}; give a champion of the "
            "same target and task, or none"
        )
    if model.classes != champion.classes:
        raise UserError(
            f"the champion '{reference}' knows the classes {listed(champion.classes)}, but this model knows "
            f"{listed(model.classes)}; give a champion of the same classes, or none"
        )


def inputs_of(champion: Signature, model: Signature, frame: pd.DataFrame, reference: str) -> dict[str, Array]:
    """The champion's inputs from the test rows.

    Raises:
        UserError: when it answers another question than the model, or the test table lacks a column that it needs.
    """
    require_same_question(model, champion, reference)
    absent = [name for name in champion.names if name not in frame.columns]
    if absent:
        raise UserError(
            f"the champion '{reference}' needs column '{absent[0]}', which the test table does not have; "
            "keep that column in the test table, or give no champion"
        )
    return champion.encode(frame)
