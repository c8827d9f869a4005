"""The component called on a small table, with a package of the flights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from components.predict.component import predict
from kubeline.data.dataset import read_frame
from tests.support.artifacts import Maker


class Predicted:
    """The outputs of one run of the component."""

    def __init__(self, artifact: Maker, dataset: Any, **parameters: Any) -> None:
        self.artifacts = {
            "predictions": artifact("Dataset", "predictions"),
            "quarantine": artifact("Dataset", "quarantine"),
            "metrics": artifact("Metrics", "metrics"),
            "report": artifact("HTML", "report"),
        }
        self.outputs = predict.python_func(dataset=dataset, **self.artifacts, **parameters)

    @property
    def metadata(self) -> dict[str, Any]:
        return dict(self.artifacts["predictions"].metadata)

    @property
    def frame(self) -> pd.DataFrame:
        return read_frame(self.artifacts["predictions"].path)

    @property
    def quarantine(self) -> pd.DataFrame:
        return read_frame(self.artifacts["quarantine"].path)

    @property
    def page(self) -> str:
        return Path(self.artifacts["report"].path).read_text(encoding="utf-8")


@pytest.fixture
def predicted(artifact: Maker) -> Callable[..., Predicted]:
    """`predicted(dataset, **parameters)`: what one run of the component gave."""
    return lambda dataset, **parameters: Predicted(artifact, dataset, **parameters)
