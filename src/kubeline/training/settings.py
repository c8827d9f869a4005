"""What is asked of a training. It is checked in seconds before a run, so nothing heavy is imported here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kubeline.errors import UserError, listed
from kubeline.training import estimators
from kubeline.training.distributed.workers import Workers

TASKS = ("auto", "binary", "multiclass", "regression")
MAX_TOGETHER = 64  # trials at a time
DEFAULT = "hist_gradient_boosting"  # the estimator
CALIBRATIONS = ("none", "sigmoid", "isotonic")


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """The parameters of :func:`kubeline.training.train.run` that are not names of columns."""

    task: str = "auto"
    estimator: str = DEFAULT
    params: Mapping[str, Any] = field(default_factory=dict)
    balanced: bool = False
    calibration: str = "none"
    tuning_trials: int = 0
    tuning_minutes: float = 10.0
    folds: int = 5
    validation_fraction: float = 0.1
    tolerance: float = 1e-5
    seed: int = 0
    positive_class: str = ""
    metric: str = ""
    half_life: str = ""
    derive: Mapping[str, str] = field(default_factory=dict)
    workers: Mapping[str, Any] = field(default_factory=dict)
    tuning_workers: int = 1
    purpose: str = ""  # the same for each try of one training, and for no other

    def check(self) -> None:
        """Raise a :class:`UserError` for a value that is not allowed."""
        estimators.find(self.estimator)
        Workers.read(self.workers)
        if self.derive:
            from kubeline.transform.transform import parsed

            parsed(self.derive)
        if self.half_life:
            from kubeline.training import recency

            recency.check(self.half_life)
        if self.task not in TASKS:
            raise UserError(f"task '{self.task}' is not known; choose one of: {listed(TASKS)}")
        if self.folds < 2:
            raise UserError(f"folds is {self.folds}; cross-validation needs at least 2")
        if self.calibration not in CALIBRATIONS:
            raise UserError(f"calibration '{self.calibration}' is not known; choose one of: {listed(CALIBRATIONS)}")
        if not 0 < self.validation_fraction < 1:
            raise UserError(f"validation_fraction is {self.validation_fraction:g}; expected a share between 0 and 1")
        self._check_tuning()
        if not self.tolerance > 0:
            raise UserError(f"tolerance is {self.tolerance:g}; expected more than 0")
        if not 0 <= self.seed < 2**32:
            raise UserError(f"seed is {self.seed}; expected a whole number from 0 to 4294967295")

    def _check_tuning(self) -> None:
        if self.tuning_trials < 0:
            raise UserError(f"tuning_trials is {self.tuning_trials}; expected 0 (no tuning) or more")
        if not self.tuning_minutes > 0:
            raise UserError(f"tuning_minutes is {self.tuning_minutes:g}; expected more than 0")
        if not 1 <= self.tuning_workers <= MAX_TOGETHER:
            raise UserError(
                f"tuning_workers is {self.tuning_workers}; expected 1 (one trial after the other) to {MAX_TOGETHER}"
            )
