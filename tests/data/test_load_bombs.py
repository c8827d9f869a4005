"""Small files that stand for huge tables are refused in one sentence, and one setting makes room for those meant so.

Most limits are tried at a thousandth of what they are, so that the files can be small.
"""

import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from kubeline.data.limits import SETTING
from kubeline.errors import UserError
from tests.support.loading import Load

MEANT = "if that is meant, set KUBELINE_LOAD_LIMITS=10, which makes every limit of load ten times as large"
LINES = b"a,b\n" + b"1,2\n" * 500_000


def repeated(text: str, rows: int) -> pa.Table:
    """A text that is stored once for many rows."""
    indices = pa.array(np.zeros(rows, dtype=np.int32))
    return pa.table({"a": pa.DictionaryArray.from_arrays(indices, pa.array([text])), "b": np.arange(rows)})


def zstd(folder: Path) -> str:
    with pa.CompressedOutputStream(str(folder / "t.csv.zst"), "zstd") as file:
        file.write(LINES)
    return "t.csv.zst"


def gz(folder: Path) -> str:
    (folder / "t.csv.gz").write_bytes(gzip.compress(LINES))
    return "t.csv.gz"


def zipped(folder: Path) -> str:
    with zipfile.ZipFile(folder / "t.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a.csv", "b.csv", "c.csv"):
            archive.writestr(name, "a\n" + "1\n" * 200_000)
    return "t.zip"


def many_files(folder: Path) -> str:
    with zipfile.ZipFile(folder / "t.zip", "w") as archive:
        for number in range(11):
            archive.writestr(f"{number}.csv", "a\n1\n")
    return "t.zip"


def text(name: str, content: str) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        (folder / name).write_text(content)
        return name

    return make


def parquet(table: pa.Table, name: str = "t.parquet") -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        write = feather.write_feather if name.endswith("feather") else pq.write_table
        write(table, str(folder / name))
        return name

    return make


def batch(folder: Path) -> str:
    """Zeros, of which zstd keeps one in 32,000."""
    feather.write_feather(
        pa.table({"a": np.zeros(400_000)}), str(folder / "t.feather"), compression="zstd", chunksize=400_000
    )
    return "t.feather"


def pages(folder: Path) -> str:
    table = pa.table({"a": ["x" * 3_000_000]})
    pq.write_table(table, folder / "t.parquet", compression="zstd", use_dictionary=False, write_statistics=False)
    return "t.parquet"


BOMBS: dict[str, tuple[Callable[[Path], str], str, str]] = {
    "gzip": (gz, "0.001", "unpacks to more than 1 MB, far more than tables do; {}"),
    "zstd": (zstd, "0.001", "unpacks to more than 1 MB, far more than tables do; {}"),
    "a zip of files that are each within the limit": (zipped, "0.001", "/c.csv' unpacks to more than 1 MB, *; {}"),
    "a zip of many files": (many_files, "0.001", "holds 11 files, and at most 10 are read; {}"),
    "a text of a Parquet dictionary": (
        parquet(repeated("x" * 2_000, 5_000)),
        "0.001",
        "a row of '*' holds 2 kB of text, and at most 524 bytes are read; leave its column out by columns, or, {}",
    ),
    "many rows of a Parquet dictionary": (
        parquet(repeated("x" * 400, 60_000)),
        "0.001",
        "65,536 rows of '*' take more than 524 kB of memory, for texts or lists are long; leave such columns *{}",
    ),
    "many rows of a Feather dictionary": (
        parquet(repeated("x" * 400, 60_000), "t.feather"),
        "0.001",
        "65,536 rows of '*' take more than 524 kB of memory, for texts or lists are long; leave such columns *{}",
    ),
    "a batch of Feather": (batch, "0.001", "batch 1 of '*' unpacks to 3 MB, * times what is stored; {}"),
    "a page of Parquet": (pages, "0.001", "column 'a' of '*' unpacks to 3 MB in one row group, * what is stored; {}"),
    "a wide header": (
        text("t.csv", ",".join(f"c{n}" for n in range(100_000)) + "\n"),
        "1",
        "has 100,000 columns, and at most 10,000 are read: it may be on its side, or without line ends; {}",
    ),
    "a header of another delimiter": (
        text("t.tsv", ",".join(f"c{n}" for n in range(100_000)) + "\n"),
        "1",
        "is one of 688,889 characters that '\\t' does not part into names of columns; give the file its own format *",
    ),
    "JSON nested deeply": (
        text("t.jsonl", '{"a": 1}\n{"a": ' + "[" * 100_000 + "]" * 100_000 + "}\n"),
        "1",
        "line 2 of '*' is not a JSON object (*recursion depth*); expected one object on each line",
    ),
    "objects nested deeply": (
        text("t.jsonl", '{"a": ' * 100_000 + "1" + "}" * 100_000 + "\n"),
        "1",
        "line 1 of '*' is not a JSON object (*recursion depth*); expected one object on each line",
    ),
    "one huge line of CSV": (
        text("t.csv", f"a,b\n1,{'x' * 9_000_000}\n"),
        "1",
        "is longer than 8 MB for CSV or 16 MB for JSON; expected a table with one row on a line ({})",
    ),
    "one huge line of JSON": (
        text("t.jsonl", f'{{"a": "{"x" * 40_000_000}"}}\n'),
        "1",
        "is longer than 8 MB for CSV or 16 MB for JSON; expected a table with one row on a line ({})",
    ),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_what_grows_beyond_measure_is_refused_in_one_sentence(
    bomb: Any, tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fnmatch

    make, limits, sentence = BOMBS[bomb]
    monkeypatch.setenv(SETTING, limits)
    with pytest.raises(UserError) as refused:
        load(tmp_path / make(tmp_path))
    pattern = "*" + sentence.format(MEANT).replace("[", "[[]")
    assert fnmatch.fnmatchcase(str(refused.value), pattern), refused.value
    assert not list(tmp_path.glob("loaded-*/*"))


@pytest.mark.parametrize("make", [gz, zipped, many_files, parquet(repeated("x" * 400, 60_000))])
def test_the_setting_makes_room_for_what_is_meant(
    make: Any, tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SETTING, "0.1")
    assert len(load(tmp_path / make(tmp_path)).frame) in (500_000, 600_000, 11, 60_000)


@pytest.mark.parametrize("limits", ["much", "0", "-1", "nan", "inf"])
def test_a_setting_that_is_no_factor_is_refused(
    limits: str, tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SETTING, limits)
    (tmp_path / "t.csv").write_text("a\n1\n")
    with pytest.raises(UserError, match=f"^KUBELINE_LOAD_LIMITS is '{limits}'; expected a number above 0"):
        load(tmp_path / "t.csv")
