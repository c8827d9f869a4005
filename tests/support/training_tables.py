"""A small table with every kind of column, and parameters with which each estimator trains on it quickly."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from kubeline.model_package import ModelPackage

Train = Callable[..., ModelPackage]
"""`train(frame, **parameters)`, a fixture."""

SMALL: dict[str, dict[str, Any]] = {
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
            "has garden": rng.choice(np.array([True, False, None]), rows),
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


def fresh_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of another seed, with unseen and empty categories, dates far away and everything missing in one row."""
    rows = mixed_table(400, seed=1)
    rows["sold/at"] = rows["sold/at"].astype("datetime64[us]")
    rows.loc[:20, "city"] = "never seen"
    rows.loc[20:30, "city"] = ""
    rows.loc[30:40, "sold/at"] = pd.Timestamp("1583-02-28 23:59:59.5").as_unit("us")
    rows.loc[40, [name for name in rows.columns if name in frame.columns]] = None
    return rows
