"""The model and the rows that every server is asked about."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from kfp import dsl

from examples.flights.prepare import prepare
from kubeline.errors import UserError
from kubeline.loading import load
from kubeline.model_package import ModelPackage
from kubeline.training import train

CACHE = Path(".cache/bench-serving/flights")
_TRAINING_MONTHS = 9
_PARAMS = {"max_iter": 200, "learning_rate": 0.1}  # twice the trees of examples/flights/training.yaml

Row = dict[str, Any]
Probabilities = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Question:
    """Rows of one request, and what the scikit-learn pipeline answers: probabilities of shape (rows, classes).

    Attributes:
        rows: records.
        expected: for the rows in the form that the model was trained on (float32).
        of_plain_frame: for the rows as pandas reads them (float64): a server that does not know that form answers
            these, a few of which differ where a value is close to a tree's threshold.
    """

    rows: list[Row]
    expected: Probabilities
    of_plain_frame: Probabilities


def flights_package(folder: Path = CACHE) -> ModelPackage:
    """The flights model of the demo, trained once through the library on January to September and kept in `folder`."""
    try:
        return ModelPackage.open(folder / "model")
    except UserError:  # not trained yet, or by an earlier version
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    table = folder / "flights.parquet"
    pd.concat([pd.read_parquet(month) for month in prepare()[:_TRAINING_MONTHS]]).to_parquet(table, index=False)
    dataset, model, metrics, report = (
        kind(name=name, uri=str(folder / name), metadata={})
        for kind, name in ((dsl.Dataset, "data"), (dsl.Model, "model"), (dsl.Metrics, "metrics"), (dsl.HTML, "report"))
    )
    load.run(str(table), dataset)
    train.run(
        dataset, model, metrics, report,
        target="late", exclude=["departure"], params=_PARAMS,
    )  # fmt: skip
    return ModelPackage.open(model.path)


def questions(package: ModelPackage, rows: int, count: int) -> list[Question]:
    """`count` requests of `rows` flights each of October to December.

    Only flights without a missing value are asked about: pandas makes an object column of a null, which the
    scikit-learn servers refuse.
    """
    pipeline = package.sklearn()
    months = prepare()[_TRAINING_MONTHS:]
    names = package.signature.names
    flights = pd.concat([pd.read_parquet(month, columns=names) for month in months]).dropna()
    some = flights.sample(rows * count, random_state=0)
    parts = [some.iloc[start : start + rows] for start in range(0, len(some), rows)]
    return [
        Question(
            part.to_dict("records"),
            pipeline.predict_proba(package.signature.encoded_frame(part)),
            pipeline.predict_proba(part),
        )
        for part in parts
    ]
