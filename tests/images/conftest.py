"""The images, made once: on this machine, or with ``--docker`` in a Docker engine."""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.images.environments import Environment, environments


@pytest.fixture(scope="session")
def place() -> Iterator[Path]:
    """A folder that every user can reach."""
    with tempfile.TemporaryDirectory(prefix="kubeline-images-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
        subprocess.run(["chmod", "-R", "u+w", folder], check=True)


@pytest.fixture(scope="session")
def images(place: Path) -> dict[str, Environment]:
    """The environment of each image, by its name."""
    return environments(place)
