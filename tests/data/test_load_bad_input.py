"""Each bad input is one sentence that says what to do, and leaves nothing behind."""

import gzip
import os
import re
import resource
import sqlite3
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kfp import dsl

from components.load.component import load
from kubeline.errors import KubelineError, PlatformError, UserError

ROWS = "a,b\n1,x\n2,y\n"
PARQUET = pa.BufferOutputStream()
pq.write_table(pa.table({"a": np.arange(1000)}), PARQUET)
WHOLE_PARQUET = PARQUET.getvalue().to_pybytes()


def one(name: str, content: str | bytes) -> Callable[[Path], str]:
    """A source of one file."""

    def make(folder: Path) -> str:
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return str(folder / name)

    return make


def many(**contents: str | bytes) -> Callable[[Path], str]:
    """A source of a folder; underscores in names are dots."""

    def make(folder: Path) -> str:
        for name, content in contents.items():
            one(name.replace("_", "."), content)(folder)
        return str(folder)

    return make


def parquets(*tables: pa.Table) -> Callable[[Path], str]:
    """A source of a folder of Parquet files."""

    def make(folder: Path) -> str:
        for number, table in enumerate(tables):
            pq.write_table(table, folder / f"{number}.parquet")
        return str(folder)

    return make


def zipped(**members: str) -> Callable[[Path], str]:
    """A source of a zip archive."""

    def make(folder: Path) -> str:
        with zipfile.ZipFile(folder / "t.zip", "w") as archive:
            for name, content in members.items():
                archive.writestr(name.replace("_", "."), content)
        return str(folder / "t.zip")

    return make


def database(folder: Path) -> str:
    """A SQLite source with a table `t`."""
    with sqlite3.connect(folder / "t.db") as connection:
        connection.execute("CREATE TABLE t (a, b)")
        connection.execute("INSERT INTO t VALUES (1, 'x'), ('two', 'y')")
    connection.close()
    return f"sqlite:///{folder}/t.db"


