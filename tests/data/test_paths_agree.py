"""The quick way through a table and the careful one give the same dataset, fingerprint and verdict."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kubeline.data import engine, split
from kubeline.data.dataset import open_dataset
from kubeline.data.rows import Rows, Typing
from kubeline.data.sources import SourceFile
from kubeline.errors import UserError
from kubeline.loading.load import open_tables
from tests.support.artifacts import Maker

# What columns hold, and what may come among it, deep in a file.
KINDS = {
    "integer": ["1", "-7", "0", "42", "123456789012345678"],
    "number": ["1.5", "-0.25", "3", "0.1", "12345.678"],
    "time": ["2013-01-01 05:00:00", "2013-01-02", "2013-01-01T05:00"],
    "word": ["UA", "B6", "long words of any kind", "x" * 40],
}
STRAYS = [
    *(
        "",
        "NA",
        "nan",
        "NULL",
        " 7 ",
        "1e5",
        "007",
        "+3",
        "99999999999999999999",
        "9007199254740993",
        "0.12345678901234567890",
    ),
    *(
        "1,5",
        "12 %",
        "2013-13-45",
        "31/12/2013",
        'a "quoted" word',
        "two\nlines",
        "a,b",
        "true",
        "Ünïcode",
        "-",
        "inf",
        "#N/A",
        "<NA>",
        "\\N",
    ),
]


@st.composite
def sources(draw: Any) -> Any:
    """Part files of one table: columns of a kind, of which some values, at any depth, are of another."""
    names = draw(st.lists(st.sampled_from("abcd"), min_size=1, max_size=3, unique=True))
    kinds = [KINDS[draw(st.sampled_from(sorted(KINDS)))] for _ in names]
    files = []
    for _ in range(draw(st.integers(1, 3))):
        rows = draw(st.sampled_from([1, 5, 40, 1_200]))
        random = np.random.default_rng(draw(st.integers(0, 1_000)))
        columns = [[str(value) for value in random.choice(kind, rows)] for kind in kinds]
        for column in columns:
            for stray in draw(st.lists(st.sampled_from(STRAYS), max_size=3)):
                column[int(random.integers(rows))] = stray
        files.append(list(zip(*columns, strict=True)))
    return names, files


def written(folder: Path, names: list[str], files: list[list[tuple[str, ...]]]) -> list[SourceFile]:
    found = []
    for number, rows in enumerate(files):
        path = folder / f"{number}.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(names)
            writer.writerows(rows)
        found.append(SourceFile(path.name, path, "csv"))
    return found


def stored(folder: Path, files: list[SourceFile], names: list[str], quick: bool) -> object:
    """What comes of the files: types, fingerprint, warnings and the bytes of the parts, or the error."""
    connection = engine.connect(folder, [file.path for file in files])
    target = folder / f"quick-{quick}"
    try:
        rows = Rows(connection, open_tables(connection, files), names, names, "", "", is_sampled=quick)
        writer, warnings = rows.store(target, Typing({}, {}))
    except UserError as error:
        return str(error)
    finally:
        connection.close()
    parts = [part.read_bytes() for part in sorted(target.iterdir())]
    return writer.schema, writer.metadata("")["fingerprint"], warnings, parts


@given(source=sources())
@example(
    source=(
        ["a", "b"],
        [
            [("123456789012345678", "2013-13-45")],
            [("123456789012345678", "42")],
            [("42", "1"), ("0", "1"), ("-7", "1"), ("-7", "1"), ("1", "123456789012345678")],
        ],
    ),
)
@settings(max_examples=25, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_a_csv_that_is_read_once_is_what_it_is_when_all_values_are_classified(
    source: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    names, rows = source
    folder = tmp_path_factory.mktemp("paths")
    files = written(folder, names, rows)
    assert stored(folder, files, names, quick=True) == stored(folder, files, names, quick=False)


TABLES = {
    "numbers": {"a": np.arange(1_000) % 77, "g": np.arange(1_000) % 13},
    "missing groups": {"a": np.arange(40), "g": [None, *range(39)]},
    "groups of NaN": {"a": np.arange(40), "g": [np.nan, *map(float, range(39))]},
    "two rows": {"a": [1, 2], "g": ["x", "y"]},
    "equal rows": {"a": [1] * 5, "g": ["x"] * 5},
    "one row": {"a": [1], "g": ["x"]},
    "no rows": {"a": pa.array([], pa.int64()), "g": pa.array([], pa.string())},
    "few rows": {"a": [1, 2, 3], "g": ["x", "y", "z"]},
}


@pytest.mark.parametrize("by", ["random", "group"])
@pytest.mark.parametrize("table", TABLES)
def test_rows_that_are_drawn_as_they_are_read_are_those_of_the_whole_table(
    table: Any, by: str, tmp_path: Path, artifact: Maker
) -> None:
    source = tmp_path / "table"
    source.mkdir()
    pq.write_table(pa.table(TABLES[table]), source / "part-00000.parquet", row_group_size=100)
    column = "g" if by == "group" else ""

    made = {name: artifact("Dataset", name) for name in ("train", "test", "report")}
    whole = artifact("Dataset", "table")
    whole.uri = str(source)

    def careful() -> list[pa.Table]:
        mask, _ = split.assign(str(source), by, column, 0.2, "", 0)
        rows = open_dataset(source).to_table()
        return [rows.filter(pa.array(~mask)), rows.filter(pa.array(mask))]

    def quick() -> list[pa.Table]:
        split.run(whole, made["train"], made["test"], made["report"], by=by, column=column)
        return [open_dataset(made[name].path).to_table() for name in ("train", "test")]

    assert reported(careful) == reported(quick)
    assert not list(tmp_path.glob(".*"))


def reported(way: Callable[[], list[pa.Table]]) -> str:
    """The sets, or why there are none; NaN equals itself in words."""
    try:
        return repr([part.to_pydict() for part in way()])
    except UserError as error:
        return str(error)
