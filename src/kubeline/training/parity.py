"""The gate that both ONNX forms of a model agree with scikit-learn, on all held-out rows."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from kubeline.errors import UserError
from kubeline.model_package.agreement import differences
from kubeline.model_package.formats import ONNX, SERVING
from kubeline.model_package.manifest import Parity
from kubeline.model_package.predictor import Predictions, Predictor, ServingPredictor, check_serving
from kubeline.training.trained import Exported
from kubeline.typing import Array


def compare_forms(exported: Exported, serving: bytes, *, scale: float, tolerance: float) -> tuple[Predictions, Parity]:
    """The predictions of the serving form, and how far those of either form are from the model's.

    Args:
        exported: the model and its portable form, with the signature of the serving form.
        serving: the content of ``serving.onnx``.
        scale: what differences are divided by: the standard deviation of a regression's target, which alone says what
            a difference means; 1 for classification, where differences of probabilities count.
        tolerance: the greatest difference that passes.

    Raises:
        UserError: names the form, its worst row and both predictions where a difference is beyond `tolerance`; not
            the row's values, which may be someone's.
    """
    signature, encoded = exported.signature, exported.table.encoded
    check_serving(serving, signature)  # what is refused later must not be written now
    inputs = {name: encoded.at(name, exported.held)[:, None] for name in signature.names}
    greatest = 0.0
    forms = {ONNX: Predictor(exported.onnx, signature, 1), SERVING: ServingPredictor(serving, signature, 1)}
    with ThreadPoolExecutor(len(forms)) as workers:  # each of one thread, whose answers are the same on any machine
        answers = list(workers.map(lambda form: form.predict_inputs(inputs), forms.values()))
    for file, found in zip(forms, answers, strict=True):
        by_row = differences(exported.expected, found, scale)
        if by_row.max() > tolerance:
            raise _disagreement(file, exported, by_row, found, tolerance)
        greatest = max(greatest, by_row.max())
    rows, greatest = len(exported.held), float(f"{greatest:.3g}")
    return found, Parity(rows=rows, max_difference=greatest, tolerance=tolerance, scale=scale)


def _disagreement(file: str, exported: Exported, by_row: Array, found: Predictions, tolerance: float) -> UserError:
    worst, reference, classes = int(by_row.argmax()), exported.reference, exported.signature.classes
    one, other = (each.numbers[worst] for each in (exported.expected, found))
    of = ""
    if classes is not None:
        place = int(np.abs(one - other).argmax())  # what is no number counts as the greatest
        one, other, of = one[place], other[place], f"a probability of '{classes[place]}' of "
    return UserError(
        f"ONNX ({file}) and {reference} disagree beyond the tolerance {tolerance:g} on "
        f"{int((by_row > tolerance).sum()):,} of {len(by_row):,} held-out rows, most ({by_row[worst]:.3g}) on row "
        f"{exported.held[worst]} of the dataset, where {reference} predicts {of}{one:.9g} and ONNX {other:.9g}; "
        "choose another estimator or encoding, or raise tolerance"
    )
