"""An ONNX file of someone else: is it a model of this table, and what does it answer?"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from onnx import TensorProto, helper

from kubeline.columns import Kind
from kubeline.errors import UserError, listed
from kubeline.masking import form_of
from kubeline.model_package.encoding import labels
from kubeline.model_package.onnx_shapes import RULES
from kubeline.model_package.predictor import Predictions
from kubeline.model_package.signature import Feature, Signature
from kubeline.printable import printable
from kubeline.training.categories import frequent
from kubeline.training.encoded import Encoded
from kubeline.training.graph import Graph
from kubeline.training.import_sklearn import CATEGORIES, in_order, require_features
from kubeline.training.onnx_file import TYPES, WHOLE, OnnxFile, OnnxInput, open_file
from kubeline.training.onnx_portable import one_score, portable_form
from kubeline.training.table import TrainingTable
from kubeline.training.trained import Exported
from kubeline.typing import Array

_ALONE = 5  # rows that are asked for one by one, too
_ROUNDING = 1e-3  # that sums of probabilities may be off
# What makes a label of scores beside the operators that are run; none makes more values than it reads.
_LABELLING = {("", "ArgMax"), *RULES}
UNCHECKED = (
    "An ONNX file is the only form of this model: that it answers as the model it was exported from cannot be checked "
    "here. What was checked: the forms of the package against the file as it came, its labels against its "
    "probabilities, and rows alone against rows together."
)


def imported(
    source: str,
    content: bytes,
    given: TrainingTable,
    target: str,
    features: Sequence[str],
    classes: Sequence[str],
    held: Array,
    tolerance: float,
) -> Exported:
    """The model with its portable form, and the table restricted to what it reads.

    Args:
        source: name of the file.
        content: of it.
        given: the table.
        target: what is predicted.
        features: the columns that the inputs read, in their order; empty takes the names of the inputs.
        classes: in the order of the probabilities; empty takes those that the file names.
        held: positions of the held-out rows.
        tolerance: the greatest difference that passes.

    Raises:
        UserError: when it is no model of this table, or holds what is not run.
    """
    file = _with_widths(open_file(source, content), features)
    names = _names(file, features)
    require_features(names, given)
    own = _classes(file, given, classes)
    table, signature = _restricted(file, given, target, names, own)
    onnx = portable_form(file, signature)  # which refuses what is not run, before any of it is
    rows = table.encoded.rows(held)
    expected = _answers(file, rows, signature)
    _require_rows_alone(file, rows, signature, expected, tolerance)
    notes = [*_require_labels(file, rows, expected, tolerance), *_never_missing(file, signature)]
    return Exported(
        table=table,
        signature=signature,
        name="ONNX",
        library="onnx",
        model=None,
        onnx=onnx,
        held=held,
        expected=expected,
        reference="the file as it came",
        params={"producer": printable(file.producer)[:100], "opset": file.opset, "ir_version": file.model.ir_version},
        notes=notes,
        unchecked=UNCHECKED,
    )


def _with_widths(file: OnnxFile, features: Sequence[str]) -> OnnxFile:
    """A single input that does not say how many columns it takes is given `features`."""
    inputs = file.inputs
    if len(inputs) == 1 and inputs[0].width is None and features:
        inputs = [replace(inputs[0], width=len(features))]
    unknown = [one.name for one in inputs if one.width is None]
    if unknown:
        raise UserError(
            f"the input '{unknown[0]}' of the source '{file.source}' does not say how many columns it takes; export it "
            "with a second axis of fixed length, or give features"
        )
    return replace(file, inputs=inputs)


def _names(file: OnnxFile, features: Sequence[str]) -> list[str]:
    columns = sum(one.width or 1 for one in file.inputs)
    if features:
        if len(features) != columns:
            raise UserError(f"features names {len(features)} columns, but the model reads {columns}; name all of them")
        return list(features)
    wide = [one for one in file.inputs if one.width != 1]
    if wide:
        raise UserError(
            f"the input '{wide[0].name}' of the model takes {wide[0].width} columns and does not name them; give them "
            "by features, in its order"
        )
    return [one.name for one in file.inputs]


def _classes(file: OnnxFile, given: TrainingTable, classes: Sequence[str]) -> list[str] | None:
    """The classes of the table in the order of the answer; None for a regression."""
    named = None if file.classes is None else _texts(file.classes)
    if given.classes is None:
        if file.labels or classes or (file.width or 1) > 1:
            raise UserError(
                f"the source '{file.source}' is a classifier, but the target is predicted as a number; give task, or "
                "another target"
            )
        return None
    if classes and named and len(classes) != len(named):
        raise UserError(f"classes names {len(classes)}, but the model has {len(named)}: {listed(named)}; name all")
    own = list(classes) or named
    if own is None:
        raise UserError(
            f"the source '{file.source}' does not name the classes of its answer; give them by classes, in its order: "
            f"the target has {listed(given.classes)}"
        )
    if file.width not in (None, len(own)) and not (one_score(file) and len(own) == 2):
        raise UserError(
            f"the model answers {file.width} numbers for each row, but the classes are {listed(own)}; give all of them "
            "by classes, in its order"
        )
    in_order(own, given)
    return own


def _texts(values: Sequence[Any]) -> list[str]:
    return [str(one) for one in labels(pd.Series(list(values), dtype=object))]


def _restricted(
    file: OnnxFile, given: TrainingTable, target: str, names: list[str], own: list[str] | None
) -> tuple[TrainingTable, Signature]:
    columns, features = {}, []
    for name, kind in zip(names, file.types, strict=True):
        feature, values = _feature(name, kind, given.kinds[name], pd.Series(given.encoded.column(name)))
        columns[name] = values.to_numpy()
        features.append(feature)
    kinds: dict[str, Kind] = {feature.name: feature.kind for feature in features}
    y = given.y if own is None else in_order(own, given)
    table = replace(given, encoded=Encoded(columns), given=kinds, kinds=kinds, classes=own, y=y)
    return table, table.signature(features, target)


def _feature(name: str, kind: int, found: Kind, values: pd.Series) -> tuple[Feature, pd.Series]:
    """A column as the model reads it.

    Raises:
        UserError: when the table has another type than the input.
    """
    is_text = kind == TensorProto.STRING
    if is_text != (found == "category") or (kind == TensorProto.BOOL and found != "boolean"):
        raise UserError(
            f"the model reads '{name}' as {_type(kind)}, but it is a {found} in the tables; load it as "
            f"{'text' if is_text else 'boolean' if kind == TensorProto.BOOL else 'numbers'}, or name another column"
        )
    if is_text:
        return Feature(name=name, kind=found, categories=frequent(values, CATEGORIES)), values
    if kind in (*WHOLE, TensorProto.BOOL):
        wrong = values.isna() | (values != np.round(values))
        if wrong.any():
            raise UserError(
                f"the model reads '{name}' as {_type(kind)}, which {form_of(values[wrong].iloc[0])} of row "
                f"{int(wrong.to_numpy().argmax())} is not; fill or remove such rows, or export the model with floats"
            )
    if found != "number":
        return Feature(name=name, kind=found), values
    if kind == TensorProto.FLOAT:
        return Feature(name=name, kind=found), values.astype(np.float32)
    return Feature(name=name, kind=found, dtype="float64"), values.astype(np.float64)


def _type(kind: int) -> str:
    return str(TensorProto.DataType.Name(kind)).lower()


def _answers(file: OnnxFile, rows: pd.DataFrame, signature: Signature) -> Predictions:
    """What the file as it came answers."""
    found = np.asarray(_run(file, file.scores, rows), dtype=np.float64)
    if signature.classes is None:
        return Predictions(_of_shape(found, len(rows), 1).reshape(-1), None)
    single = one_score(file)
    scores = _of_shape(found, len(rows), 1 if single else len(signature.classes))
    if single:
        scores = np.hstack([1 - scores, scores])
    off = float(max(-scores.min(), scores.max() - 1, np.abs(scores.sum(axis=1) - 1).max()))
    if not off <= _ROUNDING:
        raise UserError(
            f"the answers of the source '{file.source}' are no probabilities: {scores[0].round(4).tolist()} for row 0 "
            "of held_out; end the graph with Softmax or Sigmoid"
        )
    return Predictions(np.array(signature.classes, dtype=object)[scores.argmax(axis=1)], scores)


def _of_shape(found: Array, rows: int, width: int) -> Array:
    if found.size != rows * width or len(found) != rows:
        raise UserError(
            f"the model answers the shape {list(found.shape)} for {rows} rows; expected {[rows, width]}: a row of "
            "answers for each row"
        )
    return found.reshape(rows, width)


def _run(file: OnnxFile, tensor: str, rows: pd.DataFrame) -> Any:
    """One tensor of the file as it came, by ONNX Runtime."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(_only(file, tensor), options, providers=["CPUExecutionProvider"])
        return session.run([tensor], _fed(file.inputs, rows))[0]
    except Exception as error:  # ONNX Runtime has classes of its own, which inherit from nothing else
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"ONNX Runtime cannot run the source '{file.source}' on the rows of held_out ({reason}); export it again"
        ) from error


