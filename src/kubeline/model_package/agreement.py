"""How far two answers of one model are apart: of its two forms, or of a server and what training recorded."""

from typing import TYPE_CHECKING

import numpy as np

from kubeline.errors import UserError
from kubeline.model_package.formats import GOLDEN
from kubeline.model_package.package import EXPECTED_PREDICTION, EXPECTED_PROBABILITY
from kubeline.model_package.predictor import Predictions
from kubeline.model_package.signature import Signature
from kubeline.typing import Array

if TYPE_CHECKING:  # the model server's image has no pandas, and reads Arrow when it is needed
    import pyarrow as pa


def recorded(golden: "pa.Table", signature: Signature) -> Predictions:
    """What training recorded for the golden rows of a package.

    Raises:
        UserError: when they lack a column.
    """
    probabilities = [EXPECTED_PROBABILITY + label for label in signature.classes or ()]
    absent = [
        name for name in (*signature.names, EXPECTED_PREDICTION, *probabilities) if name not in golden.column_names
    ]
    if absent:
        raise UserError(f"{GOLDEN} of the model package lacks column '{absent[0]}'; train it again")
    columns = [golden[name].to_numpy().astype(np.float64) for name in probabilities]
    return Predictions(golden[EXPECTED_PREDICTION].to_numpy(), np.column_stack(columns) if columns else None)


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
