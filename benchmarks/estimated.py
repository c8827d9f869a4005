"""How well a model does in each month by its own probabilities, beside what the labels show: docs/estimated-auc.svg.

python -m benchmarks.estimated
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pyarrow as pa
from kfp import dsl
from matplotlib.figure import Figure

from components.train.component import train
from examples.flights.prepare import prepare
from kubeline.artifacts import publish
from kubeline.data.dataset import write_dataset
from kubeline.drift.estimate import EstimatedAuc, performance
from kubeline.drift.profile import Profile
from kubeline.drift.result import Performance
from kubeline.evaluation.bootstrap import Bootstrap, Interval
from kubeline.evaluation.metrics import choose
from kubeline.evaluation.scoring import judged
from kubeline.model_package import ModelPackage

FIGURE = Path(__file__).parents[1] / "docs" / "estimated-auc.svg"
LEARNED = 9  # months
ROWS = 60_000


@dataclass(frozen=True)
class Month:
    """One month: the estimate, and what the labels show with an interval by days."""

    number: int
    estimated: Performance
    realised: Interval


def months_of(package: ModelPackage, months: Sequence[pd.DataFrame]) -> list[Month]:
    """Both figures of each month, whose rows the model may have learned from."""
    calibration = Profile.read(package.reference()).calibration
    assert calibration is not None  # noqa: S101 (there are two classes)
    predictor, found = package.predictor(), []
    for number, rows in enumerate(months, start=1):
        frame = rows.reset_index(drop=True)
        predictions = predictor.predict(frame)
        counted = EstimatedAuc(calibration, package.signature.positive_code)
        counted.add(predictions)
        scored = judged(frame, np.ones(len(frame), dtype=bool), package.signature, predictions, None)
        days = frame["departure"].dt.dayofyear.to_numpy()
        bootstrap = Bootstrap(len(scored), clusters=np.unique(days, return_inverse=True)[1])
        realised = choose("binary", "roc_auc").interval(scored, bootstrap, confidence=0.95)
        estimated = performance(counted, package.manifest.metrics)
        assert estimated is not None  # noqa: S101 (a month has rows)
        found.append(Month(number, estimated, realised))
    return found


def trained(months: Sequence[pd.DataFrame], folder: Path, rows: int = ROWS, iterations: int = 60) -> ModelPackage:
    """A model of some of the flights of January to September."""
    sample = pd.concat(months[:LEARNED], ignore_index=True).sample(rows, random_state=0).sort_index()
    dataset = dsl.Dataset(uri=str(folder / "dataset"))
    table = pa.Table.from_pandas(sample, preserve_index=False)
    with publish(dataset.path) as path:
        write_dataset(dataset, table.schema, table.to_batches(), path, source="flights")
    model = dsl.Model(uri=str(folder / "model"))
    outputs = {"metrics": dsl.Metrics(uri=str(folder / "metrics")), "report": dsl.HTML(uri=str(folder / "report"))}
    excluded = ["departure", "month"]
    train.python_func(
        dataset=dataset, model=model, **outputs, target="late", exclude=excluded, params={"max_iter": iterations}
    )
    return ModelPackage.open(model.path)


def draw(months: Sequence[Month]) -> None:
    """Write the figure."""
    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    axes = figure.subplots()
    numbers = np.array([month.number for month in months])
    for name, shift, marker, ends in (
        ("realised, by days", -0.1, "o", [(m.realised.value, m.realised.lower, m.realised.upper) for m in months]),
        ("estimated", 0.1, "s", [(m.estimated.value, m.estimated.lower, m.estimated.upper) for m in months]),
    ):
        values, lower, upper = np.array(ends, dtype=float).T
        axes.errorbar(
            numbers + shift, values, [values - lower, upper - values], fmt=marker, capsize=3, label=name, markersize=4
        )
    axes.axvline(LEARNED + 0.5, color="grey", linestyle=":")
    axes.set(xlabel="month of 2013 (the model learned from the first nine)", ylabel="ROC AUC", xticks=numbers)
    axes.legend(frameon=False)
    figure.savefig(FIGURE, metadata={"Date": None})


def main() -> None:
    """Train, estimate, draw, and print the figures."""
    months = [pd.read_parquet(file) for file in prepare()]
    with TemporaryDirectory() as folder:
        found = months_of(trained(months, Path(folder)), months)
    draw(found)
    for month in found:
        real, guess = month.realised, month.estimated
        print(
            f"2013-{month.number:02d}  estimated {guess.value:.3f} [{guess.lower:.3f}, {guess.upper:.3f}]"
            f"  realised {real.value:.3f} [{real.lower:.3f}, {real.upper:.3f}]"
        )


if __name__ == "__main__":
    main()
