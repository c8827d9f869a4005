"""What a step predicted, counted."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from kubeline.model_package.predictor import Predictions


@dataclass
class Summary:
    """What was predicted: rows, their labels or the spread of the numbers, and why rows were not.

    Attributes:
        rows: Predicted ones.
        labels: How often each class was predicted; empty for regression.
        numbers: Least and greatest predicted number, and their sum; for regression.
        quarantined: Rows that could not be predicted.
        reasons: How many rows each reason holds for.
    """

    rows: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    numbers: tuple[float, float, float] = (np.inf, -np.inf, 0.0)
    quarantined: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, predictions: Predictions) -> None:
        """Count the predictions of a chunk."""
        values = predictions.values
        self.rows += len(values)
        if predictions.probabilities is not None:
            self.labels.update(values.tolist())
        elif len(values):
            least, greatest, total = self.numbers
            self.numbers = (min(least, values.min()), max(greatest, values.max()), total + float(values.sum()))
