"""The performance of a window counts rows as training did: by weight, and by groups or days that belong together."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from components.drift_check.component import drift_check
from kubeline.data.dataset import iter_batches
from kubeline.drift.performance import LabelledRows
from kubeline.drift.profile import Profile
from kubeline.drift.result import Performance
from kubeline.model_package import ModelPackage
from tests.support.artifacts import Maker
from tests.support.training import trained


def rows(count: int, seed: int) -> pd.DataFrame:
    """On a quarter of the days all is the other way round. Weights favour one half of the rows."""
    rng = np.random.default_rng(seed)
    day = rng.integers(0, 40, count)
    x = rng.normal(size=count)
    heavy = rng.random(count) < 0.5
    turned = np.where(rng.random(40) < 0.25, -1, 1)[day]
    signal = turned * np.where(heavy, 2 * x, -x) + rng.normal(size=count)
    return pd.DataFrame(
        {
            "x": x,
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(day, unit="D"),
            "weight": np.where(heavy, 9.0, 1.0),
            "y": signal > 0,
        }
    )


@pytest.fixture
def package(tmp_path: Path) -> ModelPackage:
    roles = {"weight_column": "weight", "time_column": "day"}
    made = trained(tmp_path / "training", rows(2_000, 0), params={"max_iter": 10}, **roles)
    return ModelPackage.open(made["model"].path)


def judge(package: ModelPackage, window: pd.DataFrame, dataset: Maker) -> tuple[Performance | None, str]:
    found = LabelledRows(package, list(window.columns))
    for batch in iter_batches(dataset(window, "window").path):
        frame = batch.to_pandas()
        found.add(frame, package.predictor().predict(frame))
    performance, _, note = found.performance()
    return performance, note


def test_rows_count_by_weight_and_days_are_resampled_whole(package: ModelPackage, dataset: Maker) -> None:
    window = rows(2_000, 1)
    found, _ = judge(package, window, dataset)
    alone, _ = judge(package, window.drop(columns=["weight", "day"]), dataset)
    assert found is not None
    assert alone is not None
    truth = window["y"].astype(str) == package.signature.positive_class
    scores = package.predictor().predict(window).probabilities[:, package.signature.positive_code]
    assert found.value == pytest.approx(roc_auc_score(truth, scores, sample_weight=window["weight"]))
    assert alone.value == pytest.approx(roc_auc_score(truth, scores))
    dayless, _ = judge(package, window.drop(columns=["day"]), dataset)
    assert dayless is not None
    assert found.value == dayless.value
    assert found.upper - found.lower > 2 * (dayless.upper - dayless.lower)
    assert "rows of the same day of 'day' belong together" in str(found)
    assert str(found).endswith("rows count by 'weight')")
    assert "rows count alike, though training counted by 'weight', which the window does not have" in str(alone)


def test_a_window_of_few_days_says_that_its_interval_does_not_show_how_days_differ(
    package: ModelPackage, dataset: Maker
) -> None:
    found, _ = judge(package, rows(2_000, 1).query("day < '2024-01-05'"), dataset)
    assert found is not None
    assert "the window has only 4 groups or days that belong together; every row is taken as independent" in str(found)


def test_a_weight_that_is_none_ends_the_comparison_with_its_reason_and_not_the_check(
    package: ModelPackage, dataset: Maker
) -> None:
    found, why = judge(package, rows(200, 1).assign(weight=-1.0), dataset)
    assert found is None
    assert "weight column 'weight' holds -9.9 in row 0; weights must be 0 or greater" in why


def test_rows_of_weight_0_are_not_counted(package: ModelPackage, dataset: Maker) -> None:
    window = rows(2_000, 1)
    wrong = window.assign(y=~window["y"], weight=0.0)
    kept, _ = judge(package, window, dataset)
    both, _ = judge(package, pd.concat([window, wrong], ignore_index=True), dataset)
    assert kept is not None
    assert both is not None
    assert (both.value, both.rows) == (pytest.approx(kept.value), kept.rows)


def test_the_check_counts_days_that_belong_together_and_says_so(
    package: ModelPackage, dataset: Maker, artifact: Maker
) -> None:
    assert Profile.read(package.reference()).clusters == 40
    pages = {name: artifact("HTML", name) for name in ("report", "evidently_report")}
    outputs = {"result": artifact("Artifact", "result"), "metrics": artifact("Metrics", "figures"), **pages}
    results = []
    for columns in (["x", "day", "weight"], ["x", "weight"]):  # without labels; the second one does not know its days
        window = dataset(rows(2_000, 1)[columns], "of " + columns[1])
        drift_check.python_func(window, **outputs, reference_uri=str(package.path), evidently=False, min_auc=1)
        results.append(json.loads(Path(outputs["result"].path).read_text()))
    assert [found["verdict"] for found in results] == ["stable", "stable"]
    assert results[0]["assumed"] == "rows of one group or day of 'day' belong together, of which the window has 40"
    assert results[1]["assumed"] == ""
