"""The gate that both ONNX forms of a model agree with scikit-learn, on all held-out rows."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd

from kubeline.errors import UserError
from kubeline.model_package.agreement import differences
from kubeline.model_package.formats import ONNX, SERVING
from kubeline.model_package.manifest import Parity
from kubeline.model_package.predictor import Predictions, Predictor, ServingPredictor, check_serving
from kubeline.model_package.signature import Signature
from kubeline.typing import Array


def compare_forms(
    expected: Predictions,
    portable: bytes,
    serving: bytes,
    signature: Signature,
    *,
    scale: float,
    tolerance: float,
    rows: Array,
    frame: pd.DataFrame,
    reference: str = "scikit-learn",
) -> tuple[Predictions, Parity]:
    """The predictions of the serving form, and how far those of either form are from the model's.

    Args:
        expected: of scikit-learn.
        portable: the content of ``model.onnx``.
        serving: the content of ``serving.onnx``.
        signature: of the model.
        scale: what differences are divided by: the standard deviation of a regression's target, which alone says what
            a difference means; 1 for classification, where differences of probabilities count.
        tolerance: the greatest difference that passes.
        rows: the positions of the held-out rows in the dataset, for the message.
        frame: their features, encoded.
        reference: what `expected` is the answer of, for the message.

    Raises:
        UserError: names the form, its worst row and both predictions where a difference is beyond `tolerance`; not
            the row's values, which may be someone's.
    """
    check_serving(serving, signature)  # what is refused later must not be written now
    inputs = {name: frame[name].to_numpy()[:, None] for name in signature.names}
    greatest = 0.0
    forms = {ONNX: Predictor(portable, signature, 1), SERVING: ServingPredictor(serving, signature, 1)}
    with ThreadPoolExecutor(len(forms)) as workers:  # each of one thread, whose answers are the same on any machine
        answers = list(workers.map(lambda form: form.predict_inputs(inputs), forms.values()))
    for file, found in zip(forms, answers, strict=True):
        by_row = differences(expected, found, scale)
        worst = int(by_row.argmax())
        if by_row[worst] > tolerance:
            raise _disagreement(file, reference, by_row, expected, found, tolerance, rows[worst], signature.classes)
        greatest = max(greatest, by_row[worst])
    return found, Parity(rows=len(rows), max_difference=float(f"{greatest:.3g}"), tolerance=tolerance, scale=scale)


def _disagreement(
    file: str,
    reference: str,
    by_row: Array,
    expected: Predictions,
    found: Predictions,
    tolerance: float,
    row: int,
    classes: list[str] | None,
) -> UserError:
    worst = int(by_row.argmax())
    one, other = (
        each.values[worst] if each.probabilities is None else each.probabilities[worst] for each in (expected, found)
    )
    of = ""
    if classes is not None:
        place = int(np.abs(one - other).argmax())  # what is no number counts as the greatest
        one, other, of = one[place], other[place], f"a probability of '{classes[place]}' of "
    return UserError(
        f"ONNX ({file}) and {reference} disagree beyond the tolerance {tolerance:g} on "
        f"{int((by_row > tolerance).sum()):,} of {len(by_row):,} held-out rows, most ({by_row[worst]:.3g}) on row "
        f"{row} of the dataset, where {reference} predicts {of}{one:.9g} and ONNX {other:.9g}; "
        "choose another estimator or encoding, or raise tolerance"
    )
