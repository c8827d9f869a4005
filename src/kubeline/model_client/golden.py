"""The recorded rows of a package, and how far a server's answers are from the recorded ones."""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from kubeline.model_package import ModelPackage, Predictions, Signature
from kubeline.model_package.agreement import differences


@dataclass(frozen=True)
class GoldenRows:
    """Rows as a client sends them, and the predictions recorded for them.

    `records` hold JSON values: None where a value is missing, times as ISO 8601 text. `scale` is what differences of a
    regression's predictions are divided by: the standard deviation of its target.
    """

    signature: Signature
    records: list[dict[str, Any]]
    expected: Predictions
    scale: float = 1.0

    @classmethod
    def of(cls, package: ModelPackage) -> Self:
        """The golden rows of a package."""
        return cls(package.signature, *package.golden_rows(), package.manifest.parity.scale)

    def part(self, rows: slice) -> Self:
        """Some of the rows."""
        return replace(self, records=self.records[rows], expected=self.expected.part(rows))

    def compare(self, answer: Predictions) -> "GoldenComparison":
        """Compare answers for all rows with the recorded ones.

        Classification compares probabilities and labels; regression compares numbers, in `scale`. What is not a number
        in the answer differs infinitely.
        """
        rows = len(self.records)
        expected = self.expected.probabilities
        if len(answer.values) != rows or (expected is None) != (answer.probabilities is None):
            return GoldenComparison(np.full(rows, np.inf), np.full(rows, True))
        if expected is not None and answer.probabilities is not None and answer.probabilities.shape != expected.shape:
            return GoldenComparison(np.full(rows, np.inf), np.full(rows, True))
        wrong = np.zeros(rows, dtype=bool) if expected is None else answer.values != self.expected.values
        return GoldenComparison(differences(self.expected, answer, self.scale), wrong)


@dataclass(frozen=True)
class GoldenComparison:
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
