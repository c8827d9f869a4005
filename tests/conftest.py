"""What every room's tests share: real artifacts, a sample of the real data, and a trained package."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from kfp import dsl

from examples.flights.prepare import flights as all_flights
from kubeline.artifacts import publish
from kubeline.data.dataset import write_dataset

# What a shell starts in the background ignores Ctrl-C, and would pass that on to the commands that tests send it to.
signal.signal(signal.SIGINT, signal.default_int_handler)

ArtifactMaker = Callable[..., Any]


def make_artifact(folder: Path, kind: str = "Artifact", name: str = "artifact") -> Any:
    """A KFP artifact of class `kind` that lives in `folder`, with nothing written yet."""
    return getattr(dsl, kind)(name=name, uri=str(folder / name), metadata={})


def make_dataset(folder: Path, frame: pd.DataFrame, name: str = "dataset") -> dsl.Dataset:
    """A dataset artifact that holds `frame`."""
    artifact = make_artifact(folder, "Dataset", name)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    with publish(artifact.path) as path:
        write_dataset(artifact, table.schema, table.to_batches(), path, source="test")
    return artifact


@pytest.fixture
def artifact(tmp_path: Path) -> ArtifactMaker:
    """`artifact(kind, name)`: an artifact with nothing written yet."""
    return lambda kind="Artifact", name="artifact": make_artifact(tmp_path, kind, name)


@pytest.fixture
def dataset(tmp_path: Path) -> ArtifactMaker:
    """`dataset(frame, name)`: a dataset artifact that holds the frame."""
    return lambda frame, name="dataset": make_dataset(tmp_path, frame, name)


@pytest.fixture(scope="session")
def _flights() -> pd.DataFrame:
    return all_flights().sample(6_000, random_state=0).sort_index().reset_index(drop=True)


@pytest.fixture
def flights(_flights: pd.DataFrame) -> pd.DataFrame:
    """6,000 real flights in order of departure; the target is `late`."""
    return _flights.copy()


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory, _flights: pd.DataFrame) -> dsl.Model:
    """A model artifact with a real package: HistGradientBoosting on the first 4,000 of the sample flights."""
    from components.train.component import train

    folder = tmp_path_factory.mktemp("package")
    model = make_artifact(folder, "Model", "model")
    train.python_func(
        dataset=make_dataset(folder, _flights.head(4_000)),
        model=model,
        metrics=make_artifact(folder, "Metrics", "metrics"),
        report=make_artifact(folder, "HTML", "report"),
        target="late",
        exclude=["departure"],
        params={"max_iter": 20},
    )
    return model
