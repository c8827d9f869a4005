"""The interval of the expected calibration error: it holds the true one, which for a calibrated model is 0."""

import numpy as np
import pytest

from kubeline.evaluation.bootstrap import Bootstrap
from kubeline.evaluation.calibration import error_interval, reliability
from kubeline.evaluation.scored import Scored
from kubeline.typing import Array

ROWS, DAYS, TIMES = 3_000, 30, 60
OF_DAYS = np.repeat(np.arange(DAYS), ROWS // DAYS)


def drawn(rng: np.random.Generator, off: float, shift: float) -> Scored:
    """A model whose probabilities are too great by `off`; each day has a shift of its own beside."""
    chances = rng.uniform(0.2, 0.8, ROWS)
    happened = rng.random(ROWS) < chances - off + shift * rng.normal(size=DAYS)[OF_DAYS]
    probabilities = np.column_stack([1 - chances, chances])
    return Scored("binary", ("no", "yes"), happened.astype(int), probabilities.argmax(axis=1), probabilities, None)


def held(off: float, shift: float, clusters: Array | None) -> tuple[float, float]:
    """How often of 1 the interval holds the true error, and how often it is above 0."""
    rng, inside, above = np.random.default_rng(7), 0, 0
    for _ in range(TIMES):
        model = drawn(rng, off, shift)
        found = error_interval(model, Bootstrap(ROWS, 200, clusters=clusters))
        assert found.value == pytest.approx(reliability(model).error)
        inside += found.lower <= off <= found.upper
        above += found.lower > 0
    return inside / TIMES, above / TIMES


def test_the_interval_of_independent_rows_holds_the_true_error_and_0_only_where_the_model_may_be_calibrated() -> None:
    assert held(0.0, 0.0, None)[0] >= 0.93
    inside, above = held(0.1, 0.0, None)
    assert inside >= 0.93
    assert above == 1.0


def test_days_that_are_alike_are_resampled_whole_and_taken_alone_they_would_say_too_much() -> None:
    assert held(0.0, 0.08, OF_DAYS)[0] >= 0.87  # 95 %, of 60
    assert held(0.0, 0.08, None)[0] < 0.87
