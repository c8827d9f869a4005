"""What `evaluate` holds of the test table."""

import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kubeline.data.stored import StoredTable
from kubeline.evaluation.answers import ask
from kubeline.evaluation.bootstrap import Bootstrap
from kubeline.evaluation.calibration import error_interval, reliability
from kubeline.evaluation.comparison import compare_all
from kubeline.evaluation.curves import precision_recall, roc
from kubeline.evaluation.kept import pieces
from kubeline.evaluation.metrics import measure
from kubeline.evaluation.scored import Scored
from kubeline.model_package import ModelPackage
from kubeline.task import Task
from tests.evaluation.packages import people

ROWS = (40_000, 120_000)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of few rows, so that what grows with the table is seen beside them."""
    monkeypatch.setattr("kubeline.evaluation.kept.PIECE_ROWS", 8_192)
    for module in ("tally", "delong"):
        monkeypatch.setattr(f"kubeline.evaluation.{module}.SORTED_ROWS", 8_192)
    monkeypatch.setattr("kubeline.evaluation.tally.SAMPLED", 8_192)
    for module in ("kept", "bootstrap"):
        monkeypatch.setattr(f"kubeline.evaluation.{module}.WHOLE_ROWS", 16_384)


def test_no_answer_stays_in_memory(packages: dict[str, ModelPackage], dataset: Callable[..., Any]) -> None:
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
    assert (peaks[1] - peaks[0]) / (ROWS[1] - ROWS[0]) < 2


def scored(task: Task, rows: int, seed: int = 0) -> Scored:
    """Answers of which each has numbers of its own, kept in files."""
    rng, classes = np.random.default_rng(seed), {"binary": 2, "multiclass": 4, "regression": 0}[task]

    def parts() -> Iterator[Scored]:
        for some in pieces(rows):
            size = some.stop - some.start
            if not classes:
                yield Scored(task, (), rng.normal(size=size), rng.normal(size=size))
                continue
            chances = rng.dirichlet(np.ones(classes), size).astype(np.float32)
            target = (rng.random(size)[:, None] > np.cumsum(chances, axis=1)[:, :-1]).sum(axis=1)
            yield Scored(task, tuple("abcd"[:classes]), target.astype(np.int8), chances.argmax(axis=1), chances)

    return Scored.kept(parts())


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_figures_and_intervals_take_the_same_memory_for_any_number_of_rows(task: Task) -> None:
    peaks = []
    for rows in ROWS:
        model, other = scored(task, rows), scored(task, rows, 1)
        other = replace(other, target=model.target)
        tracemalloc.start()
        try:
            bootstrap = Bootstrap(rows, replicates=10, buckets=64)
            measure(model, bootstrap, 0.95)
            compare_all(model, other, bootstrap, 0.95)
            compare_all(model, model.constant(), bootstrap, 0.95)
            if model.classes:
                reliability(model)
                error_interval(model, bootstrap)
            if task == "binary":
                assert 150 < len(roc(model).threshold) <= 200 >= len(precision_recall(model).recall) > 150
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]  # ranges of rows are about as large, not exactly


def test_a_stored_table_is_read_as_a_frame_is(dataset: Callable[..., Any]) -> None:
    frame = people(100_000, 2)
    table = StoredTable(dataset(frame, "test").path)
    assert (table.columns, len(table)) == (list(frame.columns), len(frame))
    assert table["segment"].equals(frame["segment"])
    assert table[["later", "a"]].equals(frame[["later", "a"]])
    assert len(table[[]]) == len(frame)
    some = np.array([0, 65_535, 65_536, 70_000, 99_999])  # of several chunks
    assert table.take(some, ["b", "segment"]).equals(frame.loc[some, ["b", "segment"]].reset_index(drop=True))