Case = tuple[Callable[[Path], str] | str, dict[str, Any], str]
CASES: dict[str, Case] = {
    "no source": ("", {}, "source is empty; give a path, a folder, a glob or an address"),
    "missing file": ("{0}/none.csv", {}, "there is no file at '{0}/none.csv'; check the path"),
    "missing file by address": ("file://{0}/none.csv", {}, "there is no file at '{0}/none.csv'; check the path"),
    "file of another host": ("file://host/x.csv", {}, "'file://host/x.csv' names the host 'host'; a file on this *"),
    "glob without a match": ("{0}/*.csv", {}, "nothing matches '{0}/*.csv'; check the path"),
    "empty folder": (many(), {}, "the folder '{0}' holds no files; check the path"),
    "empty file": (one("t.csv", ""), {}, "'{0}/t.csv' is empty; expected a table with at least one row"),
    "empty archive": (zipped(), {}, "the archive '{0}/t.zip' holds no files; give one with a table in it"),
    "blank file": (one("t.csv", "\n\n"), {}, "the first line of '{0}/t.csv' is blank; expected column names"),
    "header only": (one("t.csv", "a,b\n"), {}, "'{0}/t.csv' has columns but no rows; expected at least one row"),
    "Parquet without rows": (
        parquets(pa.table({"a": pa.array([], pa.int64())})),
        {},
        "'{0}' has columns but no rows; expected at least one row",
    ),
    "too few fields": (
        one("t.csv", "a,b\n1,x\n2\n"),
        {},
        "line 3 of '{0}/t.csv' has 1 fields, but the header has 2; mend the line, quote what holds delimiters",
    ),
    "too many fields": (
        one("t.csv", "a,b\n1,x,y\n"),
        {},
        "line 2 of '{0}/t.csv' has 3 fields, but the header has 2; *",
    ),
    "too many fields far down": (
        one("t.csv", "a,b\n" + "1,x\n" * 100_000 + "1,x,y\n"),
        {},
        "line 100,002 of '{0}/t.csv' has 3 fields, but the header has 2; *",
    ),
    "a quote without end": (
        one("t.csv", 'a,b\n1,"x\n2,y\n'),
        {},
        "line 2 of '{0}/t.csv' has a quote that does not end; double a quote inside a quoted field (\"\")",
    ),
    "mixed line ends": (one("t.csv", "a,b\r\n1,x\n2,y\r\n"), {}, "'{0}/t.csv' mixes line ends, or quotes *"),
    "wrong encoding in the header": (
        one("t.csv", "tür,b\n1,x\n".encode("latin-1")),
        {},
        "line 1 of '{0}/t.csv' is not UTF-8 text (byte 0xfc); convert the file to UTF-8",
    ),
    "wrong encoding in a row": (
        one("t.csv", "a,b\n1,x\n2,é\n".encode("latin-1")),
        {},
        "line 3 of '{0}/t.csv' is not UTF-8 text (byte 0xe9); convert the file to UTF-8",
    ),
    "wrong encoding far down": (
        one("t.csv", b"a,b\n" + b"1,x\n" * 300_000 + "2,é\n".encode("latin-1")),
        {},
        "line 300,002 of '{0}/t.csv' is not UTF-8 text; convert the file to UTF-8",
    ),
    "UTF-16": (one("t.csv", ROWS.encode("utf-16")), {}, "line 1 of '{0}/t.csv' is not UTF-8 text (byte 0xff); *"),
    "binary junk": (
        one("t.csv", bytes(range(128)) * 99),
        {},
        "'{0}/t.csv' holds binary data, not text; expected a CSV *",
    ),
    "random junk": (
        one("t.csv", np.random.default_rng(0).bytes(9_999)),
        {},
        "line 1 of '{0}/t.csv' is not UTF-8 text (byte *",
    ),
    "CSV named Parquet": (
        one("t.parquet", ROWS),
        {},
        "'{0}/t.parquet' is not a whole Parquet file; copy or write it *",
    ),
    "truncated Parquet": (
        one("t.parquet", WHOLE_PARQUET[:-100]),
        {},
        "'{0}/t.parquet' is not a whole Parquet file; copy or write it again",
    ),
    "CSV named Feather": (one("t.feather", ROWS), {}, "'{0}/t.feather' is not a whole Feather file (version 2); *"),
    "truncated gzip": (
        one("t.csv.gz", gzip.compress(ROWS.encode() * 9_999)[:-99]),
        {},
        "'{0}/t.csv.gz' is cut off or damaged (Compressed file ended before the end-of-stream marker was reached); *",
    ),
    "truncated zstd": (
        one("t.csv.zst", pa.compress(os.urandom(99_999).hex().encode(), codec="zstd", asbytes=True)[:50_000]),
        {},
        "'{0}/t.csv.zst' is cut off or damaged (Truncated compressed stream); copy or compress it again",
    ),
    "truncated zip": (one("t.zip", b"PK\x03\x04" + bytes(99)), {}, "the archive '{0}/t.zip' is cut off or damaged *"),
    "two equal column names": (
        one("t.csv", "a,b,a\n1,2,3\n"),
        {},
        "'{0}/t.csv' has two columns 'a'; rename one of them",
    ),
    "names that differ in case": (
        one("t.csv", "id,ID\n1,2\n"),
        {},
        "'{0}/t.csv' has columns 'id' and 'ID', which differ only in case; rename one of them",
    ),
    "equal names in Parquet": (
        parquets(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])),
        {},
        "'{0}/0.parquet' has two columns 'a'; rename one of them",
    ),
    "a column without a name": (
        one("t.csv", ",a\n0,1\n"),
        {},
        "column 1 of '{0}/t.csv' has no name; name it (an index written by pandas: index=False)",
    ),
    "a string in a number column": (
        one("t.csv", "a,b\n" + "1,x\n" * 9 + "one,x\n"),
        {},
        "column 'a' holds numbers, but 1 of its 10 values are none, such as 'one' in '{0}/t.csv'; mend them, leave *",
    ),
    "a string in a time column": (
        one("t.csv", "a,b\n" + "2013-01-01,x\n" * 19 + "today,x\n"),
        {},
        "column 'a' holds times, but 1 of its 20 values are none, such as 'today' in *",
    ),
    "times with and without offset": (
        one("t.csv", "a\n2013-01-01\n2013-01-01T00:00Z\n"),
        {},
        "column 'a' holds 1 times without and 1 with an offset from UTC; write them all one way, or keep *",
    ),
    "mixed types in JSON": (
        one("t.jsonl", '{"a": 1}\n{"a": "x"}\n'),
        {},
        "field 'a' of '{0}/t.jsonl' holds values of several types; write one type, leave it out, or keep it *",
    ),
    "mixed types in SQLite": (
        database,
        {"query": "SELECT * FROM t"},
        "column 'a' of the query's result holds 1 numbers among 2 values in all; make it one type in the query, *",
    ),
    "a type that a value does not have": (
        one("t.csv", ROWS),
        {"types": {"b": "number"}},
        "a value of '{0}/t.csv' does not have the type that `types` or `where` takes it for (Could not convert string "
        "'x' to DOUBLE); mend one of them",
    ),
    "a type that is none": (
        one("t.csv", ROWS),
        {"types": {"a": "float"}},
        "types asks for 'a' as 'float'; expected one of: text, integer, number, boolean, time",
    ),
    "a line that is not JSON": (
        one("t.jsonl", '{"a": 1}\nnonsense\n'),
        {},
        "line 2 of '{0}/t.jsonl' is not a JSON object (*); expected one object on each line",
    ),
    "a JSON array": (
        one("t.json", '[{"a": 1}]'),
        {},
        "'{0}/t.json' is not JSON lines; expected one object on each line",
    ),
    "a file with other columns": (
        many(a_csv=ROWS, b_csv="a,c\n1,2\n"),
        {},
        "'{0}/b.csv' lacks b and has c as well, compared with '{0}/a.csv'; all files of one source need the same *",
    ),
    "a file with other types": (
        parquets(pa.table({"a": [1]}), pa.table({"a": ["x"]})),
        {},
        "column 'a' is VARCHAR in '{0}/1.parquet' but BIGINT in the files before it; write one type, or say *",
    ),
    "a file that is no table": (
        many(a_csv=ROWS, notes_md="# Notes"),
        {},
        "the format of '{0}/notes.md' cannot be told from its name; expected one of the endings .csv, *",
    ),
    "an unknown ending": (one("t.xlsx", ROWS), {}, "the format of '{0}/t.xlsx' cannot be told from its name; *"),
    "an unknown format": (one("t.csv", ROWS), {"format": "xml"}, "format 'xml' is not known; expected one of: auto, *"),
    "an unknown scheme": (
        "ftp://host/t.csv",
        {},
        "'ftp://' is not a source load can read; give a path or one of: s3, *",
    ),
    "an unknown column": (
        one("t.csv", ROWS),
        {"columns": ["c"]},
        "column 'c' is not a column of this table; it has: a, b",
    ),
    "a column twice": (one("t.csv", ROWS), {"columns": ["a", "a"]}, "columns names a column twice: a, a; name each *"),
    "a filter that leaves no row": (
        one("t.csv", ROWS),
        {"where": "a > 2"},
        "no row of '{0}/t.csv' passes the filter where='a > 2'; widen it",
    ),
    "a filter with a syntax error": (
        one("t.csv", ROWS),
        {"where": "a >"},
        "the filter where='a >' is not an SQL expression: syntax error at or near \")\"; mend it",
    ),
    "a filter with an unknown column": (
        one("t.csv", ROWS),
        {"where": 'b = "x"'},
        "the filter where='b = \"x\"' uses 'x', which is not a column (text stands in single quotes); there are: a, b",
    ),
    "a filter of another type": (
        one("t.csv", ROWS),
        {"where": "a = 'x'"},
        "a value of '{0}/t.csv' does not have the type that `types` or `where` takes it for (Could not convert string "
        "'x' to INT64); mend one of them",
    ),
    "a filter that aggregates": (
        one("t.csv", ROWS),
        {"where": "sum(a) > 1"},
        "the filter where='sum(a) > 1' does not fit the table: WHERE clause cannot contain aggregates; mend it",
    ),
    "a database without a query": (
        database,
        {},
        "'sqlite:///{0}/t.db' is a database, so a query is needed, such as query='SELECT * FROM flights'",
    ),
    "a query without a database": (
        one("t.csv", ROWS),
        {"query": "SELECT 1"},
        "a query needs a database (postgresql://, *",
    ),
    "a query with a syntax error": (database, {"query": "SELEC"}, "the query on '*t.db' failed (near \"SELEC\": *"),
    "a query that writes": (
        database,
        {"query": "DELETE FROM t RETURNING a"},
        "the query on '*t.db' failed (attempt to write a readonly database); mend it",
    ),
    "a query without rows": (database, {"query": "SELECT * FROM t WHERE b = 'z'"}, "'*' has columns but no rows; *"),
    "no database at the path": (
        "sqlite:///{0}/none.db",
        {"query": "SELECT 1"},
        "there is no SQLite file at '*none.db'; an absolute path takes four slashes: sqlite:////folder/file.db",
    ),
}