def _only(file: OnnxFile, tensor: str) -> bytes:
    """The file with this output alone."""
    model = file.copy()
    Graph(model).prune(tensor)
    del model.graph.output[:]
    model.graph.output.append(helper.make_empty_tensor_value_info(tensor))
    content: bytes = model.SerializeToString()
    return content


def _fed(inputs: Sequence[OnnxInput], rows: pd.DataFrame) -> Mapping[str, Array]:
    place, fed = 0, {}
    for one in inputs:
        width = one.width or 1
        fed[one.name] = rows.iloc[:, place : place + width].to_numpy(dtype=TYPES[one.type])
        place += width
    return fed


def _require_rows_alone(
    file: OnnxFile, rows: pd.DataFrame, signature: Signature, expected: Predictions, tolerance: float
) -> None:
    """Refuse a model whose answer for a row hangs on the others, as of a Softmax over rows."""
    for row in range(min(_ALONE, len(rows))):
        alone, beside = _answers(file, rows.iloc[[row]], signature).numbers[0], expected.numbers[row]
        if not np.allclose(alone, beside, rtol=1e-5, atol=tolerance, equal_nan=True):
            raise UserError(
                f"the model answers {np.round(alone, 6).tolist()} for row {row} of held_out alone, and "
                f"{np.round(beside, 6).tolist()} beside others; a model must answer each row by itself: check the "
                "axis of Softmax, and export it for inference"
            )


