"""Artifacts as KFP gives them to a step."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp import dsl

from kubeline.artifacts import publish

if TYPE_CHECKING:
    import pandas as pd


def make_artifact(folder: Path, kind: str = "Artifact", name: str = "artifact") -> Any:
    """An artifact of KFP with nothing written yet, for an output of a function that is called directly.

    Args:
        folder: where it will lie, under its name.
        kind: name of its class in ``kfp.dsl``, such as ``Dataset`` or ``HTML``.
        name: of the artifact.
    """
    return getattr(dsl, kind)(name=name, uri=str(folder / name), metadata={})


def make_dataset(folder: Path, rows: "pd.DataFrame", name: str = "dataset") -> dsl.Dataset:
    """A dataset as `load` writes it, with its metadata.

    Args:
        folder: where it lies, under its name.
        rows: what it holds.
        name: of the artifact.
    """
    import pyarrow as pa

    from kubeline.data.dataset import write_dataset

    artifact = make_artifact(folder, "Dataset", name)
    table = pa.Table.from_pandas(rows, preserve_index=False)
    with publish(artifact.path) as path:
        write_dataset(artifact, table.schema, table.to_batches(), path, source="test")
    return artifact


def make_package(
    folder: Path, rows: "pd.DataFrame", target: str, name: str = "model", estimator: str = "linear", **parameters: Any
) -> dsl.Model:
    """A model package as `train` writes it, with its metadata; needs ``kubeline[steps]``.

    Args:
        folder: where it lies, under its name.
        rows: what it is trained on: 100 of a simple table are plenty.
        target: the column that it predicts.
        name: of the artifact.
        estimator: of `train`; the default is fitted in milliseconds.
        **parameters: others of `train`.

    Raises:
        UserError: what `train` says of the rows.
    """
    from kubeline.training import train

    dataset = make_dataset(folder, rows, f"{name}-dataset")
    model = make_artifact(folder, "Model", name)
    others = (make_artifact(folder, "Metrics", f"{name}-metrics"), make_artifact(folder, "HTML", f"{name}-report"))
    train.run(dataset, model, *others, target=target, estimator=estimator, **parameters)
    return model