def pattern(sentence: str, folder: Path) -> str:
    """The sentence as an expression: `{0}` is the folder and `*` anything."""
    return "^" + re.escape(sentence.replace("{0}", str(folder))).replace(r"\*", ".*") + "$"


def assert_refused(
    output: dsl.Dataset, kind: type[KubelineError], sentence: str, source: str, **parameters: Any
) -> None:
    """The call ends with the sentence, and neither files nor metadata are left."""
    with pytest.raises(kind, match=sentence):
        load.python_func(source=source, dataset=output, **parameters)
    folder = Path(output.path).parent
    assert not folder.exists() or not list(folder.iterdir())
    assert output.metadata == {}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_bad_input_is_refused_in_one_sentence(case: Case, tmp_path, output):
    source, parameters, sentence = case
    folder = tmp_path / "in"
    folder.mkdir()
    source = source.format(folder) if isinstance(source, str) else source(folder)
    if source.startswith("sqlite:"):  # absolute
        source = source.replace("sqlite:///", "sqlite:////", 1).replace("/////", "////")
        sentence = sentence.replace("sqlite:///{0}", "sqlite:///*")
    assert_refused(output, UserError, pattern(sentence, folder), source, **parameters)


@pytest.mark.parametrize(
    "where",
    [
        "a IN (SELECT 1)",
        "EXISTS (SELECT content FROM read_text('/etc/passwd'))",
        "a = (SELECT count(*) FROM glob('/etc/*'))",
        "true) UNION ALL SELECT content, 1 FROM read_text('/etc/passwd') WHERE (true",
        "true) GROUP BY ALL HAVING (true",
        "true) LIMIT (1",
        "true); ATTACH '/tmp/kubeline-test.db'; SELECT (true",
        "true; COPY (SELECT 1) TO '/tmp/kubeline-test.csv'",
        "true); SET enable_external_access = true; --",
        "COLUMNS(*) = 1",
    ],
)
def test_a_filter_is_one_condition_and_reaches_nothing_but_the_row(where, tmp_path, output):
    (tmp_path / "t.csv").write_text(ROWS)
    sentence = "^the filter where=.* (is not an SQL expression|is more than one expression|holds a subquery)"
    assert_refused(output, UserError, sentence, str(tmp_path / "t.csv"), where=where)


