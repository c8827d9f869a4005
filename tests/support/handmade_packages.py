"""Model packages made by hand: one place that knows their files and what a manifest must say."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from kubeline.model_package import ModelPackage, Predictions, Signature
from kubeline.model_package.golden_rows import to_bytes
from kubeline.model_package.package import write_package
from kubeline.model_package.plain_values import plain_values
from kubeline.model_package.training_rows import Filter, TrainingRows
from kubeline.training.serving_form import serving_form

_FACTS: dict[str, Any] = {
    "versions": {},
    "dataset_fingerprint": "0" * 64,
    "estimator": "by hand",
    "params": {},
    "metrics": {},
    "score_name": "none",
    "score": 0.0,
    "held_out": "0" * 64,
    "parity": {"rows": 0, "max_difference": 0.0, "tolerance": 0.0},
    "git_revision": "",
    "seed": 0,
}


def write_by_hand(
    folder: Path,
    signature: Signature,
    model: bytes,
    serving: bytes | None = None,
    *,
    sklearn: bytes = b"not read",
    golden: bytes = b"not read",
    reference: bytes = b"{}",
    training_rows: bytes = b"",
    **facts: Any,
) -> ModelPackage:
    """Write a package whose digests are right.

    Args:
        folder: where it is written; must not exist.
        signature: of the model.
        model: what ``model.onnx`` holds.
        serving: what ``serving.onnx`` holds; what training makes of `model` when it is not given.
        sklearn: what ``model.joblib`` holds.
        golden: what ``golden.json`` holds.
        reference: what ``reference.json`` holds.
        training_rows: what ``training_rows.parquet`` holds; that training saw no row when it is not given.
        facts: fields of the manifest, beside those of a model of which nothing is known.
    """
    if serving is None:
        serving, signature = serving_form(model, signature)
    files = {
        "model.onnx": model,
        "serving.onnx": serving,
        "model.joblib": sklearn,
        "schema.json": signature.model_dump_json().encode(),
        "golden.json": golden,
        "reference.json": reference,
        "training_rows.parquet": training_rows or _no_rows(signature),
    }
    return write_package(folder, files, **{**_FACTS, **facts})


def golden(frame: pd.DataFrame, signature: Signature, answers: Predictions) -> bytes:
    """What ``golden.json`` holds for these rows and their answers."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    columns = [plain_values(table[feature.name], feature.kind) for feature in signature.features]
    records = [dict(zip(signature.names, row, strict=True)) for row in zip(*columns, strict=True)]
    return to_bytes(records, answers)


def signed(folder: Path, name: str, content: bytes) -> None:
    """Put a file into a package, with its size and digest."""
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = hashlib.sha256(content).hexdigest()
    manifest["sizes"][name] = len(content)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def _no_rows(signature: Signature) -> bytes:
    return TrainingRows([Filter([*signature.names, signature.target], np.zeros(8, np.uint8))]).to_bytes()
