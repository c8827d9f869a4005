"""Answers of a model by ONNX Runtime; needs numpy, pandas for frames alone, and nothing of training."""

import os
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from kubeline.model_package.blocks import Columns
from kubeline.model_package.signature import Signature
from kubeline.typing import Array

if TYPE_CHECKING:  # the model server predicts without pandas
    import pandas as pd

    from kubeline.model_package.onnx_shapes import Shape

PROBABILITIES = "output.probabilities"
PREDICTION = "output.prediction"


def prediction_names(signature: Signature) -> list[str]:
    """The columns of predictions in a table: ``prediction``, then ``probability.<class>`` in the order of classes."""
    return ["prediction", *(f"probability.{label}" for label in signature.classes or ())]


def check_onnx(model: bytes, signature: Signature, file: str = "model.onnx") -> None:
    """Make sure that a portable form, ``model.onnx``, is one of this signature, and only what training exports.

    Args:
        model: its content.
        signature: of the model.
        file: what it is called in the sentence.

    Raises:
        UserError: see :func:`kubeline.model_package.onnx_check.check`.
    """
    _check(file, model, signature, dict.fromkeys(signature.names, (None, 1)))


def check_serving(model: bytes, signature: Signature) -> None:
    """Make sure that a serving form, ``serving.onnx``, is one of this signature, and only what training exports.

    Raises:
        UserError: see :func:`kubeline.model_package.onnx_check.check`.
    """
    columns = Columns(signature)
    inputs: dict[str, Shape] = {name: (len(columns.blocks[block]), None) for block, name in columns.inputs.items()}
    _check("serving.onnx", model, signature, inputs)


def _check(file: str, model: bytes, signature: Signature, inputs: "dict[str, Shape]") -> None:
    from kubeline.model_package.onnx_check import check

    output = PREDICTION if signature.classes is None else PROBABILITIES
    check(file, model, inputs, output, len(signature.classes or (None,)))


class Predictions(NamedTuple):
    """`values` are class labels as text (object) or float64 numbers, shape (rows,).

    A label is that of the largest probability, the first of equal ones. `probabilities` has shape (rows, classes) in
    the order of ``Signature.classes``; None for regression.
    """

    values: Array
    probabilities: Array | None

    @property
    def numbers(self) -> Array:
        """The probabilities; the values of a regression."""
        return self.values if self.probabilities is None else self.probabilities

    def part(self, rows: Any) -> Self:
        """Those for some of the rows."""
        probabilities = None if self.probabilities is None else self.probabilities[rows]
        return type(self)(self.values[rows], probabilities)


class Predictor:
    """A loaded portable form, with one input for each column. Safe to call from several threads at once."""

    def __init__(self, model: bytes, signature: Signature, threads: int = 0):
        """Load an ONNX model from bytes.

        Args:
            model: the content of ``model.onnx``; of a :class:`ServingPredictor` that of ``serving.onnx``.
            signature: the columns it reads and the classes it answers.
            threads: for one prediction; 0 lets ONNX Runtime take one for each core.
        """
        # Read at its import: its wheels keep a device id in HOME and report to their maker unless switched off.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors
        # threads that wait by spinning take processor time from what else the machine does
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.signature = signature
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._output = PROBABILITIES if signature.classes is not None else PREDICTION
        self._classes = np.array(signature.classes, dtype=object) if signature.classes is not None else None

    def predict(self, frame: "pd.DataFrame") -> Predictions:
        """Predictions for the rows of `frame`, in their order.

        Raises:
            UserError: names the column that is missing or holds a value of another type.
        """
        return self.predict_inputs(self.signature.encode(frame))

    def predict_inputs(self, inputs: dict[str, Array]) -> Predictions:
        """Predictions for columns by name, as :meth:`Signature.encode` makes them; they may have no rows."""
        return self.predict_tensors(self.tensors(inputs)) if len(next(iter(inputs.values()))) else self._empty()

    def tensors(self, inputs: dict[str, Array]) -> dict[str, Array]:
        """What the model reads, for columns of one row or more."""
        return inputs

    def column(self, tensors: dict[str, Array], name: str) -> Array:
        """The (rows,) values of a column in what :meth:`tensors` made, as a view to be written to."""
        return tensors[name][:, 0]

    def predict_tensors(self, tensors: dict[str, Array]) -> Predictions:
        """Predictions for what :meth:`tensors` made: who changes a column between them pays for the others once."""
        answer = self._session.run([self._output], tensors)[0]
        if self._classes is None:
            return Predictions(answer.reshape(-1).astype(np.float64), None)
        return Predictions(self._classes[answer.argmax(axis=1)], answer)

    def _empty(self) -> Predictions:
        if self._classes is None:
            return Predictions(np.empty(0, dtype=np.float64), None)
        return Predictions(np.empty(0, dtype=object), np.empty((0, len(self._classes)), dtype=np.float32))


class ServingPredictor(Predictor):
    """A loaded serving form, which reads :mod:`blocks <kubeline.model_package.blocks>` of columns."""

    def __init__(self, model: bytes, signature: Signature, threads: int = 0):
        super().__init__(model, signature, threads)
        self._columns = Columns(signature)

    def predict(self, frame: "pd.DataFrame") -> Predictions:
        """See :meth:`Predictor.predict`; of columns of pandas' categories, only these are texts on the way."""
        return self.predict_inputs(self.signature.encode(frame, self._columns.codes))

    def predict_blocks(self, blocks: dict[str, Array]) -> Predictions:
        """Predictions for blocks by name, as :meth:`Columns.inputs_of` makes them, of one row or more."""
        return self.predict_tensors(blocks)

    def tensors(self, inputs: dict[str, Array]) -> dict[str, Array]:
        """See :meth:`Predictor.tensors`."""
        return self._columns.inputs_of(inputs)

    def column(self, tensors: dict[str, Array], name: str) -> Array:
        """See :meth:`Predictor.column`."""
        block, place = self._columns.place(name)
        column: Array = tensors[self._columns.inputs[block]][place]
        return column
