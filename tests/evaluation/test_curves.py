"""Curves fit into metadata, and calibration is measured as defined."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import auc, average_precision_score, confusion_matrix, precision_recall_curve, roc_curve

from kubeline.evaluation.calibration import reliability
from kubeline.evaluation.curves import area_below, confusion, precision_recall, roc
from kubeline.evaluation.metrics import METRICS
from kubeline.evaluation.scored import Scored
from kubeline.evaluation.tally import tally


def calibrated(rows: int = 20_000, seed: int = 0) -> Scored:
    """Probabilities that come true as often as they say."""
    rng = np.random.default_rng(seed)
    score = rng.random(rows)
    target = (rng.random(rows) < score).astype(int)
    return Scored("binary", ("no", "yes"), target, (score > 0.5).astype(int), np.column_stack([1 - score, score]))


def test_a_thinned_roc_curve_keeps_its_area_its_ends_and_finite_thresholds() -> None:
    scored = calibrated()
    fpr, tpr, threshold = roc(scored)
    assert len(fpr) <= 200
    assert np.isfinite(threshold).all()
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
    assert (np.diff(threshold) <= 0).all()
    assert auc(fpr, tpr) == pytest.approx(METRICS["binary"]["roc_auc"].value(scored), abs=1e-4)


def test_a_thinned_precision_recall_curve_spans_all_recalls() -> None:
    recall, precision = precision_recall(calibrated())
    assert len(recall) <= 200
    assert (recall.min(), recall.max()) == (0, 1)
    assert ((precision >= 0) & (precision <= 1)).all()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("digits", [1, 17], ids=["ties", "no ties"])
def test_curves_and_average_precision_are_those_of_scikit_learn_to_the_last_digit(digits: int, weighted: bool) -> None:
    rng, rows = np.random.default_rng(0), 3_000
    score = np.round(rng.random(rows), digits)
    weights = rng.integers(0, 5, rows) / 4 if weighted else None
    scored = replace(
        calibrated(rows), probabilities=np.column_stack([1 - score, score]).astype(np.float32), weights=weights
    )
    given = {"y_true": scored.positive, "y_score": scored.score, "sample_weight": weights}

    fpr, tpr, threshold = roc_curve(**given)
    found = roc(scored, points=10 * rows)
    assert np.array_equal(found, [fpr, tpr, np.minimum(threshold, 1.0)])
    precision, recall, _ = precision_recall_curve(**given)
    assert np.array_equal(precision_recall(scored, points=10 * rows), [recall, precision])
    assert area_below(tally(scored.score, scored.positive, weights, 2)) == average_precision_score(**given)


def test_the_confusion_matrix_has_the_truth_in_rows() -> None:
    scored = calibrated(500)
    assert (confusion(scored) == confusion_matrix(scored.target, scored.prediction)).all()


def test_calibrated_probabilities_have_a_small_error_and_lie_in_their_intervals() -> None:
    found = reliability(calibrated())
    assert found.error < 0.02
    inside = (found.lower <= found.predicted) & (found.predicted <= found.upper)
    assert inside.mean() > 0.8


def test_overconfident_probabilities_have_the_error_that_they_are_off_by() -> None:
    scored = calibrated()
    score = np.clip(scored.score + 0.2, 0, 1)
    off = Scored("binary", ("no", "yes"), scored.target, scored.prediction, np.column_stack([1 - score, score]))
    assert reliability(off).error == pytest.approx(0.18, abs=0.02)


def test_the_calibration_error_counts_rows_and_not_bins() -> None:
    score = np.repeat([0.1, 0.9], [900, 100])
    target = np.concatenate([np.arange(900) < 90, np.zeros(100)]).astype(int)  # right for 900 rows, off by 0.9 for 100
    found = reliability(Scored("binary", ("no", "yes"), target, target, np.column_stack([1 - score, score])))
    assert found.rows.tolist() == [900, 100]
    assert found.error == pytest.approx(0.09)


def test_a_single_probability_is_one_bin() -> None:
    found = reliability(calibrated().constant())
    assert len(found.rows) == 1
    assert found.error == pytest.approx(0)


def test_many_classes_are_calibrated_by_the_predicted_one() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(3), 5_000)
    target = (probabilities.cumsum(axis=1) > rng.random((5_000, 1))).argmax(axis=1)
    found = reliability(Scored("multiclass", ("a", "b", "c"), target, probabilities.argmax(axis=1), probabilities))
    assert found.event == "the predicted class"
    assert found.error < 0.03
