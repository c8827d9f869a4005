"""What permutation importance finds, and what it costs."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kubeline.evaluation.importance import REPEATS, SAMPLE, SampledRows, importances, sample_size
from kubeline.evaluation.metrics import METRICS
from kubeline.evaluation.scored import Scored
from kubeline.model_package.formats import SERVING
from kubeline.model_package.predictor import ServingPredictor
from kubeline.typing import Array
from tests.support.packages import write_tiny_package

ROWS = 60


@pytest.mark.parametrize("features", [1, 30, 300, 1000])
def test_the_cost_of_importances_is_bounded_and_not_of_the_square_of_the_columns(features: int) -> None:
    assert sample_size(features) <= SAMPLE
    assert sample_size(features) * REPEATS * features**2 <= 2e9


def test_a_usual_table_is_sampled_whole_and_one_of_thousands_of_columns_still_is_ranked() -> None:
    assert sample_size(100) == SAMPLE
    assert sample_size(2000) == sample_size(5000) == 250


class Counting(ServingPredictor):
    """Counts how often rows are read."""

    readings = 0

    def tensors(self, inputs: dict[str, Array]) -> dict[str, Array]:
        self.readings += 1
        return super().tensors(inputs)


def test_importances_are_those_of_shuffled_columns_and_the_table_is_read_once_however_many_columns_it_has(
    tmp_path: Path,
) -> None:
    package = write_tiny_package(tmp_path / "package")
    predictor = Counting((Path(package.path) / SERVING).read_bytes(), package.signature)
    rng, classes = np.random.default_rng(1), list(predictor.signature.classes or ())
    frame = pd.DataFrame(
        {
            "amount": rng.normal(size=ROWS),
            "carrier": rng.choice(["AA", "UA", "ZZ"], ROWS),
            "rush": rng.choice([True, False], ROWS),
            "departure": pd.date_range("2024-01-01", periods=ROWS),
        }
    )
    inputs = predictor.signature.encode(frame)
    scored = Scored.of(classes, classes[1], rng.integers(0, 2, ROWS), predictor.predict_inputs(inputs))
    metric = METRICS["binary"]["log_loss"]

    predictor.readings = 0
    rng = np.random.default_rng(3)
    sample = SampledRows.of(predictor, lambda at: frame.iloc[at], scored, rng)
    alone, together = importances(predictor, sample, metric, rng)
    found = {one.features[0]: one.loss for one in alone}
    assert together == []
    assert predictor.readings == 1

    again = np.random.default_rng(3)
    again.permutation(ROWS)  # the sample
    for name, column in inputs.items():
        losses = []
        for _ in range(REPEATS):
            answer = predictor.predict_inputs({**inputs, name: again.permutation(column[:, 0])[:, None]})
            losses.append(metric.value(Scored.of(classes, classes[1], scored.target, answer)) - metric.value(scored))
        assert found[name] == pytest.approx(np.mean(losses), abs=1e-9), name
    assert max(found.values()) > 0
