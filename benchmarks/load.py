"""`load` on a large CSV file, beside the pandas lines that people write instead."""

import tempfile
from pathlib import Path

import pandas as pd

from benchmarks.measure import Way, compare
from examples.flights.prepare import prepare

OURS = """
from kfp import dsl
from kubeline.loading import load
load.run({source!r}, dsl.Dataset(name="dataset", uri={target!r}, metadata={{}}))
"""
PANDAS = """
import pandas as pd
pd.read_csv({source!r}).to_parquet({target!r})
"""


def main() -> None:
    """Time and peak memory on four years' worth of flights."""
    with tempfile.TemporaryDirectory() as folder:
        source = str(Path(folder) / "flights.csv")
        table = pd.concat([pd.read_parquet(file) for file in prepare()] * 4)
        table.to_csv(source, index=False)
        size = Path(source).stat().st_size / 2**20
        compare(
            f"load: {len(table):,} rows of CSV ({size:.0f} MiB) to Parquet",
            Way("kubeline load", OURS.format(source=source, target=str(Path(folder) / "ours"))),
            Way("pandas read_csv, to_parquet", PANDAS.format(source=source, target=str(Path(folder) / "p.parquet"))),
        )
