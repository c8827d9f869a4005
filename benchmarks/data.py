"""The data steps on a million rows and 31 columns, each beside what does the same by itself: ``make bench-data``.

Polars is in an environment of its own; without it, DuckDB is the only peer of `load`.
"""

import sys
import tempfile
from pathlib import Path

import duckdb

from benchmarks.measure import Way, compare

ROWS = 1_000_000
PEERS = Path(".cache/bench-data/bin/python")
START = """
from pathlib import Path
from kfp import dsl
def made(name, kind=dsl.Artifact):
    return kind(name=name, uri={folder!r} + "/" + name, metadata={{}})
def clean(*names):
    import shutil
    for name in names:
        shutil.rmtree({folder!r} + "/" + name, ignore_errors=True)
    return [made(name) for name in names]
"""
# What load says of its dataset goes on with it, as between the steps of a pipeline.
TELL = """
import json
Path({folder!r}, "loaded.json").write_text(json.dumps(loaded.metadata))
"""
KNOWN = """
import json
loaded = made("loaded")
loaded.metadata.update(json.loads(Path({folder!r}, "loaded.json").read_text()))
"""
LOAD = """
from kubeline.data import load
(loaded,) = clean("loaded")
load.run({folder!r} + "/table.csv", loaded)
"""
VALIDATE = """
from kubeline.schema import validate
outputs = [*clean("valid", "quarantine"), made("schema"), made("page")]
validate.run(loaded, *outputs, target="target")
"""
SPLIT = "from kubeline.data import split\nsplit.run(loaded, *clean('train', 'test'), made('split'))"
DUCKDB = """
import duckdb
source, target = {folder!r} + "/table.csv", {folder!r} + "/duckdb.parquet"
duckdb.sql(f"COPY (SELECT * FROM read_csv('{{source}}')) TO '{{target}}' (FORMAT parquet, COMPRESSION zstd)")
"""
POLARS = """
import polars
polars.scan_csv({folder!r} + "/table.csv").sink_parquet({folder!r} + "/polars.parquet")
"""
COPY = """
import pyarrow.dataset as pads
scanner = pads.dataset({folder!r} + "/loaded", format="parquet").scanner()
pads.write_dataset(scanner, {folder!r} + "/copied", format="parquet", existing_data_behavior="overwrite_or_ignore")
"""
SUMMARY = """
import duckdb
duckdb.sql("SUMMARIZE SELECT * FROM '" + {folder!r} + "/loaded/*.parquet'").fetchall()
"""


def write_table(path: Path, rows: int) -> None:
    """20 numbers, 5 whole numbers, 5 categories of 4 to 1,001 values, and a target; the same at each call."""
    numbers = [f"round(random() * 100 - 50, {2 + place % 3}) AS f{place}" for place in range(20)]
    whole = [f"CAST(random() * {10 ** (place + 1)} AS BIGINT) AS i{place}" for place in range(5)]
    words = [f"'cat' || CAST(random() * {most} AS BIGINT) AS k{most}" for most in (3, 10, 50, 200, 1000)]
    columns = ", ".join([*numbers, *whole, *words, "CAST(random() < 0.3 AS INTEGER) AS target"])
    with duckdb.connect() as connection:
        connection.execute("SET threads = 1")
        connection.execute("SELECT setseed(0.5)")
        connection.execute(f"COPY (SELECT {columns} FROM range({rows})) TO '{path}' (FORMAT csv, HEADER)")  # noqa: S608


def main(rows: int = ROWS) -> None:
    """Whole processes, the start of Python included: median seconds of three runs in turn, and peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        write_table(Path(folder) / "table.csv", rows)

        def way(name: str, *programs: str, python: str = sys.executable) -> Way:
            return Way(name, "".join(programs).format(folder=folder), python)

        peers = [way("DuckDB, COPY", DUCKDB)]
        if PEERS.exists():
            peers.append(way("Polars, sink_parquet", POLARS, python=str(PEERS)))
        size = f"{rows:,} rows x 31 columns"
        compare(f"load: {size} of CSV", way("kubeline load", START, LOAD, TELL), *peers)
        compare(
            f"validate: {size}", way("kubeline validate", START, KNOWN, VALIDATE), way("DuckDB, SUMMARIZE", SUMMARY)
        )
        compare(f"split: {size}", way("kubeline split", START, KNOWN, SPLIT), way("Arrow, read and write", COPY))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
