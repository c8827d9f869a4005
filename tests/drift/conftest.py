"""The component `drift_check`, run on real artifacts."""

from pathlib import Path
from typing import Any

import pytest
from kfp import dsl

from components.drift_check.component import drift_check
from tests.drift.helpers import OUTPUTS, Run
from tests.support.artifacts import make_artifact


@pytest.fixture
def check(tmp_path: Path) -> Run:
    """Run the component; returns its output parameters and its artifacts."""

    def run(current: dsl.Dataset, **arguments: Any) -> tuple[Any, dict[str, Any]]:
        outputs = {name: make_artifact(tmp_path / "out", kind, name) for name, kind in OUTPUTS.items()}
        arguments = {"evidently": False, "min_auc": 1.0, **arguments}
        return drift_check.python_func(current, **outputs, **arguments), outputs

    return run
