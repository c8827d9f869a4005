"""A step that is killed at any point and run again leaves the outputs of one clean run."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
Given = tuple[dict[str, tuple[str, Any]], dict[str, Any]]  # input artifacts by (class, artifact), parameters


@pytest.fixture
def inputs(dataset: Callable[..., Any], flights: pd.DataFrame, package: Any, tmp_path: Path) -> Callable[[str], Given]:
    """`inputs(component)`: what the component is run on."""
    table = dataset(flights.head(2_000))
    file = tmp_path / "flights.csv"
    flights.head(500).to_csv(file, index=False)
    later = dataset(flights.tail(1_500), "later")
    given: dict[str, Given] = {
        "load": ({}, {"source": str(file)}),
        "validate": (
            {"dataset": ("Dataset", table)},
            {"mode": "quarantine", "rules": ["distance > 200"], "target": "late"},
        ),
        "split": ({"dataset": ("Dataset", table)}, {"by": "stratified", "column": "late"}),
        "train": (
            {"dataset": ("Dataset", table)},
            {"target": "late", "exclude": ["departure"], "params": {"max_iter": 5}},
        ),
        "evaluate": ({"test": ("Dataset", later), "model": ("Model", package)}, {"slices": ["origin"]}),
        "drift_check": ({"current": ("Dataset", later), "model": ("Model", package)}, {"evidently": False}),
    }
    return given.__getitem__


@pytest.mark.slow
@pytest.mark.parametrize("component", ["load", "validate", "split", "train", "evaluate", "drift_check"])
def test_killed_before_any_of_its_renames_and_run_again_a_step_leaves_what_a_clean_run_leaves(
    component: str, inputs: Callable[[str], Given], tmp_path: Path
) -> None:
    artifacts, parameters = inputs(component)
    given = {
        "artifacts": {name: (kind, item.path, item.metadata) for name, (kind, item) in artifacts.items()},
        "parameters": parameters,
    }
    folder = tmp_path / "runs"
    command = [sys.executable, "-m", "tests.steps.killing", component, json.dumps(given), str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    attempts = int(done.stdout.split()[-1])
    assert attempts >= 1
    clean = contents(folder / "clean")
    assert clean
    for attempt in range(attempts):
        assert contents(folder / str(attempt)) == clean, f"killed before rename {attempt}"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}
