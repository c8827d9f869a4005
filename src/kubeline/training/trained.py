"""A model and its forms: as it was exported, and with what was found out about it."""

from dataclasses import dataclass, field
from typing import Any

from kubeline.model_package.manifest import Parity
from kubeline.model_package.predictor import Predictions
from kubeline.model_package.signature import Signature
from kubeline.training.table import TrainingTable
from kubeline.training.tuning import Tuning
from kubeline.typing import Array


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A fitted model, before its forms are compared.

    Attributes:
        table: of all rows; where the model is someone else's, with its columns and classes alone.
        signature: of the columns and classes.
        name: of the estimator, in the package.
        library: the distribution that made or reads it, whose version is noted.
        model: of scikit-learn, or what answers like one of its models; None where there is only ONNX.
        onnx: the portable form.
        held: positions of the held-out rows.
        expected: what the model answers for these.
        reference: what `expected` is the answer of, in messages and on the page.
        params: for the manifest.
        notes: for the user.
        unchecked: what about it nothing here can say.
    """

    table: TrainingTable
    signature: Signature
    name: str
    library: str
    model: Any
    onnx: bytes
    held: Array
    expected: Predictions
    reference: str = "scikit-learn"
    params: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    unchecked: str = ""


@dataclass(frozen=True, kw_only=True)
class Trained(Exported):
    """The same and what was found out about it, before anything is written."""

    serving: bytes  # the serving form
    predictions: Predictions  # of the serving form, for the held-out rows
    parity: Parity  # of both forms with the model
    metrics: dict[str, float]
    score_name: str
    score: float
    tuning: Tuning | None
    rows: int  # learned from
