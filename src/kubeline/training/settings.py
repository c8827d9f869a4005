"""What is asked of a training. It is checked in seconds before a run, so nothing heavy is imported here."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import Field

from kubeline.errors import listed
from kubeline.settings import Parameters
from kubeline.training import estimators
from kubeline.training.distributed.workers import Workers

MAX_TOGETHER = 64  # trials at a time
DEFAULT = "hist_gradient_boosting"  # the estimator
AskedTask = Literal["auto", "binary", "multiclass", "regression"]
TASKS = get_args(AskedTask)
CalibrationMethod = Literal["none", "sigmoid", "isotonic"]


class TrainingSettings(Parameters):
    """The parameters of :func:`kubeline.training.train.run` that are not names of columns."""

    task: AskedTask = Field(default="auto", description=f"one of: {listed(TASKS)}")
    estimator: str = DEFAULT
    params: Mapping[str, Any] = {}
    balanced: bool = False
    calibration: CalibrationMethod = Field(default="none", description=f"one of: {listed(get_args(CalibrationMethod))}")
    tuning_trials: int = Field(default=0, ge=0, description="0 (no tuning) or more")
    tuning_minutes: float = Field(default=10.0, gt=0, description="more than 0")
    folds: int = Field(default=5, ge=2, description="at least 2, for cross-validation")
    validation_fraction: float = Field(default=0.1, gt=0, lt=1, description="a share between 0 and 1")
    tolerance: float = Field(default=1e-5, gt=0, description="more than 0")
    seed: int = Field(default=0, ge=0, lt=2**32, description="a whole number from 0 to 4294967295")
    positive_class: str = ""
    metric: str = ""
    half_life: str = ""
    derive: Mapping[str, Any] = {}
    workers: Mapping[str, Any] = {}
    tuning_workers: int = Field(
        default=1, ge=1, le=MAX_TOGETHER, description=f"1 (one trial after the other) to {MAX_TOGETHER}"
    )
    purpose: str = ""  # the same for each try of one training, and for no other

    def check(self) -> None:
        """Raise a :class:`UserError` for what libraries, workers and expressions do not allow."""
        estimators.find(self.estimator)
        Workers.read(self.workers)
        if self.derive:
            from kubeline.transform.transform import parsed

            parsed(self.derive)
        if self.half_life:
            from kubeline.training import recency

            recency.check(self.half_life)
