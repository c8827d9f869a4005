"""What the tests of this room share: `load` as a function from a source to a frame."""

from pathlib import Path
from typing import Any

import pytest
from kfp import dsl

from components.load.component import load as component
from kubeline.data.dataset import read_frame
from tests.support.loading import Load, Loaded


@pytest.fixture
def output(tmp_path: Path) -> dsl.Dataset:
    """A dataset artifact alone in its folder, with nothing written yet."""
    return dsl.Dataset(name="dataset", uri=str(tmp_path / "out" / "dataset"), metadata={})


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """`load(source, **parameters)`: what the component makes of a source."""
    runs = iter(range(100))

    def run(source: object, **parameters: Any) -> Loaded:
        dataset = dsl.Dataset(name="dataset", uri=str(tmp_path / f"loaded-{next(runs)}" / "dataset"), metadata={})
        component.python_func(source=str(source), dataset=dataset, **parameters)
        return Loaded(read_frame(dataset.path), dataset.metadata, Path(dataset.path))

    return run
