"""The packages that embedded services serve."""

from dataclasses import dataclass
from pathlib import Path

from kubeline.model_package import ModelPackage


@dataclass(frozen=True)
class Packages:
    """Two models that work, and one that was changed after it was sealed."""

    first: ModelPackage
    second: ModelPackage
    broken: Path
