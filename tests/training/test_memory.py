"""A training says what it will take of memory before it takes it, and refuses what does not fit."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kubeline.data.limits import readable
from kubeline.errors import UserError
from kubeline.roles import Roles
from kubeline.training import memory, train
from kubeline.training.estimators import ESTIMATORS
from tests.support.artifacts import Maker

ROWS = 2_000_000  # of one value, which are written in a moment


@pytest.fixture
def dataset(tmp_path: Path, artifact: Maker) -> Any:
    """A table that is small on disk, and more than it seems in memory."""
    found = artifact("Dataset", "dataset")
    Path(found.path).mkdir(parents=True)
    table = pa.table({"x": np.zeros(ROWS, np.int8), "y": np.zeros(ROWS, np.int8)})
    pq.write_table(table, Path(found.path) / "part-00000.parquet")
    return found


def test_a_table_that_does_not_fit_is_refused_before_it_is_read(
    dataset: Any, artifact: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(memory.SETTING, "400Mi")
    outputs = [artifact(kind, name) for kind, name in (("Model", "model"), ("Metrics", "metrics"), ("HTML", "report"))]
    sentence = (
        r"^2,000,000 rows of 2 columns take about 4\d\d MB of memory for random_forest, and there are 400 MB; give the "
        r"step more \(memory_limit\), or load fewer columns, or fewer rows, such as by where: hash\(id\) % \d = 0$"
    )
    with pytest.raises(UserError, match=sentence):
        train.run(dataset, *outputs, target="y", estimator="random_forest")
    assert not any(Path(output.path).exists() for output in outputs)


def test_what_a_training_takes_is_said_before_it_starts(
    dataset: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(memory.SETTING, "64G")
    settings = type("One", (), {"estimator": "lightgbm", "params": {}, "workers": {}, "task": "auto"})
    with caplog.at_level(logging.INFO):
        found = readable(memory.check(dataset.path, [settings], Roles("y")))
    said = f"2,000,000 rows of 2 columns take about {found} of memory for lightgbm; there are 60 GB"
    assert said in caplog.text


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_more_rows_columns_and_levels_take_more(estimator: str) -> None:
    random = np.random.default_rng(0)
    words = [f"word {number}" for number in random.integers(0, 100, 1_000)]
    plain = pa.record_batch({"a": random.random(1_000), "b": random.random(1_000), "c": words})
    base = memory.need(plain, 1_000_000, estimator, {})
    assert memory.need(plain, 2_000_000, estimator, {}) > base
    assert memory.need(plain.select(["a", "c"]), 1_000_000, estimator, {}) < base
    assert memory.need(plain, 1_000_000, estimator, {}, ["a"]) < base
    ordinal = memory.need(plain, 1_000_000, estimator, {"category_encoding": "ordinal"})
    hot = memory.need(plain, 1_000_000, estimator, {"category_encoding": "one_hot"})
    dense = ordinal + 100 * 4 * 1_000_000
    assert hot == ordinal if estimator == "linear" else hot > dense  # which keeps no zeros


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"memory.max": "536870912\n"}, 512 << 20),
        ({"memory/memory.limit_in_bytes": "268435456\n"}, 256 << 20),
        ({"memory.max": "max\n"}, None),
        ({"memory/memory.limit_in_bytes": "9223372036854771712\n"}, None),
        ({}, None),
    ],
)
def test_the_limit_is_the_least_of_container_and_machine(
    files: dict[str, Any], expected: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(memory.SETTING, raising=False)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    found = memory.limit(tmp_path)
    assert found == expected if expected else found > 1 << 30


@pytest.mark.parametrize(("given", "expected"), [("4Gi", 4 << 30), ("1.5G", 1_500_000_000), ("123", 123)])
def test_the_limit_can_be_set(given: str, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(memory.SETTING, given)
    assert memory.limit() == expected


@pytest.mark.parametrize("given", ["lots", "4 Gi", "0", "-1", "4GiB", "inf", "NaN", "1e999999999"])
def test_a_limit_that_is_no_quantity_is_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(memory.SETTING, given)
    with pytest.raises(UserError, match=f"^KUBELINE_MEMORY_LIMIT is '{given}'; expected a quantity of memory such as"):
        memory.limit()


def test_many_classes_take_more_by_their_rows_and_trees(artifact: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    found = artifact("Dataset", "classes")
    Path(found.path).mkdir(parents=True)
    words = [f"class {number % 500}" for number in range(5_000)]
    pq.write_table(pa.table({"x": np.zeros(5_000), "y": words}), Path(found.path) / "part-00000.parquet")
    monkeypatch.setenv(memory.SETTING, "1Gi")
    outputs = [artifact(kind, name) for kind, name in (("Model", "model"), ("Metrics", "metrics"), ("HTML", "report"))]
    sentence = (
        r"^5,000 rows of 2 columns and 500 classes take about \d.* of memory for random_forest, and there are 1 GB"
    )
    with pytest.raises(UserError, match=sentence):
        train.run(found, *outputs, target="y", estimator="random_forest")
    few = memory.of_classes(5_000, 500, "hist_gradient_boosting", {"max_iter": 5})
    assert few < memory.of_classes(5_000, 500, "hist_gradient_boosting", {}) < 2 << 30
