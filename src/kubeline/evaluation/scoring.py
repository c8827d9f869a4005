"""A model package asked about test rows, and about the rows that training recorded answers for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kubeline.data.dataset import to_frame
from kubeline.data.stored import StoredTable
from kubeline.errors import UserError, listed
from kubeline.evaluation.kept import Kept, Numbers, pieces
from kubeline.evaluation.scored import Scored
from kubeline.model_package.agreement import differences
from kubeline.model_package.manifest import Parity
from kubeline.model_package.package import ModelPackage
from kubeline.model_package.predictor import Predictions, Predictor
from kubeline.model_package.signature import Signature
from kubeline.printable import rounded


@dataclass(frozen=True)
class Agreement:
    """How far the answers of ONNX Runtime here are from those that training recorded.

    Attributes:
        rows: How many golden rows were asked.
        max_difference: The greatest difference: of probabilities, or for regression of predictions in standard
            deviations of the target.
        tolerance: What the package states.
        beyond: Rows that differ by more.
        worst_row: The position of the row that differs most.
        trained: How far ONNX and scikit-learn were apart on the rows that training held out.
    """

    rows: int
    max_difference: float
    tolerance: float
    beyond: int
    worst_row: int
    trained: Parity

    def __str__(self) -> str:
        if not self.rows:
            return (
                "the package has no golden rows, so whether it answers as in training cannot be checked; train it again"
            )
        if self.beyond:
            return (
                f"ONNX Runtime answers {self.beyond:,} of {self.rows:,} golden rows otherwise than in training, by up "
                f"to {rounded(self.max_difference, 2)} in row {self.worst_row} (tolerance {rounded(self.tolerance)}): "
                "train the model again, with the libraries that are installed here"
            )
        return (
            f"ONNX Runtime answers all {self.rows:,} golden rows as in training: they differ by at most "
            f"{rounded(self.max_difference, 2)}, within the tolerance of {rounded(self.tolerance)}; there, ONNX and "
            f"scikit-learn differed by at most {rounded(self.trained.max_difference, 2)} on the "
            f"{self.trained.rows:,} rows held out"
        )


def labelled(frame: StoredTable, signature: Signature) -> Kept:
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
    known = Kept.of(part[signature.target].notna().to_numpy() for part in _parts(frame, signature.target))
    if not any(known[rows].any() for rows in pieces(len(known))):
        raise UserError(f"target '{signature.target}' is missing in all {len(frame):,} test rows; give labelled rows")
    return known


def judged(
    frame: StoredTable | pd.DataFrame,
    known: Numbers,
    signature: Signature,
    predictions: Predictions,
    weights: Numbers | None = None,
) -> Scored:
    """The predictions for some rows with a label, beside that label.

    Args:
        frame: All rows.
        known: (n,) True for those with a label that are judged.
        signature: Of the model that is judged: its positive class is the one spoken of, for a champion too.
        predictions: For all rows.
        weights: Of the rows that are judged, or None.

    Returns:
        The rows of a frame in memory, those of a stored table in files.

    Raises:
        UserError: when a label is none of the model's classes, or a target is not a finite number.
    """
    parts = _judged(frame, known, signature, predictions, weights)
    return next(parts) if isinstance(frame, pd.DataFrame) else Scored.kept(parts)


def _judged(
    frame: StoredTable | pd.DataFrame,
    known: Numbers,
    signature: Signature,
    predictions: Predictions,
    weights: Numbers | None,
) -> Iterator[Scored]:
    start = before = 0
    for part in _parts(frame, signature.target):
        rows = slice(start, start + len(part))
        here = known[rows]
        count, start = int(np.count_nonzero(here)), rows.stop
        answers = predictions.part(rows).part(here)
        weight = None if weights is None else weights[before : before + count]
        before += count
        if signature.classes is None:
            target = signature.truth(part[here])
        else:
            target = signature.codes(part[here]).astype(np.min_scalar_type(-1 - len(signature.classes)))
        yield Scored.of(signature.classes, signature.positive_class, target, answers, weight)


def _parts(frame: StoredTable | pd.DataFrame, column: str) -> Iterator[pd.DataFrame]:
    if isinstance(frame, pd.DataFrame):
        yield frame[[column]]
    else:
        yield from (to_frame(batch) for batch in frame.batches([column]))


def agreement(package: ModelPackage, predictor: Predictor) -> Agreement:
    """Ask for the golden rows, and compare with what training recorded.

    Whether ONNX and scikit-learn agree was found out in training, on all rows held out, and stands in the manifest. The
    scikit-learn form is a pickle, which is not loaded to judge a model: it is ONNX that is judged, and serves.

    Args:
        package: A verified package.
        predictor: Its model.
    """
    _, expected = package.golden_rows()
    parity = package.manifest.parity
    apart = differences(expected, predictor.predict(package.golden()), parity.scale)
    beyond = int((apart > parity.tolerance).sum())
    worst = int(apart.argmax()) if len(apart) else 0
    return Agreement(len(apart), float(apart.max(initial=0.0)), parity.tolerance, beyond, worst, parity)


def require_comparable(champion: Signature, model: Signature, columns: Sequence[str], reference: str) -> None:
    """Refuse a champion that answers another question than the model, or cannot be asked about the test rows.

    Raises:
        UserError: when target, task or classes differ, or the test table lacks a column that it needs.
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
    absent = [name for name in champion.names if name not in columns]
    if absent:
        raise UserError(
            f"the champion '{reference}' needs column '{absent[0]}', which the test table does not have; "
            "keep that column in the test table, or give no champion"
        )