def test_the_engine_itself_opens_nothing_but_the_staged_files(tmp_path):
    import duckdb

    from kubeline.data.engine import connect

    (tmp_path / "scratch").mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    with connect(tmp_path / "scratch") as connection:
        for query in (
            f"SELECT * FROM read_text('{tmp_path}/secret.txt')",  # noqa: S608
            f"COPY (SELECT 1) TO '{tmp_path}/new.csv'",
            f"ATTACH '{tmp_path}/new.db'",
            "SET enable_external_access = true",
            "INSTALL httpfs",
        ):
            with pytest.raises(duckdb.Error, match=r"disabled by configuration|locked"):
                connection.execute(query)


@contextmanager
def without_privileges() -> Iterator[Path]:
    """A folder, and this process as a user to whom permissions apply: root's thread becomes `nobody` for a while."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65_534)
        try:
            yield folder
        finally:
            if root:
                os.seteuid(0)


@pytest.fixture
def _warm(tmp_path, load):
    """Modules are imported lazily, and `nobody` may not be allowed to read them."""
    (tmp_path / "warm.csv").write_text(ROWS)
    load(tmp_path / "warm.csv")


@pytest.mark.usefixtures("_warm")
def test_a_file_that_may_not_be_read_is_named():
    with without_privileges() as folder:
        (folder / "t.csv").write_text(ROWS)
        (folder / "t.csv").chmod(0)
        output = dsl.Dataset(name="dataset", uri=str(folder / "out" / "dataset"), metadata={})
        sentence = pattern("cannot use {0}/t.csv: permission was denied; give this user access to the path", folder)
        assert_refused(output, PlatformError, sentence, str(folder / "t.csv"))


@pytest.mark.usefixtures("_warm")
def test_a_folder_that_may_not_be_written_is_named():
    with without_privileges() as folder:
        (folder / "t.csv").write_text(ROWS)
        (folder / "out").mkdir(mode=0o555)
        output = dsl.Dataset(name="dataset", uri=str(folder / "out" / "dataset"), metadata={})
        sentence = pattern("cannot use {0}/out/.dataset.partial: permission was denied; give this user *", folder)
        assert_refused(output, PlatformError, sentence, str(folder / "t.csv"))


def test_a_disk_that_takes_no_more_ends_the_step_without_a_part_of_the_dataset(tmp_path, output):
    """The limit on file sizes makes the operating system refuse a write in the middle, as a full disk does."""
    pq.write_table(pa.table({"a": np.random.default_rng(0).random(200_000)}), tmp_path / "t.parquet")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, hard))
    try:
        sentence = "^cannot use the disk: the file grew larger than this file system or the limit on file sizes"
        assert_refused(output, PlatformError, sentence, str(tmp_path / "t.parquet"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
