"""Targets far from zero, tiny and huge: what serves is as good as what was trained."""

import numpy as np
import pandas as pd
import pytest

from kubeline.errors import UserError
from kubeline.model_client.golden import GoldenRows
from kubeline.model_package import ModelPackage, Predictions
from kubeline.model_package.agreement import differences
from kubeline.training.target import spread
from tests.support.training_tables import SMALL, Train

ROWS = 2_000
TARGETS = {
    "three million": (1.0, 3e6),
    "a million": (1.0, 1e6),
    "a million of millions": (1.0, 1e12),
    "minus thirty million": (1.0, -3e7),
    "a millionth": (1e-6, 0.0),
    "a millionth far away": (1e-6, 5.0),
    "1e-30": (1e-30, 0.0),
    "1e+30": (1e30, 0.0),
    "1e+200": (1e200, 0.0),
}


def table(unit: float, origin: float) -> pd.DataFrame:
    """The target is the sum of two normal features, in another unit and elsewhere."""
    a, b = np.random.default_rng(0).normal(size=(2, ROWS))
    return pd.DataFrame({"a": a, "b": b, "y": (a + b) * unit + origin})


def r2(package: ModelPackage, frame: pd.DataFrame, unit: float) -> float:
    """Of what serves."""
    predicted = package.predictor(threads=1).predict(frame).values
    truth = frame["y"].to_numpy()
    return 1 - np.var((predicted - truth) / unit) / np.var(truth / unit)


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("estimator", SMALL)
def test_a_model_serves_as_well_as_it_was_trained_wherever_the_target_is(
    train: Train, estimator: str, name: str
) -> None:
    """At three million LightGBM had an R² of .997 in training and .679 in serving, at a million XGBoost .994, -.107."""
    unit, origin = TARGETS[name]
    frame = table(unit, origin)
    at_zero = r2(train(table(1.0, 0.0), estimator=estimator), table(1.0, 0.0), 1.0)
    package = train(frame, estimator=estimator)
    assert package.manifest.metrics["r2"] == pytest.approx(at_zero, abs=0.02)
    assert r2(package, frame, unit) == pytest.approx(at_zero, abs=0.005)
    assert package.manifest.parity.scale == pytest.approx(np.sqrt(2) * unit, rel=0.05)


@pytest.mark.parametrize("encoding", ["target", "one_hot"])
def test_encodings_of_the_target_are_as_exact(train: Train, encoding: str) -> None:
    frame = table(1.0, 3e6).assign(c=lambda frame: np.where(frame["a"] > 0, "high", "low"))
    package = train(frame, params={"category_encoding": encoding, "max_iter": 20})
    assert r2(package, frame, 1.0) > 0.8


def test_a_loss_of_positive_targets_keeps_them_positive(train: Train) -> None:
    frame = table(1.0, 30.0)
    for params in ({"loss": "poisson", "max_iter": 30}, {"loss": "gamma", "max_iter": 30}):
        assert r2(train(frame, params=params), frame, 1.0) > 0.8
    with pytest.raises(UserError, match="disagree beyond the tolerance 1e-05"):
        train(table(1.0, 3e6), params={"loss": "poisson", "max_iter": 30})


def test_only_the_spread_of_the_target_says_what_a_difference_means(train: Train) -> None:
    """Half a deviation at three million was a relative difference of 2e-7, and agreement."""
    package = train(table(1.0, 3e6))
    golden = GoldenRows.of(package)
    off = Predictions(golden.expected.values + 0.5 * package.manifest.parity.scale, None)
    assert golden.compare(golden.expected).mismatches(1e-4) == []
    assert golden.compare(off).max_difference == pytest.approx(0.5)
    assert len(golden.compare(off).mismatches(1e-4)) == len(golden.records)


def test_a_tiny_prediction_that_is_ten_times_as_large_is_no_agreement(train: Train) -> None:
    """Differences below one counted as they are, so a millionth and ten of them were the same."""
    golden = GoldenRows.of(train(table(1e-6, 0.0)))
    wrong = golden.compare(Predictions(golden.expected.values * 10, None))
    assert len(wrong.mismatches(1e-4)) == len(golden.records)


def test_differences_that_are_no_number_are_infinite_and_neighbours_are_equal() -> None:
    one = Predictions(np.array([1e12, 1e12, np.nan, 1.0]), None)
    other = Predictions(np.array([np.nextafter(1e12, 2e12), 1e12 + 1, 1.0, np.inf]), None)
    assert differences(one, other, 1.0).tolist() == [0.0, 1.0, np.inf, np.inf]


@pytest.mark.parametrize("unit", [1e-300, 1e-30, 1.0, 1e30, 1e300])
def test_the_spread_of_very_large_and_very_small_numbers_is_finite(unit: float) -> None:
    values = np.array([-1.0, 1.0, 3.0, 5.0])
    assert spread(values * unit) == pytest.approx(np.sqrt(5) * unit, rel=1e-12)
