"""How far the two forms of a model are from each other."""

from typing import Any

import numpy as np
import pandas as pd

from tests.support.training_tables import SMALL


def difference(package: Any, rows: pd.DataFrame) -> float:
    """The greatest difference of probabilities, or of predictions in standard deviations of the target."""
    sklearn, signature = package.sklearn(), package.signature
    found = package.predictor(threads=1).predict(rows)
    encoded = signature.encoded_frame(rows)
    if signature.classes is None:
        expected = sklearn.predict(encoded)
        return float(np.max(np.abs(found.values - expected) / package.manifest.parity.scale))
    return float(np.abs(found.probabilities - sklearn.predict_proba(encoded)).max())


TREES = [estimator for estimator in SMALL if estimator != "linear"]
