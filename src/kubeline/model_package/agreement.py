"""How far two answers of one model are apart: of its two forms, or of a server and what training recorded."""

import numpy as np

from kubeline.model_package.predictor import Predictions
from kubeline.typing import Array


def differences(expected: Predictions, found: Predictions, scale: float) -> Array:
    """The difference of each row, float64, shape (rows,); infinite where an answer is no number.

    Of a classification it is the greatest one of the probabilities. Of a regression it is that of the predictions,
    divided by `scale`, the target's standard deviation (`Parity.scale` of the package): nothing else says what a
    difference means, least of all the size of a number. Neighbouring float64 are the same answer.
    """
    if expected.probabilities is None or found.probabilities is None:
        one, other = (np.asarray(answer.values, dtype=np.float64) for answer in (expected, found))
        with np.errstate(invalid="ignore", over="ignore"):
            apart = np.abs(one - other)
            apart = np.where(apart <= 2 * np.spacing(np.abs(one)), 0.0, apart / scale)
    else:
        one, other = (np.asarray(answer.probabilities, dtype=np.float64) for answer in (expected, found))
        apart = np.abs(one - other).max(axis=1, initial=0.0)
    return np.where(np.isfinite(apart), apart, np.inf)
