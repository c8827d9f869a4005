"""Each file that is no table is one sentence that says what to do, and leaves nothing behind."""

import gzip
import os
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kfp import dsl
from pyarrow import feather

from kubeline.errors import UserError
from tests.data.bad_input import ROWS, Case, assert_case_refused, assert_refused, many, one, parquets, pattern

PARQUET = pa.BufferOutputStream()
pq.write_table(pa.table({"a": np.arange(1000)}), PARQUET)
WHOLE_PARQUET = PARQUET.getvalue().to_pybytes()


def zipped(**members: str) -> Callable[[Path], str]:
    """A source of a zip archive."""

    def make(folder: Path) -> str:
        with zipfile.ZipFile(folder / "t.zip", "w") as archive:
            for name, content in members.items():
                archive.writestr(name.replace("_", "."), content)
        return str(folder / "t.zip")

    return make


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
        "line 3 of '{0}/t.csv' has 1 field, but the header has 2; fix the line, quote what holds delimiters",
    ),
    "too many fields": (
        one("t.csv", "a,b\n1,x,y\n"),
        {},
        "line 2 of '{0}/t.csv' has 3 fields, but the header has 2; *",
    ),
    "many too many fields": (
        one("t.csv", "a,b,c,d,e\n1,2,3,4,5\n1,2,3,4,5,6,7\n"),
        {},
        "line 3 of '{0}/t.csv' has 7 fields, but the header has 5; *",
    ),
    "too many fields of two lines": (
        one("t.csv", 'a,b,c\n1,"x\ny",3,4,5\n'),
        {},
        "line 2 of '{0}/t.csv' has more than 3 fields, but the header has 3; *",
    ),
    **{
        f"a web page as {name}": (
            one(name, content),
            {},
            f"'{{0}}/{name}' is a web page (HTML), and no table; give the address of the file itself, and see *",
        )
        for name, content in {
            "t.csv": "<!DOCTYPE html>\n<html><p>Log in</p></html>\n",
            "t.tsv": "\ufeff\n <!-- made by x -->\n<HTML lang=en></HTML>",
            "t.json": '<?xml version="1.0"?><html></html>',
            "t.parquet": "<html><head></head></html>",
        }.items()
    },
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
        "column 'a' holds numbers, but 1 of its 10 values are none, such as 'aaa' in row 9 of '{0}/t.csv'; fix them, *",
    ),
    "a string in a time column": (
        one("t.csv", "a,b\n" + "2013-01-01,x\n" * 19 + "today,x\n"),
        {},
        "column 'a' holds times, but 1 of its 20 values are none, such as 'aaaaa' in row 19 of *",
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
    "a line that is not JSON": (
        one("t.jsonl", '{"a": 1}\nnonsense\n'),
        {},
        "line 2 of '{0}/t.jsonl' is not a JSON object (*); expected one object on each line",
    ),
    "a table on its side": (
        one("t.csv", ",".join(f"column_{number}" for number in range(100_000)) + "\n" + ",".join("1" * 100_000) + "\n"),
        {},
        "'{0}/t.csv' has 100,000 columns, and at most 10,000 are read: it may be on its side, or without line ends; *",
    ),
    "JSON that is nested too deep": (
        one("t.jsonl", '{"a": 1}\n{"a": ' + "[" * 100_000 + "]" * 100_000 + "}\n"),
        {},
        "line 2 of '{0}/t.jsonl' is not a JSON object (*); expected one object on each line",
    ),
    "a log that is nested too deep": (
        one("t.jsonl", "[" * 100_000 + "\n"),
        {"format": "kserve"},
        "'{0}/t.jsonl' holds no request with its response (1 x a line is not JSON); check the log",
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
        "the format of '{0}/notes.md' is not known by its name; expected one of the endings .csv, *",
    ),
    "an unknown ending": (one("t.xlsx", ROWS), {}, "the format of '{0}/t.xlsx' is not known by its name; *"),
    "an unknown scheme": (
        "ftp://host/t.csv",
        {},
        "'ftp://' is not a source load can read; give a path or one of: s3, *",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_bad_input_is_refused_in_one_sentence(case: Case, tmp_path: Path, output: dsl.Dataset) -> None:
    assert_case_refused(case, tmp_path / "in", output)


def _lying(kind: str) -> pa.Array:
    """Three values, the second of which lies far out of what the array holds."""
    offsets = pa.py_buffer(np.array([0, 2, 1 << 29, 6], dtype=np.int32))
    if kind == "text":
        return pa.StringArray.from_buffers(3, offsets, pa.py_buffer(b"abcdef"))
    if kind == "list":
        return pa.Array.from_buffers(pa.list_(pa.int64()), 3, [None, offsets], children=[pa.array(range(6))])
    return pa.DictionaryArray.from_arrays(pa.array([0, 1 << 29, 1], pa.int32()), ["x", "y"], safe=False)


@pytest.mark.parametrize("kind", ["text", "list", "dictionary"])
def test_arrow_that_points_out_of_its_memory_is_refused_in_one_sentence(
    kind: str, tmp_path: Path, output: dsl.Dataset
) -> None:
    """Followed, it ended the process: DuckDB takes offsets and indices as they stand."""
    batch = pa.record_batch({"a": pa.array([1, 2, 3]), "b": _lying(kind)})
    with pa.OSFile(str(tmp_path / "t.feather"), "wb") as file, pa.ipc.new_file(file, batch.schema) as writer:
        writer.write_batch(batch)
    sentence = "'{0}/t.feather' is not a whole Feather file (version 2); copy or write it again"
    assert_refused(output, UserError, pattern(sentence, tmp_path), str(tmp_path / "t.feather"))


@pytest.mark.parametrize("ending", ["feather", "parquet"])
def test_a_name_of_a_column_that_is_no_text_is_refused_in_one_sentence(
    ending: str, tmp_path: Path, output: dsl.Dataset
) -> None:
    write = feather.write_feather if ending == "feather" else partial(pq.write_table, store_schema=False)
    path = tmp_path / f"t.{ending}"
    write(pa.table({"name": [1, 2]}), str(path))
    path.write_bytes(path.read_bytes().replace(b"name", b"\xacame"))
    kind = "Feather file (version 2)" if ending == "feather" else "Parquet file"
    sentence = f"'{path}' is not a whole {kind}; copy or write it again"
    assert_refused(output, UserError, pattern(sentence, tmp_path), str(path))
