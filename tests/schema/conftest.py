"""A small clean table, and a way to validate a frame through the component with real artifacts."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from components.validate.component import validate
from kubeline.data.dataset import read_frame


class Result(NamedTuple):
    """What a run returned and the artifacts it was given."""

    passed: bool
    problems: int
    artifacts: dict[str, Any]

    @property
    def valid(self) -> pd.DataFrame:
        return read_frame(self.artifacts["valid"].path)

    @property
    def quarantine(self) -> pd.DataFrame:
        return read_frame(self.artifacts["quarantine"].path)

    @property
    def schema(self) -> dict[str, Any]:
        return json.loads(Path(self.artifacts["schema"].path).read_text())

    @property
    def report(self) -> str:
        return Path(self.artifacts["report"].path).read_text()


@pytest.fixture
def outputs(artifact: Callable[..., Any]) -> dict[str, Any]:
    """The four output artifacts of `validate`, with nothing written yet."""
    kinds = {"valid": "Dataset", "quarantine": "Dataset", "schema": "Artifact", "report": "HTML"}
    return {name: artifact(kind, name) for name, kind in kinds.items()}


@pytest.fixture
def check(dataset: Callable[..., Any], outputs: dict[str, Any]) -> Callable[..., Result]:
    """`check(frame, **arguments)`: run the component on a frame."""

    def run(frame: pd.DataFrame, **arguments: Any) -> Result:
        answer = validate.python_func(dataset(frame), **outputs, **arguments)
        return Result(answer.passed, answer.problems, outputs)

    return run


@pytest.fixture
def schema_file(tmp_path: Path) -> Callable[..., str]:
    """`schema_file(document)`: the path of a file with that JSON (or that text)."""

    def write(document: Any) -> str:
        path = tmp_path / "given.json"
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return str(path)

    return write


@pytest.fixture
def clean() -> pd.DataFrame:
    """1,000 rows without a fault; the target is `y`, and nothing predicts it."""
    rng = np.random.default_rng(0)
    rows = 1_000
    return pd.DataFrame(
        {
            "amount": rng.normal(10, 2, rows).round(3),
            "count": rng.integers(0, 50, rows),
            "shop": rng.choice(["north", "south", "west"], rows),
            "when": pd.date_range("2024-01-01", periods=rows, freq="h"),
            "y": rng.integers(0, 2, rows).astype(bool),
        }
    )
