"""What is asked of a training and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubeline.errors import UserError, listed
from kubeline.model_package.manifest import Parity
from kubeline.model_package.predictor import Predictions
from kubeline.model_package.signature import Signature
from kubeline.training import calibration, estimators
from kubeline.training.table import TASKS, Table
from kubeline.training.tuning import Tuning
from kubeline.typing import Array


@dataclass(frozen=True)
class Settings:
    """The parameters of :func:`kubeline.training.train.run` that are not names of columns."""

    task: str
    estimator: str
    params: Mapping[str, Any]
    balanced: bool
    calibration: str
    tuning_trials: int
    tuning_minutes: float
    folds: int
    validation_fraction: float
    tolerance: float
    seed: int
    positive_class: str = ""
    metric: str = ""

    def check(self) -> None:
        """Raise a :class:`UserError` for a value that is not allowed."""
        estimators.find(self.estimator)
        if self.task not in TASKS:
            raise UserError(f"task '{self.task}' is not known; choose one of: {listed(TASKS)}")
        if self.folds < 2:
            raise UserError(f"folds is {self.folds}; cross-validation needs at least 2")
        if self.calibration not in calibration.METHODS:
            raise UserError(
                f"calibration '{self.calibration}' is not known; choose one of: {listed(calibration.METHODS)}"
            )
        if not 0 < self.validation_fraction < 1:
            raise UserError(f"validation_fraction is {self.validation_fraction:g}; expected a share between 0 and 1")
        if self.tuning_trials < 0:
            raise UserError(f"tuning_trials is {self.tuning_trials}; expected 0 (no tuning) or more")
        if not self.tuning_minutes > 0:
            raise UserError(f"tuning_minutes is {self.tuning_minutes:g}; expected more than 0")
        if not self.tolerance > 0:
            raise UserError(f"tolerance is {self.tolerance:g}; expected more than 0")
        if not 0 <= self.seed < 2**32:
            raise UserError(f"seed is {self.seed}; expected a whole number from 0 to 4294967295")


@dataclass(frozen=True)
class Trained:
    """A fitted model and what was found out about it, before anything is written."""

    table: Table
    signature: Signature
    model: Any
    onnx: bytes
    held: Array  # positions of the held-out rows
    predictions: Predictions  # of ONNX, for the held-out rows
    parity: Parity
    metrics: dict[str, float]
    score_name: str
    score: float
    params: dict[str, Any]
    tuning: Tuning | None
    rows: int  # learned from
    notes: list[str]
