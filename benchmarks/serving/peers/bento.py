"""A BentoML service as its documentation writes one for scikit-learn: rows in, a DataFrame, probabilities out.

Runs in an environment of its own: ``bentoml serve bento:Flights`` in this folder, MODEL_DIR in the environment.
"""

import os
from pathlib import Path
from typing import Any

import bentoml
import joblib
import pandas as pd


@bentoml.service(workers=1)
class Flights:
    """Answers probabilities of what joblib loads."""

    def __init__(self) -> None:
        self._model = joblib.load(Path(os.environ["MODEL_DIR"]) / "model.joblib")

    @bentoml.api  # type: ignore[untyped-decorator]
    def predict(self, instances: list[dict[str, Any]]) -> dict[str, Any]:
        """Probabilities of rows."""
        return {"predictions": self._model.predict_proba(pd.DataFrame(instances)).tolist()}
