"""What the tests of `load` share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd


class Loaded(NamedTuple):
    """What the component made of a source."""

    frame: pd.DataFrame
    metadata: dict[str, Any]
    path: Path


Load = Callable[..., Loaded]
"""`load(source, **parameters)`, a fixture."""
