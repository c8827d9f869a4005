"""The data steps on tables of any size, each beside what does the same by itself: ``make bench-data ROWS="1000000"``.

Whole processes, the start of Python included: seconds by the clock, seconds of CPU, and the most memory. On a machine
that is busy the CPU says more. Polars and pandera are in an environment of their own; without it, DuckDB and Arrow are
the only peers. At the end stand the goals with their ratios, and of several tables the figure of how time and memory
grow.
"""

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import duckdb

from benchmarks.data_goals import draw, show
from benchmarks.measure import Run, Way, compare
from kubeline.local.runner import LEAN

ROWS = 1_000_000
LARGE = 2_000_000  # rows from which on everything is run once instead of three times
SAMPLE = 100_000  # rows that the model of the steps after it is trained on
SLOWEST = 1_000_000  # rows above which Evidently is left out, for it takes minutes
PEERS = Path(".cache/bench-data/bin/python")
START = """
import json, os, shutil
os.environ["_KFP_RUNTIME"] = "true"  # as in a pod
from pathlib import Path
from types import SimpleNamespace
folder = Path({folder!r})
def made(name):
    path = str(folder / name)
    known = folder / (name + ".json")
    metadata = json.loads(known.read_text()) if known.exists() else {{}}
    return SimpleNamespace(name=name, path=path, uri=path, metadata=metadata)
def clean(*names):
    for name in names:
        shutil.rmtree(folder / name, ignore_errors=True)
    return [made(name) for name in names]
def describe(*artifacts):  # what a step says of its outputs goes on with them, as between the steps of a pipeline
    for each in artifacts:
        (folder / (each.name + ".json")).write_text(json.dumps(each.metadata))
"""
LOAD = """
from kubeline.loading import load
(loaded,) = clean("loaded")
load.run(str(folder / "table.csv"), loaded)
describe(loaded)
"""
VALIDATE = """
from kubeline.schema import validate
outputs = [*clean("valid", "quarantine"), made("schema"), made("page")]
validate.run(made("loaded"), *outputs, target="target")
"""
SPLIT = """
from kubeline.data import split
train, test = clean("train", "test")
split.run(made("loaded"), train, test, made("split"))
describe(train, test)
"""
TRAIN = """
from kubeline.training import train
(model,) = clean("trained")
train.run(made("train"), model, made("metrics"), made("training"), target="target")
"""
ESTIMATOR = "from sklearn.ensemble import HistGradientBoostingClassifier"
FITTED = """
from kubeline.roles import Roles
from kubeline.training import estimators, preprocessing
from kubeline.training.holdout import divide
from kubeline.training.matrix import matrix
from kubeline.training.table import read
roles, estimator = Roles("target"), estimators.find("hist_gradient_boosting")
table, rows, _, _ = divide(read({folder!r} + "/train", roles, "auto"), roles, 0.1, 0, calibrated=False, number=0)
settings, _ = preprocessing.take({{}}, estimator, table.task)
columns = preprocessing.build(table.encoded.rows(rows[:2]), table.kinds, estimator, settings, table.task, list,
                              lambda name, most: table.frequent(name, rows, most))
values, target = matrix(columns.fit(table.encoded.rows(rows[:2])), table, rows, estimator), table.y[rows]
del table, rows, columns
"""
FIT = """
HistGradientBoostingClassifier(early_stopping=False, random_state=0).fit(values, target)
"""
TRAIN_SAMPLE = """
from kubeline.loading import load
from kubeline.training import train
(sample,), (model,) = clean("sample"), clean("model")
load.run(str(folder / "sample.csv"), sample)
train.run(sample, model, made("metrics"), made("training"), target="target", params={{"max_iter": 20}})
describe(model)
"""
EVALUATE = """
from kubeline.evaluation import evaluate
from kfp import dsl
blessing, predictions, metrics, page = map(made, ("blessing", "predictions", "metrics", "evaluation"))
curves = dsl.ClassificationMetrics(name="curves", uri=str(folder / "curves"))
evaluate.run(made("test"), made("model"), blessing, predictions, metrics, curves, page)
"""
DRIFT = """
from kubeline.drift import check
outputs = [made(name) for name in ("drift", "figures", "drift-page", "evidently")]
check.run(made("loaded"), *outputs, {reference}, evidently=False)
"""
DUCKDB = """
import duckdb
source, target = {folder!r} + "/table.csv", {folder!r} + "/duckdb.parquet"
duckdb.sql(f"COPY (SELECT * FROM read_csv('{{source}}')) TO '{{target}}' (FORMAT parquet, COMPRESSION zstd)")
"""
POLARS = """
import polars
polars.scan_csv({folder!r} + "/table.csv").sink_parquet({folder!r} + "/polars.parquet")
"""
PANDERA = """
import os
os.environ["PANDERA_VALIDATION_DEPTH"] = "{depth}"
import pandera.polars as pandera
import polars
table = polars.scan_parquet({folder!r} + "/loaded/*.parquet")
kinds = table.collect_schema()
def column(name):
    checks = [pandera.Check.isin([0, 1])] if name == "target" else []
    checks += [pandera.Check.in_range(-1e6, 1e6)] if kinds[name].is_numeric() else []
    return pandera.Column(kinds[name], checks, nullable=False)
checked = pandera.DataFrameSchema({{name: column(name) for name in kinds}}, strict=True).validate(table, lazy=True)
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
PREDICT = """
import pandas
from kubeline.model_package.package import ModelPackage
predictor = ModelPackage.open({folder!r} + "/model").predictor()
predictor.predict(pandas.read_parquet({folder!r} + "/test"))
"""
EVIDENTLY = """
import pandas, warnings
warnings.simplefilter("ignore")
from evidently import Report
from evidently.presets import DataDriftPreset
table = pandas.read_parquet({folder!r} + "/loaded")
Report([DataDriftPreset()]).run(table, table.copy()).json()
"""


def write_table(path: Path, rows: int, seed: float = 0.5) -> None:
    """20 numbers, 5 whole numbers, 5 categories of 4 to 1,001 values, and a target; the same at each call."""
    numbers = [f"round(random() * 100 - 50, {2 + place % 3}) AS f{place}" for place in range(20)]
    whole = [f"CAST(random() * {10 ** (place + 1)} AS BIGINT) AS i{place}" for place in range(5)]
    words = [f"'cat' || CAST(random() * {most} AS BIGINT) AS k{most}" for most in (3, 10, 50, 200, 1000)]
    columns = ", ".join([*numbers, *whole, *words, "CAST(random() < 0.3 AS INTEGER) AS target"])
    with duckdb.connect() as connection:
        connection.execute("SET threads = 1")
        connection.execute("SET enable_progress_bar = false")
        connection.execute(f"SELECT setseed({seed})")
        connection.execute(f"COPY (SELECT {columns} FROM range({rows})) TO '{path}' (FORMAT csv, HEADER)")  # noqa: S608


def main(rows: int = ROWS) -> dict[str, Run]:
    """Print each step beside its peers, and return them: medians of three runs in turn, or one run of a large table."""
    found: dict[str, Run] = {}
    with tempfile.TemporaryDirectory() as folder:
        write_table(Path(folder) / "table.csv", rows)
        write_table(Path(folder) / "sample.csv", min(rows, SAMPLE), 0.25)

        def way(name: str, *programs: str, python: str = sys.executable, **words: str) -> Way:
            return Way(name, "".join(programs).format(folder=folder, **words), python)

        def polars(name: str, program: str, **words: str) -> list[Way]:
            return [way(name, program, python=str(PEERS), **words)] if PEERS.exists() else []

        def ours(name: str, program: str, **words: str) -> Way:
            return replace(way(f"kubeline {name}", START, program, **words), environment=LEAN)

        def step(title: str, *ways: Way, most: int = 3) -> None:
            runs = most if rows < LARGE else 1
            found.update(compare(f"{title}: {rows:,} rows x 31 columns", *ways, runs=runs))

        def gone(*names: str) -> None:
            for name in names:
                Path(folder, name).unlink(missing_ok=True)

        step("load a CSV", ours("load", LOAD), way("DuckDB, COPY", DUCKDB), *polars("Polars, sink_parquet", POLARS))
        gone("table.csv", "duckdb.parquet", "polars.parquet")
        step(
            "validate",
            ours("validate", VALIDATE),
            *polars("pandera on lazy Polars, schema alone", PANDERA, depth="SCHEMA_ONLY"),
            *polars("pandera on lazy Polars, values too", PANDERA, depth="SCHEMA_AND_DATA"),
            way("DuckDB, SUMMARIZE", SUMMARY),
        )
        step("split", ours("split", SPLIT), way("Arrow, read and write", COPY))
        fit = Way(
            "scikit-learn, its fit alone", FIT, environment=LEAN, imports=ESTIMATOR, before=FITTED.format(folder=folder)
        )
        step("train on four fifths", ours("train", TRAIN), fit)
        compare("train, for the steps below", ours("train on a sample", TRAIN_SAMPLE), runs=1)
        step("evaluate a fifth of it", ours("evaluate", EVALUATE), way("read and predict alone", PREDICT))
        step("drift_check", ours("drift_check", DRIFT, reference='reference=made("loaded")'))
        step("with predictions", ours("drift_check with predictions", DRIFT, reference='model=made("model")'))
        if rows <= SLOWEST:
            step("drift, features alone", way("Evidently, DataDriftPreset", EVIDENTLY), most=1)
    return found


def _run(sizes: Sequence[int]) -> None:
    by_rows = {rows: main(rows) for rows in sizes}
    show(by_rows)
    if len(by_rows) > 1:
        draw(by_rows)


if __name__ == "__main__":
    _run([int(size) for size in sys.argv[1:]] or [ROWS])
