"""The first step of a run, which tries what all the others will need."""

from pathlib import Path
from typing import Any

import pipelines
from components.preflight.component import preflight
from kubeline.local.parameters import check
from tests.support.artifacts import make_artifact

FINE = "everything that could be tried is fine"


def preflights(pipeline: str, given: dict[str, Any], folder: Path) -> str:
    """The page of the first step of a run with these parameters."""
    values = check(Path(pipelines.__file__).with_name(pipeline) / "kubeflow.yaml", given)
    report = make_artifact(folder, "HTML", f"preflight-{pipeline}")
    taken = {key: value for key, value in values.items() if key in preflight.component_spec.inputs}
    preflight.python_func(report=report, **taken)
    return Path(report.path).read_text(encoding="utf-8")
