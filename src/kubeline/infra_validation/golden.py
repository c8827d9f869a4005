"""The recorded rows of a package, and how far a server's answers are from the recorded ones."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd

from kubeline.model_package import ModelPackage, Predictions, Signature
from kubeline.model_package.package import EXPECTED_PREDICTION, EXPECTED_PROBABILITY


@dataclass(frozen=True)
class GoldenRows:
    """Rows as a client sends them, and the predictions recorded for them.

    `records` hold JSON values: None where a value is missing, times as ISO 8601 text.
    """

    signature: Signature
    records: list[dict[str, Any]]
    expected: Predictions

    @classmethod
    def of(cls, package: ModelPackage) -> Self:
        """The golden rows of a package."""
        frame = package.golden()
        signature = package.signature
        columns = [_json_values(frame[feature.name], feature.kind) for feature in signature.features]
        records = [dict(zip(signature.names, row, strict=True)) for row in zip(*columns, strict=True)]
        probabilities = None
        if signature.classes is not None:
            probabilities = frame[[EXPECTED_PROBABILITY + name for name in signature.classes]].to_numpy(np.float64)
        return cls(signature, records, Predictions(frame[EXPECTED_PREDICTION].to_numpy(), probabilities))

    def compare(self, answer: Predictions) -> "Comparison":
        """Compare answers for all rows with the recorded ones.

        Classification compares probabilities and labels; regression compares numbers, relative to the recorded one
        where that is greater than 1. What is not a number in the answer differs infinitely.
        """
        rows = len(self.records)
        expected = self.expected.probabilities
        if len(answer.values) != rows or (expected is None) != (answer.probabilities is None):
            return Comparison(np.full(rows, np.inf), np.full(rows, True))
        if expected is None:
            scale = np.maximum(1.0, np.abs(self.expected.values.astype(np.float64)))
            difference = np.abs(answer.values.astype(np.float64) - self.expected.values) / scale
            wrong = np.zeros(rows, dtype=bool)
        elif answer.probabilities is None or answer.probabilities.shape != expected.shape:
            return Comparison(np.full(rows, np.inf), np.full(rows, True))
        else:
            difference = np.abs(answer.probabilities - expected).max(axis=1, initial=0.0)
            wrong = answer.values != self.expected.values
        return Comparison(np.where(np.isnan(difference), np.inf, difference), wrong)


@dataclass(frozen=True)
class Comparison:
    """For each row the largest difference of a number, and whether the label is another one; both of shape (rows,)."""

    differences: np.ndarray[Any, np.dtype[np.float64]]
    wrong_labels: np.ndarray[Any, np.dtype[np.bool_]]

    @property
    def max_difference(self) -> float:
        """Of all rows."""
        return float(self.differences.max(initial=0.0))

    def mismatches(self, tolerance: float) -> list[int]:
        """The rows that differ by more than `tolerance` or in their label, worst first."""
        bad = np.flatnonzero(self.wrong_labels | (self.differences > tolerance))
        return [int(row) for row in bad[np.argsort(-self.differences[bad], kind="stable")]]


def _json_values(column: pd.Series, kind: str) -> list[Any]:
    if kind == "datetime":
        times = column if column.dtype == object else column.map(pd.Timestamp.isoformat, na_action="ignore")
        column = times.astype(object)
    missing = column.isna()
    return [None if gone else _plain(value) for value, gone in zip(column, missing, strict=True)]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
