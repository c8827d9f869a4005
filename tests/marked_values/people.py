"""A run from a table of people to a blessed model and a checked window; each value of two columns holds a mark."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from components.alarm.component import alarm
from components.drift_check.component import drift_check
from components.evaluate.component import evaluate
from components.infra_validate.component import infra_validate
from components.predict.component import predict
from components.split.component import split
from components.train.component import train
from components.transform.component import transform
from components.validate.component import validate
from tests.support.artifacts import make_artifact, make_dataset

MARK = "zqxj"  # in every value of the two columns of people
ROWS = 400
DERIVE = {"code": "surname || mail", "old": "age > 60"}


def people(ending: str = "") -> pd.DataFrame:
    rng = np.random.default_rng(0)
    age = rng.integers(18, 90, ROWS)
    return pd.DataFrame(
        {
            "mail": [None if number == 7 else f"{MARK}{number}@example.org" for number in range(ROWS)],
            "surname": [f"{MARK}{number % 3}{ending}" for number in range(ROWS)],
            "age": age,
            "at": pd.date_range("2026-01-01", periods=ROWS, freq="h"),
            "late": age + rng.normal(0, 10, ROWS) > 54,
        }
    )


def content(file: Path) -> str:
    if file.suffix == ".parquet":
        return str(pq.read_table(file).to_pylist())
    return file.read_bytes().decode("utf-8", errors="replace")


@dataclass
class Run:
    """What the steps of a run made, and what they said."""

    folder: Path
    made: dict[str, Any] = field(default_factory=dict)
    said: str = ""

    def new(self, kind: str, name: str) -> Any:
        self.made[name] = make_artifact(self.folder, kind, name)
        return self.made[name]

    def news(self, **kinds: str) -> list[Any]:
        return [self.new(kind, name) for name, kind in kinds.items()]

    def shown(self) -> dict[str, str]:
        """What people read of it, by name."""
        files = {name: content(Path(one.path)) for name, one in self.made.items() if Path(one.path).is_file()}
        metadata = {f"metadata of {name}": str(one.metadata) for name, one in self.made.items()}
        return {**files, **metadata, "said": self.said}


def marked(texts: dict[str, str]) -> list[str]:
    return [name for name, text in texts.items() if MARK in text]


def learn(run: Run) -> None:
    new, news = run.new, run.news
    table = make_dataset(run.folder, people(), "came")
    outputs = news(valid="Dataset", refused="Dataset", schema="Artifact", validate="HTML")
    validate.python_func(table, *outputs, target="late", mode="warn")
    split.python_func(run.made["valid"], *news(learn="Dataset", test="Dataset", split="Markdown"))
    transform.python_func(run.made["learn"], *news(transform="Artifact", derived="HTML"), derive=DERIVE, target="late")
    outputs = news(model="Model", numbers="Metrics", train="HTML")
    train.python_func(
        run.made["learn"], *outputs, target="late", estimator="linear", tuning_trials=2, exclude=["at"], derive=DERIVE
    )
    evaluate.python_func(
        run.made["test"],
        run.made["model"],
        metrics=new("Metrics", "figures"),
        classification=new("ClassificationMetrics", "curves"),
        blessing=new("Artifact", "evaluation"),
        predictions=new("Dataset", "answers"),
        report=new("HTML", "evaluate"),
        slices=["surname"],
        fairness={"demographic_parity_difference": {"columns": ["surname"], "at_most": 1.0}},
        min_rows=10,
        min_slice_rows=5,
        replicates=100,
        champion="models:/people@champion",
        pipeline_run="run-1",
        tracking_uri=f"sqlite:///{run.folder}/mlflow.db",
    )


def judge(run: Run) -> None:
    new, news = run.new, run.news
    infra_validate.python_func(
        run.made["model"], *news(infra_validation="Artifact", times="Metrics", answered="HTML"), requests=5
    )
    later = make_dataset(run.folder, people("y").assign(age="q"), "later")
    outputs = news(predicted="Dataset", quarantine="Dataset", counts="Metrics", predict="HTML")
    predict.python_func(later, *outputs, model=run.made["model"], max_quarantine=1.0)
    window = make_dataset(run.folder, people("y"), "window")
    window.metadata["window"] = "2026-01-01T00:00:00+00:00/2026-01-18T00:00:00+00:00"
    outputs = news(result="Artifact", shift="Metrics", drift="HTML", evidently="HTML")
    drift_check.python_func(window, *outputs, model=run.made["model"], slices=["surname"], min_auc=1.0)
    alarm.python_func(run.made["result"], new("Artifact", "alarm"), history=str(run.folder / "history"))