def _require_labels(file: OnnxFile, rows: pd.DataFrame, expected: Predictions, tolerance: float) -> list[str]:
    """Refuse labels that are not those of the largest probability: then the classes are in another order.

    Returns:
        What the user should know.
    """
    if not file.labels or file.classes is None or expected.probabilities is None:
        return []
    wanted = Graph(file.copy()).needed(file.labels)
    strange = sorted({node.op_type for node in wanted if (node.domain, node.op_type) not in _LABELLING})
    if strange:
        return [f"its labels are made by {strange[0]}, which is not run: they were not compared with its probabilities"]
    names = _texts(file.classes)
    found = _texts(np.asarray(_run(file, file.labels, rows)).reshape(-1).tolist())
    largest = expected.probabilities.max(axis=1)
    chosen = np.array([names.index(one) if one in names else -1 for one in found])
    reached = expected.probabilities[np.arange(len(rows)), chosen]
    wrong = (chosen < 0) | (reached < largest - tolerance)
    if wrong.any():
        row = int(wrong.argmax())
        answers = expected.probabilities[row]
        raise UserError(
            f"the file answers the label '{found[row]}' for row {row} of held_out, but the largest of its "
            f"probabilities, {np.round(answers, 4).tolist()}, is of '{names[int(answers.argmax())]}' "
            f"({int(wrong.sum()):,} of {len(rows):,} rows); served is the class of the largest probability"
        )
    return []


def _never_missing(file: OnnxFile, signature: Signature) -> list[str]:
    names = [name for name, kind in zip(signature.names, file.types, strict=True) if kind in (*WHOLE, TensorProto.BOOL)]
    if not names:
        return []
    return [
        f"{listed(names)} have no missing value in the file, as it reads them as whole numbers or booleans: a missing "
        "one is read as 0, so let validate require them"
    ]
