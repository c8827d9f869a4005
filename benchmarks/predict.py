"""One row and a thousand rows: ONNX Runtime as the package serves, beside scikit-learn's own predict_proba."""

import tempfile
import timeit
from pathlib import Path

import pandas as pd
from kfp import dsl

from benchmarks.measure import show
from examples.flights.prepare import prepare
from kubeline.loading import load
from kubeline.model_package.package import ModelPackage
from kubeline.training import train


def main() -> None:
    """Seconds for one call, preprocessing included in both."""
    months = prepare()
    with tempfile.TemporaryDirectory() as name:
        package = _package(Path(name), months[0])
        predictor = package.predictor(threads=1)
        pipeline = package.sklearn()
        frame = pd.read_parquet(months[1])
        for rows in (1, 1000):
            some = frame.head(rows)
            inputs = package.signature.encode(some)
            encoded = pd.DataFrame({column: values[:, 0] for column, values in inputs.items()})
            show(
                f"predict: {rows:,} rows",
                [
                    ("ONNX Runtime", _seconds(lambda inputs=inputs: predictor.predict_inputs(inputs))),
                    ("scikit-learn", _seconds(lambda encoded=encoded: pipeline.predict_proba(encoded))),
                ],
            )


def _package(folder: Path, month: Path) -> ModelPackage:
    dataset = dsl.Dataset(name="dataset", uri=str(folder / "dataset"), metadata={})
    load.run(str(month), dataset)
    model = dsl.Model(name="model", uri=str(folder / "model"), metadata={})
    metrics = dsl.Metrics(name="metrics", uri=str(folder / "metrics"), metadata={})
    report = dsl.HTML(name="report", uri=str(folder / "report"), metadata={})
    train.run(dataset, model, metrics, report, target="late", exclude=["departure"], params={"max_iter": 200})
    return ModelPackage.open(model.path)


def _seconds(call) -> float:  # type: ignore[no-untyped-def]
    timer = timeit.Timer(call)
    number, _ = timer.autorange()
    return min(timer.repeat(repeat=5, number=number)) / number
