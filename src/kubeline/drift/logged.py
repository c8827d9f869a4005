"""Predictions that a payload log holds: what the model did answer, so that it need not be asked again."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from kubeline.model_package.package import ModelPackage, version_of
from kubeline.model_package.predictor import Predictions

LOG_COLUMNS = ("request.", "model.", "output.")  # how the names of a log's own columns begin
_VERSION = "model.version"
_PREDICTION = "output.prediction"


@dataclass(frozen=True)
class LoggedAnswers:
    """The columns of a log that hold the answers of one model.

    Attributes:
        version: of its package, as logs name it.
        probabilities: the columns of its classes; empty for regression.
    """

    version: str
    probabilities: list[str]

    @classmethod
    def found(cls, present: Collection[str], package: ModelPackage) -> Self | None:
        """The columns of this package's answers, or None when the table does not have all of them."""
        probabilities = [f"output.probability.{label}" for label in package.signature.classes or ()]
        wanted = {_VERSION, _PREDICTION, *probabilities}
        return cls(version_of(package.digest), probabilities) if wanted <= set(present) else None

    @property
    def columns(self) -> list[str]:
        """All columns that :meth:`read` reads."""
        return [_VERSION, _PREDICTION, *self.probabilities]

    def read(self, frame: pd.DataFrame) -> Predictions | None:
        """The logged answers for a chunk, or None when one of its rows was answered by another version, or by none."""
        if not (frame[_VERSION] == self.version).all() or frame[self.columns].isna().to_numpy().any():
            return None
        if not self.probabilities:
            return Predictions(frame[_PREDICTION].to_numpy(np.float64), None)
        return Predictions(frame[_PREDICTION].to_numpy(object), frame[self.probabilities].to_numpy(np.float32))
