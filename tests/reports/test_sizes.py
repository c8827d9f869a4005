"""Pages of very wide tables stay below a megabyte, and say what they leave out."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from components.drift_check.component import drift_check
from components.validate.component import validate
from kubeline.model_card.card import ModelCard
from kubeline.model_card.pages import PAGE, forms
from tests.support.artifacts import make_artifact, make_dataset

COLUMNS = 2_000
MOST = 1_000_000  # bytes


def _table(shift: float) -> pd.DataFrame:
    rows = np.random.default_rng(int(shift)).normal(shift, size=(60, COLUMNS))
    return pd.DataFrame(rows, columns=[f"a_column_with_a_long_name_{place:04d}" for place in range(COLUMNS)])


@pytest.mark.slow
def test_the_pages_of_validate_and_drift_check_of_two_thousand_columns_that_all_shifted(tmp_path: Path) -> None:
    made: dict[str, Any] = {}

    def new(kind: str, name: str) -> Any:
        made[name] = make_artifact(tmp_path, kind, name)
        return made[name]

    reference = make_dataset(tmp_path, _table(0), "reference")
    current = make_dataset(tmp_path, _table(3), "current")
    outputs = [
        new("Dataset", "valid"),
        new("Dataset", "quarantine"),
        new("Artifact", "schema"),
        new("HTML", "validate"),
    ]
    validate.python_func(reference, *outputs, mode="warn")
    outputs = [new("Artifact", "result"), new("Metrics", "shift"), new("HTML", "drift"), new("HTML", "evidently")]
    drift_check.python_func(current, *outputs, reference=reference, evidently=False)
    for name in ("validate", "drift", "evidently"):
        assert Path(made[name].path).stat().st_size < MOST, name
    assert re.search(r"The first 50 of 2,000, the drifted", Path(made["drift"].path).read_text(encoding="utf-8"))


def test_the_card_of_two_thousand_columns_and_five_hundred_classes() -> None:
    names = [f"a_column_with_a_long_name_{place:04d}" for place in range(COLUMNS)]
    worth = {"loss": 0.123456789, "spread": 0.0123456789, "lower": 0.1, "upper": 0.15}
    card = ModelCard.model_validate(
        {
            "name": "wide", "about": {}, "limits": [], "lineage": {}, "serving": None, "changes": None,
            "model": {
                "package_digest": "0" * 64, "task": "multiclass", "target": "y", "positive_class": None, "seed": 0,
                "classes": [f"a class with a name {place}" for place in range(500)], "estimator": "linear",
                "params": {}, "features": [{"name": name, "kind": "number"} for name in names],
            },
            "training": {"table": {}, "roles": {}, "score_name": "log_loss", "score": 1.0, "metrics": {}},
            "evaluation": {
                "verdict": "promote", "reasons": [], "table": {}, "rows_judged": 1, "assumed": "", "confidence": 0.95,
                "deciding_metric": "log_loss", "metrics": {}, "checks": [], "calibration": None,
                "slices": [
                    {"slice": f"c={place}", "rows": 1, "measured": {"value": 0.5, "lower": 0.4, "upper": 0.6}}
                    for place in range(3_000)
                ],
                "importances": [{"feature": name, **worth} for name in names],
                "importances_together": [{"features": names, **worth}],
            },
        }
    )  # fmt: skip
    made = forms(card)
    assert all(len(made[name].encode()) < MOST for name in (PAGE, "README.md"))
    assert "the first 100 of 2,000" in made[PAGE]
