"""Artifacts as KFP gives them to a step."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from kfp import dsl

from kubeline.artifacts import publish
from kubeline.data.dataset import write_dataset

Maker = Callable[..., Any]


def make_artifact(folder: Path, kind: str = "Artifact", name: str = "artifact") -> Any:
    """A KFP artifact of class `kind` that lives in `folder`, with nothing written yet."""
    return getattr(dsl, kind)(name=name, uri=str(folder / name), metadata={})


def make_dataset(folder: Path, frame: pd.DataFrame, name: str = "dataset") -> dsl.Dataset:
    """A dataset artifact that holds `frame`."""
    artifact = make_artifact(folder, "Dataset", name)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    with publish(artifact.path) as path:
        write_dataset(artifact, table.schema, table.to_batches(), path, source="test")
    return artifact
