"""A small table with every kind of column, and training of it through the component."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from components.import_model.component import import_model
from kubeline.model_package import ModelPackage
from tests.support.artifacts import Maker
from tests.support.imported_models import HELD, SEEN, Import
from tests.support.training import trained
from tests.support.training_tables import SMALL, Train, for_task, mixed_table


@pytest.fixture
def mixed() -> pd.DataFrame:
    """A binary task on 600 rows with every kind of column; the target is ``y``."""
    return for_task(mixed_table(), "binary")


@pytest.fixture
def train(tmp_path: Path) -> Train:
    """`train(frame, **parameters)`: the package that the component makes of the frame; the target is ``y``."""

    def run(frame: pd.DataFrame, **parameters: Any) -> ModelPackage:
        small = SMALL[parameters.get("estimator", "hist_gradient_boosting")] if "candidates" not in parameters else {}
        return ModelPackage.open(trained(tmp_path, frame, **{"params": small, **parameters})["model"].path)

    return run


@pytest.fixture
def bring(artifact: Maker, dataset: Maker) -> Import:
    """`bring(source=…, …)` imports with the tables of `imported_models`, and opens what came out."""

    def run(seen: pd.DataFrame = SEEN, held: pd.DataFrame = HELD, **parameters: Any) -> ModelPackage:
        target = parameters.setdefault("target", "y")
        drop = {"y", "price"} - {target}
        model = artifact("Model", "model")
        tables = {"seen": seen, "held": held}
        given = [dataset(one.drop(columns=list(drop), errors="ignore"), name) for name, one in tables.items()]
        import_model.python_func(*given, model, artifact("HTML", "report"), **parameters)
        return ModelPackage.of(model)

    return run
