"""A small table with every kind of column, and training of it through the component."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from components.train.component import train as component
from kubeline.model_package import ModelPackage
from tests.support.artifacts import Maker
from tests.support.training_tables import SMALL, Train, for_task, mixed_table


@pytest.fixture
def mixed() -> pd.DataFrame:
    """A binary task on 600 rows with every kind of column; the target is ``y``."""
    return for_task(mixed_table(), "binary")


@pytest.fixture
def train(tmp_path: Path, artifact: Maker, dataset: Maker) -> Train:
    """`train(frame, **parameters)`: the package that the component makes of the frame; the target is ``y``."""

    def run(frame: pd.DataFrame, **parameters: Any) -> ModelPackage:
        model = artifact("Model", "model")
        small = SMALL[parameters.get("estimator", "hist_gradient_boosting")] if "candidates" not in parameters else {}
        component.python_func(
            dataset=dataset(frame),
            model=model,
            metrics=artifact("Metrics", "metrics"),
            report=artifact("HTML", "report"),
            **{"target": "y", "params": small, **parameters},
        )
        return ModelPackage.open(model.path)

    return run
