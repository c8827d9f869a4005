"""A copy of the trained package that a test may damage."""

import shutil
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def folder(package: Any, tmp_path: Path) -> Path:
    """A folder with a whole package."""
    return Path(shutil.copytree(package.path, tmp_path / "package"))
