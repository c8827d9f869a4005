"""A model of someone else, and the table as it reads it."""

from dataclasses import dataclass, field
from typing import Any

from kubeline.model_package.predictor import Predictions
from kubeline.model_package.signature import Signature
from kubeline.training.table import TrainingTable


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What is known of it before its forms are compared.

    Attributes:
        table: with its columns and classes alone.
        signature: of these.
        name: what it is called in the package.
        library: the distribution that made or reads it, whose version is noted.
        model: the scikit-learn form; None of an ONNX file.
        onnx: the portable form.
        expected: what the model as it came answers for the held-out rows.
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
    expected: Predictions
    reference: str
    params: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    unchecked: str = ""
