"""Sources that `load` refuses: how they are made, and that nothing is left of them."""

import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kfp import dsl

from components.load.component import load
from kubeline.errors import KubelineError, UserError

ROWS = "a,b\n1,x\n2,y\n"
Case = tuple[Callable[[Path], str] | str, dict[str, Any], str]


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


def database(folder: Path) -> str:
    """A SQLite source with a table `t`."""
    with sqlite3.connect(folder / "t.db") as connection:
        connection.execute("CREATE TABLE t (a, b)")
        connection.execute("INSERT INTO t VALUES (1, 'x'), ('two', 'y')")
    connection.close()
    return f"sqlite:///{folder}/t.db"


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


def assert_case_refused(case: Case, folder: Path, output: dsl.Dataset) -> None:
    """The case's source, made in an empty folder, ends with the case's sentence."""
    source, parameters, sentence = case
    folder.mkdir()
    source = source.format(folder) if isinstance(source, str) else source(folder)
    if source.startswith("sqlite:"):  # absolute
        source = source.replace("sqlite:///", "sqlite:////", 1).replace("/////", "////")
        sentence = sentence.replace("sqlite:///{0}", "sqlite:///*")
    assert_refused(output, UserError, pattern(sentence, folder), source, **parameters)
