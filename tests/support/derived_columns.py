"""Derived columns computed by NumPy, by both ONNX forms, and by DuckDB."""

from typing import Any

import duckdb
import numpy as np
import onnxruntime
import pandas as pd
from onnx import helper

from kubeline.columns import Kind
from kubeline.model_package.blocks import Columns
from kubeline.model_package.signature import Feature, Signature
from kubeline.training.deriving import OPSETS, derive_inside
from kubeline.training.serving_form import serving_form
from kubeline.transform.transform import Transform, declare

KINDS: dict[str, Kind] = {
    "a": "number",
    "b": "number",
    "big": "number",
    "flag": "boolean",
    "t": "datetime",
    "u": "datetime",
    "c": "category",
    "d": "category",
}
ORACLE = duckdb.connect()
_STORED = {"number": np.float32, "boolean": np.float32, "datetime": np.float64, "category": object}


def raw(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows in the form in which a model reads them; `big` is float64, and None a missing value."""
    found = {}
    for name, kind in KINDS.items():
        values = [row[name] for row in rows]
        if kind == "category":
            found[name] = np.array([value or "" for value in values], dtype=object)
        else:
            numbers = [np.nan if value is None else value for value in values]
            found[name] = np.array(numbers, dtype=np.float64 if name == "big" else _STORED[kind])
    return pd.DataFrame(found)


def declared(expressions: dict[str, str], frame: pd.DataFrame) -> Transform:
    """The transform of a table of `raw` rows."""
    return declare(expressions, frame, KINDS, {"y": "the target"})


def by_onnx(transform: Transform, table: pd.DataFrame, rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """What a model would derive from some rows, by its portable and by its serving form.

    Args:
        transform: the derived columns.
        table: that the model learned from.
        rows: to predict.
    """
    features = [
        Feature(
            name=name,
            kind=kind,
            dtype="float64" if name == "big" else "float32",
            categories=table[name].unique().tolist()[:3] if kind == "category" else None,
        )
        for name, kind in KINDS.items()
    ]
    signature = Signature(features=features, target="y", task="regression")
    names = [each.name for each in transform.derived]
    dtypes = {each.name: each.encoded(np.empty(0)).dtype for each in transform.derived}
    types = {name: helper.np_dtype_to_tensor_dtype(dtype) for name, dtype in dtypes.items()}
    inputs = [helper.make_tensor_value_info(f"model.{name}", kind, [None, 1]) for name, kind in types.items()]
    nodes = [helper.make_node("Identity", [f"model.{name}"], [f"out.{name}"]) for name in names]
    outputs = [helper.make_tensor_value_info(f"out.{name}", kind, [None, 1]) for name, kind in types.items()]
    graph = helper.make_graph(nodes, "derived", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSETS[""])], ir_version=9)
    derive_inside(model, signature, transform, names)
    for value, name in zip(model.graph.input, signature.names, strict=True):
        for node in model.graph.node:
            node.input[:] = [name if each == value.name else each for each in node.input]
        value.name = name
    portable = model.SerializeToString()
    serving, served = serving_form(portable, signature)
    columns = {name: rows[name].to_numpy()[:, None] for name in signature.names}
    return {
        "portable": _run(portable, columns, names),
        "serving": _run(serving, Columns(served).inputs_of(columns), names),
    }


def _run(model: bytes, inputs: dict[str, Any], names: list[str]) -> pd.DataFrame:
    session = onnxruntime.InferenceSession(model)
    read = {value.name for value in session.get_inputs()}
    found = session.run([f"out.{name}" for name in names], {n: values for n, values in inputs.items() if n in read})
    return pd.DataFrame({name: values[:, 0] for name, values in zip(names, found, strict=True)})


def by_duckdb(expressions: dict[str, str], frame: pd.DataFrame) -> dict[str, list[Any]]:
    """What the same expressions are to DuckDB: numbers, texts, truth values and seconds, None where missing."""
    types = {"number": "DOUBLE", "boolean": "BOOLEAN", "datetime": "TIMESTAMP", "category": "VARCHAR"}
    with ORACLE.cursor() as connection:
        columns = ", ".join(f"{name} {types[kind]}" for name, kind in KINDS.items())
        connection.execute(f"CREATE OR REPLACE TABLE rows ({columns})")
        for row in frame.itertuples(index=False):
            values = [_plain(value, KINDS[name]) for name, value in zip(KINDS, row, strict=True)]
            connection.execute("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
        answer = connection.table("rows").select(*map(duckdb.SQLExpression, expressions.values())).fetchall()
    return {name: [_seconds(row[place]) for row in answer] for place, name in enumerate(expressions)}


def _plain(value: Any, kind: Kind) -> Any:
    if kind == "category":
        return value or None
    if np.isnan(value):
        return None
    if kind == "datetime":
        return pd.Timestamp(value, unit="s").to_pydatetime()
    return bool(value) if kind == "boolean" else float(value)


def _seconds(value: Any) -> Any:
    if hasattr(value, "year"):
        return (pd.Timestamp(value) - pd.Timestamp(0)).total_seconds()
    return None if isinstance(value, float) and not np.isfinite(value) else value
