"""The columns of a source before it is loaded: those that load will find, or none where only load can find them."""

import gzip
from pathlib import Path

import pandas as pd
import pytest

from kubeline.data.peek import column_names
from kubeline.errors import UserError

FRAME = pd.DataFrame({"a, b": [1], "ü": ["x"]})


@pytest.mark.parametrize("name", ["t.parquet", "t.csv", "t.tsv"])
def test_the_header_of_the_first_file_is_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    FRAME.to_parquet(path) if name == "t.parquet" else FRAME.to_csv(
        path, index=False, sep="\t" if "tsv" in name else ","
    )
    assert column_names(str(path)) == ["a, b", "ü"]
    assert column_names(str(tmp_path)) == ["a, b", "ü"]


def test_the_folders_of_partitions_are_columns(tmp_path: Path) -> None:
    (tmp_path / "day=2013-01-01").mkdir()
    FRAME.to_parquet(tmp_path / "day=2013-01-01" / "t.parquet")
    assert column_names(str(tmp_path)) == ["a, b", "ü", "day"]


def test_what_only_loading_can_find_is_not_guessed(tmp_path: Path) -> None:
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"a,b\n1,2\n"))
    (tmp_path / "semicolons.csv").write_text("a;b\n1;2\n")
    assert column_names(str(tmp_path / "t.csv.gz")) is None
    assert column_names(str(tmp_path / "semicolons.csv")) is None
    assert column_names("postgresql://db/x") is None


def test_nothing_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no file at"):
        column_names(str(tmp_path / "none.csv"))
