"""Comparing frames without a dataset, and columns to draw from."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binom

from kubeline.drift.compare import compare
from kubeline.drift.profile import Profile, build
from kubeline.drift.result import ColumnDrift, DriftRule
from kubeline.drift.window import counter

RULE = DriftRule(min_effect=0.1, max_p=0.01, min_rows=200, min_columns=1)

OUTPUTS = {"result": "Artifact", "metrics": "Metrics", "report": "HTML", "evidently_report": "HTML"}
Run = Callable[..., tuple[Any, dict[str, Any]]]


def drift(
    reference: pd.DataFrame, current: pd.DataFrame, kinds: dict[str, str], pieces: int = 1
) -> dict[str, ColumnDrift]:
    """Compare two frames, the current one counted in so many pieces."""
    profile = Profile.read(build(reference, kinds))
    counters = {name: counter(column) for name, column in profile.columns.items()}
    for rows in np.array_split(np.arange(len(current)), pieces):
        for name, each in counters.items():
            each.add(current[name].iloc[rows])
    columns = compare(counters, {}, RULE).columns
    return {column.name: column for column in columns}


def drift_of(reference: Iterable[object], current: Iterable[object], kind: str = "number") -> ColumnDrift:
    """Compare two samples of one column."""
    frames = [pd.DataFrame({"x": pd.Series(list(values))}) for values in (reference, current)]
    return drift(frames[0], frames[1], {"x": kind})["x"]


def at_most(rate: float, trials: int) -> int:
    """The most crossings of so many trials that a true rate explains, but for one time in a thousand."""
    return int(binom.ppf(0.999, trials, rate))


def categories(count: int, exponent: float) -> Callable[[np.random.Generator, int], np.ndarray]:
    """Draws so many categories, with equal shares (exponent 0) or those of Zipf's law (1)."""
    weights = 1 / np.arange(1, count + 1) ** exponent
    names = np.array([f"c{i:05d}" for i in range(count)], dtype=object)
    return lambda rng, rows: names[rng.choice(count, rows, p=weights / weights.sum())]


def _half_missing(rng: np.random.Generator, rows: int) -> np.ndarray:
    return np.where(rng.random(rows) < 0.5, np.nan, rng.normal(size=rows))


COLUMNS: dict[str, tuple[str, Callable[[np.random.Generator, int], np.ndarray]]] = {
    "normal": ("number", lambda rng, rows: rng.normal(size=rows)),
    "heavy tail": ("number", lambda rng, rows: rng.standard_cauchy(rows)),
    "mostly zero": ("number", lambda rng, rows: np.where(rng.random(rows) < 0.9, 0.0, rng.exponential(size=rows))),
    "half missing": ("number", _half_missing),
    "month": ("number", lambda rng, rows: rng.integers(1, 13, rows)),
    "count": ("number", lambda rng, rows: rng.poisson(7, rows)),
    "constant": ("number", lambda rng, rows: np.full(rows, 3.0)),
    "flag": ("boolean", lambda rng, rows: rng.random(rows) < 0.1),
    "3 categories": ("category", categories(3, 1)),
    "100 equal categories": ("category", categories(100, 0)),
    "100 unequal categories": ("category", categories(100, 1)),
    "2,000 equal categories": ("category", categories(2_000, 0)),
    "2,000 unequal categories": ("category", categories(2_000, 1)),
    "always new": ("category", lambda rng, rows: rng.integers(0, 10**9, rows).astype(str)),
}
KINDS = {name: kind for name, (kind, _) in COLUMNS.items()}


def table(rng: np.random.Generator, rows: int) -> pd.DataFrame:
    """A table with one column of each sort, drawn from distributions that never change."""
    return pd.DataFrame({name: draw(rng, rows) for name, (_, draw) in COLUMNS.items()})


def read(artifact: Any) -> dict[str, Any]:
    return json.loads(Path(artifact.path).read_text())


def page(artifact: Any) -> str:
    return Path(artifact.path).read_text()


def mixed(rows: int = 1_000, shift: float = 0.0, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "x": rng.normal(shift, size=rows),
            "city": rng.choice(["Oslo", "Rome", "Bern"], rows),
            "ok": rng.random(rows) < 0.3,
            "at": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 10**6, rows), unit="s"),
        }
    )


def column(result: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in [*result["columns"], *result["predictions"]] if each["name"] == name)
