"""What `evaluate` holds of the test table."""

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kubeline.data.stored import StoredTable
from kubeline.evaluation.answers import ask
from kubeline.evaluation.bootstrap import Bootstrap
from kubeline.evaluation.calibration import reliability
from kubeline.evaluation.comparison import compare_all
from kubeline.evaluation.metrics import measure
from kubeline.evaluation.scored import Scored
from kubeline.model_package import ModelPackage
from tests.evaluation.packages import people

ROWS = (40_000, 120_000)
ANSWER = 1 + 2 * 4 + 1  # bytes of a row: its label's place, two probabilities, and whether the model was trained on it


def test_of_each_row_only_the_answers_stay_in_memory(
    packages: dict[str, ModelPackage], dataset: Callable[..., Any]
) -> None:
    peaks = []
    for rows in ROWS:
        table = StoredTable(dataset(people(rows, 2), f"test-{rows}").path)
        tracemalloc.start()
        try:
            (found,) = ask(table, [packages["good"]], "")
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        assert len(found.predictions.values) == len(table) == rows
    assert (peaks[1] - peaks[0]) / (ROWS[1] - ROWS[0]) < ANSWER + 2  # and masks once more, for a moment


@pytest.mark.parametrize(("distinct", "most"), [(1_000, 24), (10**9, 24)])  # scores: few, or of each row its own
def test_of_each_row_metrics_and_their_intervals_take_few_bytes(
    distinct: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubeline.evaluation.bootstrap.PIECE_ROWS", 10_000)
    peaks = []
    for rows in ROWS:
        rng = np.random.default_rng(0)
        score = (rng.integers(0, distinct, rows) / distinct).astype(np.float32)
        target, prediction = (some.astype(np.int8) for some in (rng.random(rows) < score, score > 0.5))
        scored = Scored("binary", ("no", "yes"), target, prediction, np.column_stack([1 - score, score]))
        tracemalloc.start()
        try:
            bootstrap = Bootstrap(rows, replicates=10, buckets=64)
            measure(scored, bootstrap, 0.95)
            compare_all(scored, scored.constant(), bootstrap, 0.95)
            reliability(scored)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert (peaks[1] - peaks[0]) / (ROWS[1] - ROWS[0]) < most


def test_a_stored_table_is_read_as_a_frame_is(dataset: Callable[..., Any]) -> None:
    frame = people(100_000, 2)
    table = StoredTable(dataset(frame, "test").path)
    assert (table.columns, len(table)) == (list(frame.columns), len(frame))
    assert table["segment"].equals(frame["segment"])
    assert table[["later", "a"]].equals(frame[["later", "a"]])
    assert len(table[[]]) == len(frame)
    some = np.array([0, 65_535, 65_536, 70_000, 99_999])  # of several chunks
    assert table.take(some, ["b", "segment"]).equals(frame.loc[some, ["b", "segment"]].reset_index(drop=True))
