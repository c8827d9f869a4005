"""Candidates are tuned and selected by the metric that decides in the end."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from components.select.component import select
from kubeline.errors import UserError
from kubeline.evaluation.metrics import METRICS
from tests.support.artifacts import Maker, make_artifact
from tests.support.training_tables import Train


def tables() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(2_000, 3)), columns=["a", "b", "c"])
    frame["w"] = rng.choice([0.0, 1.0, 5.0], 2_000)
    frame["y"] = np.where(frame["a"] + rng.normal(size=2_000) > 1.5, "fraud", "ok")
    frame["kind"] = pd.cut(frame["a"] + rng.normal(size=2_000), [-99, -1, 1, 99], labels=["x", "y", "z"]).astype(str)
    frame["price"] = 10 + frame["a"] + rng.normal(size=2_000)
    return frame


TARGETS = {"binary": "y", "multiclass": "kind", "regression": "price"}
EVERY = [(task, name) for task, metrics in METRICS.items() for name in metrics]


@pytest.mark.parametrize(("task", "metric"), EVERY)
def test_the_score_of_a_candidate_is_the_metric_that_decides_whatever_it_is(
    task: Any, metric: Any, train: Train
) -> None:
    others = [name for name in TARGETS.values() if name != TARGETS[task]]
    package = train(
        tables(), target=TARGETS[task], exclude=others, weight_column="w", metric=metric, params={"max_iter": 5}
    )
    greater = METRICS[task][metric].greater_is_better
    assert package.manifest.score_name == (metric if greater else f"neg_{metric}")
    assert package.manifest.score == (1 if greater else -1) * package.manifest.metrics[metric]


def test_by_recall_another_candidate_is_selected_than_by_roc_auc(train: Train, artifact: Maker, tmp_path: Path) -> None:
    frame = tables().drop(columns=["kind", "price", "w"])
    best = {}
    for metric in ("", "recall"):
        models = []
        for balanced in (False, True):
            plan = {"estimator": "linear" if not balanced else "hist_gradient_boosting", "balanced": balanced}
            package = train(frame, metric=metric, params={}, **plan)
            folder = tmp_path / f"{metric}-{balanced}"
            package.path.rename(folder)
            model = make_artifact(folder.parent, "Model", folder.name)
            models.append(model)
        chosen, report = artifact("Model", f"best-{metric}"), artifact("Markdown", f"report-{metric}")
        select.python_func(models=models, model=chosen, report=report)
        best[metric] = chosen.metadata["estimator"]
    assert best == {"": "linear", "recall": "hist_gradient_boosting"}


def test_a_metric_that_the_task_does_not_have_is_refused_before_anything_is_trained(train: Train) -> None:
    with pytest.raises(UserError, match="'rmse' is not a metric of a binary task; choose one of: roc_auc"):
        train(tables().drop(columns=["kind", "price"]), metric="rmse")


def test_tuning_makes_the_deciding_metric_best(train: Train) -> None:
    frame = tables().drop(columns=["kind", "price", "w"])
    package = train(frame, estimator="linear", params={}, metric="brier", tuning_trials=3, folds=2)
    assert package.manifest.score_name == "neg_brier"
