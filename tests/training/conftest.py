"""A small table with every kind of column, and training of it through the component."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from components.train.component import train as component
from kubeline.model_package import ModelPackage

SMALL = {
    "hist_gradient_boosting": {"max_iter": 20},
    "lightgbm": {"n_estimators": 20},
    "xgboost": {"n_estimators": 20},
    "random_forest": {"n_estimators": 20},
    "linear": {},
}


def mixed_table(rows: int = 600, seed: int = 0) -> pd.DataFrame:
    """Numbers, whole numbers, categories, booleans and dates, each with missing values, and three targets."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "size": rng.lognormal(size=rows) * 100,
            "rooms": rng.integers(1, 9, rows).astype("float32"),
            "city": rng.choice(["Bern", "Köln", "São Paulo", "x"], rows, p=[0.5, 0.3, 0.15, 0.05]),
            "probabilities": rng.choice(["a", "b"], rows),
            "has garden": rng.choice([True, False, None], rows),
            "sold/at": pd.to_datetime(rng.integers(-1_000_000_000, 2_000_000_000, rows), unit="s"),
        }
    )
    signal = frame["rooms"] / 4 + (frame["city"] == "Bern") + frame["sold/at"].dt.month / 6 + rng.normal(size=rows) / 2
    frame.loc[::7, "size"] = np.nan
    frame.loc[::11, "city"] = None
    frame.loc[::13, "sold/at"] = pd.NaT
    frame["binary"] = signal > signal.median()
    frame["multiclass"] = pd.qcut(signal, [0, 0.5, 0.8, 1], labels=["low", "middle", "high"]).astype(str)
    frame["regression"] = signal * 1000 + 5000
    return frame


def for_task(frame: pd.DataFrame, task: str) -> pd.DataFrame:
    """The table with the target of one task, named ``y``."""
    targets = ["binary", "multiclass", "regression"]
    return frame.rename(columns={task: "y"}).drop(columns=[name for name in targets if name != task])


@pytest.fixture
def mixed() -> pd.DataFrame:
    """A binary task on 600 rows with every kind of column; the target is ``y``."""
    return for_task(mixed_table(), "binary")


@pytest.fixture
def train(tmp_path: Path, artifact: Any, dataset: Any) -> Callable[..., ModelPackage]:
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
