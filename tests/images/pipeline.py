"""The compiled pipelines, each component in its own image."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from kubeline.resources import pipeline_file
from tests.images.dockerfiles import ROOT

CANDIDATES = [
    {"estimator": "lightgbm", "params": {"n_estimators": 20}},
    {"estimator": "xgboost", "params": {"n_estimators": 20}},
]


def run(name: str, arguments: Mapping[str, Any], places: Path, root: Path, user: Sequence[str] = ()) -> str:
    """Run the pipeline below `root`, each step in what `places` names for its image, and return the whole log.

    Args:
        name: of the pipeline.
        arguments: its parameters.
        places: JSON file, see `kubeline.local.worker`.
        root: folder that everyone may write to.
        user: what to put before the command so that another user runs it.
    """
    values = root / f"{name}.json"
    values.write_text(json.dumps(arguments), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "kubeline.local.worker",
        str(pipeline_file(name)),
        *map(str, (values, root, places)),
    ]
    variables = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'serving'}:{ROOT}",
        "HOME": str(root),
        **{name: os.environ[name] for name in ("DOCKER_HOST",) if name in os.environ},
    }
    done = subprocess.run(
        command, env=variables, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-8_000:]
    return done.stdout


def training_arguments(flights: pd.DataFrame, folder: Path, **more: Any) -> dict[str, Any]:
    """Parameters of a training on `flights` with two candidates; makes the folder that the steps work in."""
    folder.mkdir()
    folder.chmod(0o777)
    flights.to_parquet(folder / "flights.parquet", index=False)
    (folder / "flights.parquet").chmod(0o644)
    return {
        "data": str(folder / "flights.parquet"),
        "target": "late",
        "name": "flights",
        "candidates": CANDIDATES,
        "time_column": "departure",
        "slices": ["origin"],
        "gate": {"thresholds": {"roc_auc": {"threshold": 0.1}}},
        "max_latency_ms": 10_000.0,
        **more,
    }
