"""One pass where the first rows determine the types, and the careful way where they do not: the same table by both."""

import itertools
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pads
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kubeline.data import duck, engine, lines, styles
from kubeline.data.duck import Connection
from kubeline.data.limits import SETTING
from kubeline.data.lines import Lines, estimated_rows
from kubeline.data.notation import PLAIN
from kubeline.data.plain import PlainColumn, seeming
from kubeline.data.reading import Table
from kubeline.data.rows import Rows, Typing
from kubeline.data.sources import SourceFile, stage
from kubeline.data.tables import agree, open_file
from kubeline.data.text import EXACT, class_of
from kubeline.errors import KubelineError, UserError
from tests.support.loading import Load

# One value of each class of `kubeline.data.text`, of each missing word, and what is nearly one of them.
VALUES = {
    "whole numbers": ["0", "7", "-12", "123456789012345", "-0"],
    "numbers": ["0.5", "-3.25", "2.0", ".5", "1.", "0.0001", "12345.678901"],
    "of exponents": ["1e-05", "2.5E3", "-1e400", "1e-400", "inf", "-Infinity", "0e5", "0.000000", "1e-324"],
    "of many digits": [
        "0.12345678901234567",
        "9007199254740993",
        "3.141592653589793",
        "0.00001234567890123",
        "1" * 17,
        "9" * 19,
        "1" * 25,
    ],
    "codes": ["007", "-01", "00", "00.5", "0x1F", "-0xA", "-00.5"],
    "missing": ["", "NA", "nan", "NaN", "None", " NA ", "null", '""', '" "', '"NA"'],
    "quoted": ['"7"', '"a"', '"a""b"', '"""a"""', '"a"b', 'a"b', '"a" ', ' "a"', '"a,""b"', '""""', '"a""'],
    "times": [
        "2013-01-01",
        "2013-01-01 05:00",
        "2013-02-28T05:00:59",
        "0001-01-01",
        "2013-02-30",
        "2013-01-01 24:00:00",
    ],
    "fine times": ["2013-01-01 05:00:00.123", "2013-01-01 05:00:00.123456789", "2013-01-01T05:00:00Z"],
    "truth": ["true", "False", "TRUE"],
    "words": [
        "cat",
        "Namibia",
        "x y",
        "é",
        '"quoted, ""so"""',
        '"two\nlines"',
        "-",
        "--1",
        "+5",
        "1_000",
        "0x10",
        "1-2",
    ],
    "of people": ['"1.234,56"', "12 %", "31/12/2013", "€ 5", '"1,5"'],
    "with blanks": [" 5", "7 ", " 0.5 ", "\t5", " x"],
}
STARTS = ("whole numbers", "numbers", "times", "words", "codes", "truth", "of people", "missing", "quoted")


def table_of(parts: list[list[list[str]]], columns: int, end: str = "\n") -> Callable[[Path], str]:
    """A folder of CSV files: part, row, value."""

    def make(folder: Path) -> str:
        for number, rows in enumerate(parts):
            lines = [",".join(f"c{column}" for column in range(columns)), *(",".join(row) for row in rows)]
            (folder / f"{number}.csv").write_bytes((end.join(lines) + end).encode())
        return str(folder)

    return make


