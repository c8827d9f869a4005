"""An estimator learns from one array, which is what the preprocessing of scikit-learn makes of the rows."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kubeline.roles import Roles
from kubeline.training import categories, estimators, preprocessing
from kubeline.training.categories import Categories
from kubeline.training.matrix import learns_nothing, matrix
from kubeline.training.table import TrainingTable, read
from tests.support.training_tables import for_task, mixed_table


@pytest.fixture
def table(tmp_path: Path) -> TrainingTable:
    for_task(mixed_table(20_000), "binary").to_parquet(tmp_path / "part-00000.parquet")
    derive = {"place": "CASE WHEN rooms > 4 THEN city ELSE 'small' END", "twice": "rooms * 2"}
    return read(str(tmp_path), Roles("y"), "auto", derive=derive)


@pytest.mark.parametrize("name", ["hist_gradient_boosting", "lightgbm"])
@pytest.mark.parametrize("most", [2, 254])
def test_it_is_what_a_column_transformer_makes_of_the_rows(table: TrainingTable, name: str, most: int) -> None:
    estimator, rows = estimators.find(name), np.arange(1, 20_000, 2)
    settings, _ = preprocessing.take({"max_categories": most}, estimator, table.task)
    kinds = {name: kind for name, kind in table.kinds.items() if name != "has garden"}
    columns = preprocessing.build(
        table.encoded.whole(),
        kinds,
        estimator,
        settings,
        table.task,
        list,
        lambda name, n: table.frequent(name, rows, n),
    )
    assert learns_nothing(columns, estimator, settings.category_encoding)
    steps = {title for title, *_ in columns.transformers}
    assert steps == {"numbers", "categories", "codes", "dates"}

    found = matrix(columns.fit(table.encoded.rows(rows[:2])), table, rows, estimator)

    assert found.dtype == estimator.dtype
    np.testing.assert_array_equal(found, columns.fit_transform(table.encoded.rows(rows)))


@pytest.mark.parametrize(
    ("name", "encoding"), [("hist_gradient_boosting", "target"), ("lightgbm", "one_hot"), ("random_forest", "ordinal")]
)
def test_what_learns_from_the_rows_is_left_to_scikit_learn(table: TrainingTable, name: str, encoding: str) -> None:
    estimator = estimators.find(name)
    settings, _ = preprocessing.take({"category_encoding": encoding}, estimator, table.task)
    columns = preprocessing.build(
        table.encoded.whole(), table.kinds, estimator, settings, table.task, lambda: [([0], [1])], lambda *_: ["Bern"]
    )
    assert not learns_nothing(columns, estimator, settings.category_encoding)


@pytest.mark.parametrize(
    "column",
    [
        pa.chunked_array([["b", None, ""], ["a", "b"]], pa.string()),
        pa.chunked_array([["b", None, ""], ["a", "b"]], pa.large_string()),
        pa.chunked_array([pa.array(part).dictionary_encode() for part in (["b", None, ""], ["a", "b"])]),
        pa.chunked_array(  # a text twice, and one that is missing
            [pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, 3, 4]), pa.array(["b", None, "", "a", "b"]))]
        ),
    ],
    ids=["text", "long text", "dictionaries", "a dictionary of any kind"],
)
def test_categories_are_codes_of_different_texts(column: pa.ChunkedArray) -> None:
    found = Categories.of(column)

    assert found.values.tolist() == ["b", "", "", "a", "b"]
    assert sorted(found.texts) == ["", "a", "b"]
    assert found.frequent(np.array([0, 3, 4]), 2) == ["b", "a"]
    assert found.frequent(np.array([0, 3]), 2) == ["a", "b"]  # by name where equal


def test_categories_are_counted_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(categories, "_CACHED", 4)
    codes = np.random.default_rng(0).integers(0, 3, 50).astype(np.int32)
    found = Categories(codes, np.array(["a", "b", "c", ""], dtype=object))
    rows = np.arange(0, 50, 3)
    assert found.counts().tolist() == np.bincount(codes, minlength=4).tolist()
    assert found.counts(rows).tolist() == np.bincount(codes[rows], minlength=4).tolist()
    assert found.counts(rows[:0]).tolist() == [0] * 4


def test_columns_of_text_in_dictionaries_are_read_as_those_without(tmp_path: Path) -> None:
    frame = for_task(mixed_table(), "binary")
    tables = []
    for place, texts in enumerate([True, False]):
        folder = tmp_path / str(place)
        folder.mkdir()
        pq.write_table(pa.Table.from_pandas(frame), folder / "part-00000.parquet", use_dictionary=texts)
        tables.append(read(str(folder), Roles("y"), "auto"))

    one, other = tables
    pd.testing.assert_frame_equal(one.encoded.whole(), other.encoded.whole())
    np.testing.assert_array_equal(one.hashes.values, other.hashes.values)
    assert one.encoded.dtype("city").kind == "O"


def test_a_training_begins_without_the_libraries_that_it_loads_while_it_reads() -> None:
    program = "import sys, kubeline.training.train\nprint(sorted({'sklearn', 'scipy', 'onnx'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
