"""Calibrated probabilities are rates, and their curve is one that float32 can follow."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from kubeline.training.calibration import CLIP, MAX_SLOPE, Calibrated, Method
from tests.support.training_tables import Train


class Fixed:
    """A classifier whose probabilities are its input."""

    classes_ = np.array([0, 1])

    def predict_proba(self, X: Any) -> Any:
        return np.column_stack([1 - X[:, 0], X[:, 0]])


def overconfident(rows: int = 20_000, seed: int = 0) -> Any:
    """Scores that are twice as far from even odds as they should be, and what happened."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.02, 0.98, rows)
    odds = 2 * np.log(truth / (1 - truth))
    return 1 / (1 + np.exp(-odds))[:, None], (rng.random(rows) < truth).astype(int), truth


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibration_restores_the_true_rates(method: Method) -> None:
    scores, hits, truth = overconfident()
    calibrated = Calibrated(Fixed(), method).fit(scores, hits)
    error = np.abs(calibrated.predict_proba(scores)[:, 1] - truth).mean()
    assert error < 0.02 < np.abs(scores[:, 0] - truth).mean()


def test_weights_count_as_repeated_rows() -> None:
    scores, hits, _ = overconfident(500)
    weights = np.random.default_rng(1).integers(0, 4, 500)
    once = Calibrated(Fixed(), "sigmoid").fit(scores, hits, weights.astype(float))
    repeated = Calibrated(Fixed(), "sigmoid").fit(np.repeat(scores, weights, axis=0), np.repeat(hits, weights))
    assert np.allclose(once.predict_proba(scores), repeated.predict_proba(scores), atol=1e-4)


@pytest.mark.parametrize("rows", [5, 200, 20_000])
def test_the_isotonic_curve_rises_and_is_nowhere_too_steep(rows: int) -> None:
    scores, hits, _ = overconfident(rows)
    [(x, y)] = Calibrated(Fixed(), "isotonic").fit(scores, hits).curves_
    assert (np.diff(x) > 0).all()
    assert (np.diff(y) >= 0).all()
    assert (np.diff(y) <= MAX_SLOPE * np.diff(x) * (1 + 1e-9)).all()
    assert y.min() >= CLIP


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_rows_of_one_class_alone_do_not_break_it(method: Method) -> None:
    scores, _, _ = overconfident(50)
    found = Calibrated(Fixed(), method).fit(scores, np.zeros(50, dtype=int)).predict_proba(scores)
    assert np.isfinite(found).all()


def test_a_calibrated_balanced_model_gives_the_rate_of_the_table_again(train: Train) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=6_000)})
    frame["y"] = rng.random(6_000) < 0.1 * np.exp(frame["x"].clip(-2, 2)) / 1.6
    rate = frame["y"].mean()
    means = {
        name: train(frame, balanced=True, calibration=name).predictor().predict(frame).probabilities[:, 1].mean()
        for name in ("none", "sigmoid", "isotonic")
    }
    assert means["none"] > 3 * rate
    assert means["sigmoid"] == pytest.approx(rate, rel=0.25)
    assert means["isotonic"] == pytest.approx(rate, rel=0.25)