def stored(source: str, is_sampled: bool, where: str = "") -> tuple[object, ...]:
    """Everything that `load` makes of a source: schema, rows, fingerprint and warnings, or its error."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        files = stage(source, "auto", scratch)
        try:
            with engine.connect(scratch, [file.path for file in files]) as connection:
                tables = [open_file(connection, file) for file in files]
                names = agree(tables)
                rows = Rows(connection, tables, names, names, where, is_sampled=is_sampled)
                writer, warnings = rows.store(scratch / "dataset", Typing({}, {}, PLAIN))
        except KubelineError as error:
            return type(error), str(error)
        table = pads.dataset(str(scratch / "dataset")).to_table()
        return writer.metadata("")["fingerprint"], str(table.schema), table.num_rows, warnings


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[list[list[str]]], int]:
    """Columns that begin as one class, of which others come deep down or in a later file."""
    columns = draw(st.integers(1, 4))
    rows = draw(st.sampled_from([30, 1_500]))
    parts = draw(st.integers(1, 3))
    shuffled = random.Random(draw(st.integers(0, 2**32)))  # noqa: S311 - filling of a table
    made = []
    for _ in range(columns):
        first = VALUES[draw(st.sampled_from(STARTS))]
        values = [[shuffled.choice(first) for _ in range(rows)] for _ in range(parts)]
        for _ in range(draw(st.integers(0, 3))):
            part, row = shuffled.randrange(parts), shuffled.randrange(rows)
            values[part][row] = draw(st.sampled_from([value for group in VALUES.values() for value in group]))
        made.append(values)
    return [[[made[c][part][row] for c in range(columns)] for row in range(rows)] for part in range(parts)], columns


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(tables(), st.sampled_from(["", "", "c0 IS NOT NULL", "c0 > 1"]), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_one_pass_gives_the_same_dataset_warnings_and_errors_as_classifying_every_value(
    table: tuple[Any, Any], where: str, end: str, has_blocks: bool
) -> None:
    parts, columns = table
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        if has_blocks:
            patch.setenv(SETTING, "0.0005")  # lines of 4 kB at most, of which half are parsed at a time
        source = table_of(parts, columns, end)(Path(folder))
        assert stored(source, True, where) == stored(source, False, where)


@pytest.mark.parametrize("kind", ["BIGINT", "DOUBLE"])
def test_a_number_that_is_read_without_the_engine_is_what_the_engine_says(kind: str) -> None:
    drawn = random.Random(0)  # noqa: S311 - filling of a table
    parts = [["", "-", "+"], ["", "0", "00", "0x", "7"], ["", "12", "345678", "1" * 15], ["", ".", ".0", ".25", "_5"]]
    parts += [["", "0000", "9" * 12], ["", "", "", "e5", "E-400", "e400", "e-3", " "]]
    texts = sorted({"".join(map(drawn.choice, parts)) for _ in range(120)} - {"", "-"})
    with engine.in_memory() as connection:
        select = f"{class_of('trim(v)')}, try_cast(trim(v) AS {kind})"
        stated = connection.from_arrow(pa.table({"v": texts})).project(select).fetchall()
        wanted = ("integer", "large") if kind == "BIGINT" else EXACT
        for written, (found, value) in zip(texts, stated, strict=True):
            read = PlainColumn(kind).read(pa.array([written]), connection)
            assert (None if read is None else read.to_pylist()) == ([value] if found in wanted else None), written


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.sampled_from([value for name in VALUES if name != "quoted" for value in VALUES[name]]),
        min_size=1,
        max_size=4,
    )
)
def test_what_first_lines_seem_to_hold_is_what_the_engine_says_of_them(drawn: list[str]) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        engine.connect(Path(folder)) as connection,
    ):
        path = Path(folder) / "t.csv"
        path.write_text("a,b\n" + "".join(f"{value},1\n" for value in drawn), encoding="utf-8")
        table = open_file(connection, SourceFile("t.csv", path, "csv"))
        found, stated = (
            {
                name: (column.kind, column.sample)
                for name, column in seeming(connection, [each], ["a"], {}, {}, PLAIN).items()
            }
            for each in (table, replace(table, lines=()))
        )
        assert found == stated


@pytest.mark.parametrize(
    ("value", "is_started"), [("2.5", False), ("2013-01-01", False), ("word", False), ("true", True)]
)
def test_the_engine_starts_for_a_csv_only_where_its_first_lines_leave_something_open(
    value: str, is_started: bool, tmp_path: Path
) -> None:
    program = """if True:
        import sys
        from types import SimpleNamespace
        from kubeline.loading import load
        load.run(sys.argv[1], SimpleNamespace(path=sys.argv[2], uri=sys.argv[2], metadata={}))
        print("duckdb" in sys.modules)
    """
    (tmp_path / "t.csv").write_text("a,b\n" + f"1,{value}\n,\n" * 10)
    command = [sys.executable, "-c", program, str(tmp_path / "t.csv"), str(tmp_path / "out")]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert found.stdout == f"{is_started}\n"


def test_an_engine_that_starts_later_is_locked_when_it_does(tmp_path: Path) -> None:
    with engine.later(lambda: engine.connect(tmp_path)) as connection:
        engine.lock(connection, columns=300)
        with connection.cursor() as other:
            assert other.sql("SELECT current_setting('threads')").fetchall() == [(1,)]
            with pytest.raises(duck.errors(), match="locked"):
                other.execute("SET threads = 2")


def test_the_progress_of_a_load_knows_about_how_many_rows_will_come(tmp_path: Path) -> None:
    files = []
    for number, rows in enumerate([40_000, 10]):
        path = tmp_path / f"{number}.csv"
        path.write_text("a,b\n" + "".join(f"{row},{row / 7:.4f}\n" for row in range(rows)))
        files.append(Lines(path, ",", ["a", "b"], "\n"))
    assert estimated_rows(files) == pytest.approx(40_010, rel=0.1)
    assert estimated_rows([]) == 0


@pytest.mark.parametrize("is_seen", [False, True])
def test_blocks_are_filled_again_unless_something_still_looks_at_them(
    is_seen: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[Any] = []  # held, so that each block is another object
    reader = pa.BufferReader

    def read(block: bytearray) -> pa.BufferReader:
        used.append(memoryview(block) if is_seen else block)
        return reader(block)

    monkeypatch.setattr(lines, "BLOCK", 64)
    monkeypatch.setattr(pa, "BufferReader", read)
    numbers, files = iter(range(10_000)), list[Lines]()
    for rows in (200, 1, 0, 500, 3):
        values = [f"{number},{'x' * (number % 100)}" for number in itertools.islice(numbers, rows)]
        path = tmp_path / f"{len(files)}.csv"
        path.write_text("\n".join(["a,b", *values]) + "\n" * (rows % 2), encoding="utf-8")
        files.append(Lines(path, ",", ["a", "b"], "\n"))
    table = pa.Table.from_batches(lines.read(files, ["a", "b"], lambda batch: batch))
    assert table["a"].to_pylist() == [str(number) for number in range(704)]
    assert [len(text or "") for text in table["b"].to_pylist()] == [number % 100 for number in range(704)]
    assert is_seen or len({id(block) for block in used}) < len(used) / 4


def test_a_text_of_two_lines_deep_in_a_file_leaves_the_rows_before_and_after_it_as_they_are(
    tmp_path: Path, load: Load
) -> None:
    rows = [f"{number},{number / 4},word {number % 7}" for number in range(400_000)]
    rows[390_000] = '390000,97500.0,"two\nlines"'
    (tmp_path / "t.csv").write_text("\n".join(["a,b,c", *rows]) + "\n")
    assert (tmp_path / "t.csv").stat().st_size > 8_500_000  # several blocks
    frame = load(tmp_path / "t.csv").frame
    assert frame["a"].tolist() == list(range(400_000))
    assert frame["b"].tolist() == [number / 4 for number in range(400_000)]
    words = [f"word {number % 7}" for number in range(400_000)]
    assert frame["c"].tolist() == [*words[:390_000], "two\nlines", *words[390_001:]]


def test_columns_that_the_engine_reads_keep_their_order_whatever_they_are_called(tmp_path: Path, load: Load) -> None:
    rows = [
        ("true", "1970-01-01T00:00:00Z", 7),
        ("false", "2013-01-01T05:00:00Z", 3),
        ("true", "2012-01-01T00:00:00Z", 5),
    ]
    (tmp_path / "t.csv").write_text("N,n_,x\n" + "".join(f"{a},{b},{c}\n" for a, b, c in rows * 20))
    frame = load(tmp_path / "t.csv").frame
    assert frame["N"].tolist() == [True, False, True] * 20
    assert [time.year for time in frame["n_"]] == [1970, 2013, 2012] * 20
    assert frame["x"].tolist() == [7, 3, 5] * 20


def test_the_first_rows_are_read_once_for_the_type_of_a_text_column_and_the_warning_about_it(
    tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def sample(connection: Connection, table: Table, columns: list[str]) -> dict[str, list[str]]:
        asked.extend(columns)
        return styles.sample(connection, table, columns)

    monkeypatch.setattr("kubeline.data.rows.sample", sample)
    cells = ["a,b\n", *(f"{number} lb,word {number}\n" for number in range(100, 999))]
    (tmp_path / "t.csv").write_text("".join(cells), encoding="utf-8")
    (warning,) = load(tmp_path / "t.csv").metadata["warnings"]
    assert warning.startswith("column 'a' looks like numbers with a unit ('999 aa')")
    assert asked == []


def test_times_without_an_offset_beside_those_with_one_are_utc_wherever_the_machine_is(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,t\n" + "1,2013-01-01T05:00:00Z\n2,2013-01-01 05:00\n" * 10)
    program = """if True:
        import sys
        from types import SimpleNamespace
        from kubeline.data import dataset
        from kubeline.loading import load
        made = SimpleNamespace(path=sys.argv[2], uri=sys.argv[2], metadata={})
        load.run(sys.argv[1], made, types={"t": "time"})
        print(dataset.read_frame(made.path)["t"].astype(str).unique())
    """
    found = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "t.csv"), str(tmp_path / "out")],
        env={**os.environ, "TZ": "America/New_York"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout == "['2013-01-01 05:00:00+00:00']\n"


@pytest.mark.parametrize("group", VALUES)
def test_a_value_of_any_kind_deep_down_gives_what_all_values_say(group: Any, tmp_path: Path) -> None:
    """After a thousand rows of each kind, one value of another; apart where an error of one would hide the others."""
    first = {name: VALUES[name][0] for name in STARTS}
    numbers, times = (
        [first.pop("whole numbers"), first.pop("numbers"), first.pop("quoted"), "2.5"],
        [first.pop("times")],
    )
    for starts in (numbers, [*times, "cat"], list(first.values())):
        for value in VALUES[group][:3]:
            source = table_of([[starts] * 1_010 + [[value] * len(starts)]], len(starts))(tmp_path)
            assert stored(source, True) == stored(source, False), (starts, value)


def test_whole_numbers_that_become_fractions_in_a_later_file_are_numbers_in_both(tmp_path: Path, load: Load) -> None:
    (tmp_path / "a.csv").write_text("x,t\n" + "1,a\n" * 2_000)
    (tmp_path / "b.csv").write_text("x,t\n2.5,b\n")
    frame = load(tmp_path).frame
    assert frame["x"].tolist() == [1.0] * 2_000 + [2.5]
    assert frame["t"].tolist() == ["a"] * 2_000 + ["b"]


def test_a_file_that_breaks_off_behind_a_stray_value_is_reported_as_such(tmp_path: Path, load: Load) -> None:
    (tmp_path / "t.csv").write_text("x\n" + "1\n" * 2_000 + "2.5\n" * 100_000 + "1,2\n")
    with pytest.raises(KubelineError, match=r"^line 102,002 of '.*t.csv' has 2 fields, but the header has 1"):
        load(tmp_path / "t.csv")
    assert not list(tmp_path.glob("loaded-*/*"))


def test_no_thread_is_left_behind_by_a_table_that_cannot_be_read(tmp_path: Path, load: Load) -> None:
    import threading

    before = threading.active_count()
    (tmp_path / "t.csv").write_text("x\n" + "1\n" * 200_000 + "1,2\n")
    with pytest.raises(KubelineError):
        load(tmp_path / "t.csv")
    assert threading.active_count() == before
    assert pa.total_allocated_bytes() < 2**28


@pytest.mark.parametrize("last", ["1,x", "1.5,x", "1,", "1,2,3", '"1,x'])
def test_many_small_files_give_what_one_large_one_gives_and_a_broken_one_is_named(
    last: str, tmp_path: Path, load: Load
) -> None:
    for number in range(30):
        (tmp_path / f"{number:02d}.csv").write_text(
            f"a,b\n{number},{'xyz'[number % 3]}\n" if number < 29 else f"a,b\n{last}\n"
        )
    found = stored(str(tmp_path), True)
    if found[0] is UserError:
        assert f"'{tmp_path}/29.csv'" in str(found[1])
    else:
        assert found == stored(str(tmp_path), False)
        assert found[2] == 30
        rows = pads.dataset(str(load(tmp_path).path)).to_table()
        assert rows["a"].to_pylist()[:29] == list(range(29))
