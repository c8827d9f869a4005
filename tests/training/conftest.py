"""A small table with every kind of column, and training of it through the component."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from kubeline.model_package import ModelPackage
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
