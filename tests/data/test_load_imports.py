"""A step loads what it needs, and no more: the start of Python is a large part of loading a small table."""

import subprocess
import sys
from pathlib import Path

LOAD = """
import sys
from types import SimpleNamespace
from kubeline.loading import load

print(sorted({"duckdb", "pyarrow.compute", "pyarrow.parquet"} & set(sys.modules)))  # they come while the engine starts
load.run(sys.argv[1], SimpleNamespace(path=sys.argv[2], uri=sys.argv[2], metadata={}))
never = {"pandas", "scipy", "sklearn", "matplotlib", "fsspec", "yaml", "asyncio", "google.protobuf"}
print(sorted(never & set(sys.modules)))
"""


def test_a_csv_is_loaded_without_pandas_and_without_the_clients_of_other_sources(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("a,b\n1,x\n2,y\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", LOAD, tmp_path / "table.csv", tmp_path / "dataset"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == ["[]", "[]"], done.stderr
