"""Artifacts as KFP gives them to a step."""

from collections.abc import Callable
from typing import Any

from kubeline.testing import make_artifact, make_dataset

__all__ = ["Maker", "make_artifact", "make_dataset"]

Maker = Callable[..., Any]
