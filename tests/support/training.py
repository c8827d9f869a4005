"""Models that tests train, through the component as a pipeline does."""

from pathlib import Path
from typing import Any

import pandas as pd

from components.train.component import train
from tests.support.artifacts import make_artifact, make_dataset

OUTPUTS = {"model": "Model", "metrics": "Metrics", "report": "HTML"}


def trained(folder: Path, table: Any, target: str = "y", **parameters: Any) -> dict[str, Any]:
    """The outputs of `train`, by their names.

    Args:
        folder: where they go, each under its name.
        table: a dataset, or a frame to make one of.
        target: what is predicted.
        **parameters: of the component.
    """
    dataset = make_dataset(folder, table) if isinstance(table, pd.DataFrame) else table
    outputs = {name: make_artifact(folder, kind, name) for name, kind in OUTPUTS.items()}
    train.python_func(dataset=dataset, **outputs, target=target, **parameters)
    return outputs
