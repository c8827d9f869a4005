"""Performance without labels: against labels that are drawn, NannyML's own figure, and the flights of each month."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks.estimated import months_of, trained
from components.drift_check.component import drift_check
from examples.flights.prepare import flights as all_flights
from kubeline.drift.estimate import EstimatedAuc, EstimatedLogLoss, EstimatedRmse, expected_auc, performance
from kubeline.drift.profile import Calibration
from kubeline.evaluation.calibration import reliability
from kubeline.evaluation.scored import Scored
from kubeline.model_package.predictor import Predictions
from kubeline.training.expectations import calibration, losses
from tests.support import training
from tests.support.artifacts import make_artifact, make_dataset

EXACT = Calibration(scores=[0.0, 1.0], rates=[0.0, 1.0], rows=10**9, positives=3e8)  # scores are chances


def answers(scores: Any) -> Predictions:
    """Answers of a model of two classes, whose chances are right."""
    return Predictions(scores > 0.5, np.column_stack([1 - scores, scores]))


def test_the_estimate_is_the_auc_of_labels_that_are_drawn_by_the_chances_and_its_interval_holds_them() -> None:
    rng, inside, found = np.random.default_rng(0), 0, []
    for _ in range(300):
        chances = np.sort(rng.beta(1.5, 4, 1_000))
        estimate = expected_auc(chances, np.ones(1_000), EXACT)
        realised = roc_auc_score(rng.random(1_000) < chances, chances)
        inside += abs(realised - estimate.value) <= 1.96 * estimate.error
        found.append(realised - estimate.value)
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(300)
    assert 0.93 <= inside / 300 <= 0.99


def test_the_estimate_is_that_of_nannyml() -> None:
    """What `estimate_roc_auc` of NannyML 0.13.1 gives for these scores, and for other chances of the same scores."""
    scores = np.sort(np.random.default_rng(0).beta(2, 5, 2_000))
    chances = np.clip(1.3 * scores - 0.05, 0.01, 0.99)
    assert expected_auc(scores, np.ones(2_000), EXACT).value == pytest.approx(0.720314625527477, abs=1e-7)
    assert expected_auc(chances, np.ones(2_000), EXACT).value == pytest.approx(0.7662164559738972, abs=1e-7)


def test_the_estimated_calibration_error_is_that_of_labels_that_come_by_the_chances() -> None:
    rng = np.random.default_rng(0)
    scores = rng.beta(2, 5, 200_000)
    labels = rng.random(len(scores)) < np.clip(0.5 * scores + 0.3, 0, 1)
    curve = calibration(scores[:100_000], labels[:100_000], np.ones(100_000))
    counted = EstimatedAuc(curve)
    counted.add(answers(scores[100_000:]))
    chances = np.column_stack([1 - scores, scores])[100_000:]
    came = Scored("binary", ("no", "yes"), labels[100_000:].astype(int), chances.argmax(axis=1), chances, None)
    assert counted.calibration() == pytest.approx(reliability(came).error, abs=0.01)
    assert counted.calibration() > 0.1


def test_few_held_out_rows_make_the_interval_wide() -> None:
    few = EXACT.model_copy(update={"rows": 200, "positives": 60.0})
    chances = np.sort(np.random.default_rng(0).beta(1.5, 4, 100_000))
    assert expected_auc(chances, np.ones(100_000), few).error > 0.03
    assert expected_auc(chances, np.ones(100_000), EXACT).error < 0.003


def test_counts_do_not_depend_on_order_or_chunks_and_keep_the_figure() -> None:
    scores = np.random.default_rng(0).beta(1.5, 4, 10_000)
    whole, parts = EstimatedAuc(EXACT), EstimatedAuc(EXACT)
    whole.add(answers(scores))
    for chunk in np.array_split(np.random.default_rng(1).permutation(scores), 7):
        parts.add(answers(chunk))
    one, other = (performance(each, {"roc_auc": 0.99}) for each in (whole, parts))
    assert one is not None
    assert other is not None
    assert one.value == pytest.approx(other.value, abs=1e-12)
    assert one.value == pytest.approx(expected_auc(np.sort(scores), np.ones(10_000), EXACT).value, abs=1e-4)
    assert one.worse  # than 0.99
    assert performance(EstimatedAuc(EXACT), {}) is None


def drawn(rng: np.random.Generator, rows: int, spread: float) -> tuple[Any, Any]:
    """(n, 3) answers of a model of three classes that is too sure of itself, and (n,) labels by the true chances."""
    logits = rng.normal(0, spread, (rows, 3))
    true, stated = (np.exp(logits * sure) / np.exp(logits * sure).sum(axis=1, keepdims=True) for sure in (1.0, 1.5))
    return stated, (true.cumsum(axis=1) < rng.random((rows, 1))).sum(axis=1)


def test_the_estimated_log_loss_of_three_classes_holds_the_realised_one_where_the_columns_moved() -> None:
    """The share of windows whose interval of both holds the difference; a model that is too sure is seen through."""
    rng, inside = np.random.default_rng(0), 0
    for _ in range(100):
        stated, labels = drawn(rng, 4_000, 1.0)
        curves = {str(k): calibration(stated[:, k], labels == k, np.ones(4_000)) for k in range(3)}
        window, came = drawn(rng, 2_000, 0.7)  # harder rows
        counted = EstimatedLogLoss(curves, ["0", "1", "2"])
        for part in np.array_split(window, 3):
            counted.add(Predictions(part.argmax(axis=1), part))
        found = performance(counted, {"log_loss": 0.85})
        assert found is not None
        realised = -np.log(window[np.arange(2_000), came])
        inside += found.lower <= realised.mean() <= found.upper
    assert realised.mean() > 0.9
    assert found.worse
    assert found.value == pytest.approx(realised.mean(), abs=0.05)
    assert inside >= 90


def test_the_estimated_rmse_of_a_regression_holds_the_realised_one_where_the_columns_moved() -> None:
    """The greater the prediction, the greater the error: a window of greater ones is worse, and that is foreseen."""
    rng, inside = np.random.default_rng(1), 0
    for _ in range(100):
        held, window = rng.gamma(2, 1, 3_000), rng.gamma(4, 1, 1_000)
        target = held + rng.normal(0, 0.3 + 0.2 * np.minimum(held, 4))
        counted = EstimatedRmse(losses(held, target, np.ones(3_000)))
        counted.add(Predictions(window, None))
        found = performance(counted, {"rmse": float(np.sqrt(np.mean((held - target) ** 2)))})
        assert found is not None
        errors = rng.normal(0, 0.3 + 0.2 * np.minimum(window, 4))
        inside += found.lower <= np.sqrt(np.mean(errors**2)) <= found.upper
        assert found.worse
    assert inside >= 90


@pytest.mark.parametrize(("target", "metric"), [("origin", "log_loss"), ("distance", "rmse")])
def test_a_package_of_every_task_lets_a_window_without_labels_be_estimated(
    target: str, metric: str, flights: pd.DataFrame, tmp_path: Path
) -> None:
    rows = flights.drop(columns=["departure", "dest"])
    model = training.trained(tmp_path / "training", rows.head(2_000), target, params={"max_iter": 5})["model"]
    metrics = make_artifact(tmp_path, "Metrics", "metrics")
    window = make_dataset(tmp_path, rows.tail(2_000).drop(columns=target), "window")
    result = make_artifact(tmp_path, name="result")
    pages = {
        "report": make_artifact(tmp_path, "HTML", "page"),
        "evidently_report": make_artifact(tmp_path, "HTML", "e"),
    }
    drift_check.python_func(
        current=window, model=model, result=result, metrics=metrics, **pages, evidently=False, min_auc=1
    )
    found = json.loads(Path(result.path).read_text())["estimate"]
    assert found["metric"] == metric
    assert found["lower"] < found["value"] < found["upper"]
    assert metrics.metadata[f"estimated_{metric}"] == found["value"]


def test_the_estimate_of_a_month_is_the_realised_one_within_their_interval_but_where_the_outcome_changed(
    tmp_path: Path,
) -> None:
    """In October and November fewer flights were late than their columns show, which takes labels to know."""
    table = all_flights()
    months = [table[table["month"] == month] for month in range(1, 13)]
    found = months_of(trained(months, tmp_path, rows=30_000, iterations=40), months)
    outside = []
    for month in found:
        real, guess = month.realised, month.estimated
        assert real.lower is not None
        assert guess.lower is not None
        reach = np.hypot(real.value - real.lower, guess.value - guess.lower)  # of the difference of the two
        if abs(real.value - guess.value) > reach:
            outside.append(month.number)
    assert outside == [10, 11]
