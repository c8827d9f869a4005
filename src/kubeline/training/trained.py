"""What came of a training."""

from dataclasses import dataclass
from typing import Any

from kubeline.model_package.manifest import Parity
from kubeline.model_package.predictor import Predictions
from kubeline.model_package.signature import Signature
from kubeline.training.table import TrainingTable
from kubeline.training.tuning import Tuning
from kubeline.typing import Array


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A fitted model and what was found out about it, before anything is written."""

    table: TrainingTable
    signature: Signature
    model: Any  # of scikit-learn; None where there is only ONNX
    onnx: bytes  # the portable form
    serving: bytes  # the serving form
    held: Array  # positions of the held-out rows
    predictions: Predictions  # of the serving form, for the held-out rows
    parity: Parity  # of both forms with the model
    metrics: dict[str, float]
    score_name: str
    score: float
    params: dict[str, Any]
    tuning: Tuning | None
    rows: int  # learned from
    notes: list[str]
