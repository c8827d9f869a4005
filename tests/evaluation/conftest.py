"""Small packages, and the component as a pipeline calls it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kfp import dsl

from components.evaluate.component import evaluate
from kubeline.model_package import ModelPackage
from tests.evaluation.packages import people, trained

KINDS = {
    "blessing": "Artifact",
    "predictions": "Dataset",
    "metrics": "Metrics",
    "classification": "ClassificationMetrics",
    "report": "HTML",
}


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelPackage]:
    folder, train = tmp_path_factory.mktemp("packages"), people(3_000, 1)
    return {
        "good": trained(folder / "good", train, ["a", "b", "noise"], "buys"),
        "weak": trained(folder / "weak", train, ["b", "noise"], "buys"),
        "useless": trained(folder / "useless", train, ["noise"], "buys"),
        "shy": trained(folder / "shy", train[(train["buys"] == "no") | (train.index < 100)], ["noise"], "buys"),
        "leaking": trained(folder / "leaking", train, ["a", "later"], "buys"),
        "amount": trained(folder / "amount", train, ["a", "b"], "amount", regression=True),
        "size": trained(folder / "size", train, ["a", "b"], "size"),
    }


@pytest.fixture
def judge(packages: dict[str, ModelPackage], dataset: Callable[..., Any], artifact: Callable[..., Any]) -> Any:
    """`judge(model, test, champion, ...)` runs the component; its artifacts are in `judge.outputs`."""

    def run(
        model: str | Path,
        test: pd.DataFrame,
        champion: str = "",
        metadata: Mapping[str, Any] = {},
        test_metadata: Mapping[str, Any] = {},
        **parameters: Any,
    ) -> str:
        folder = packages[model].path if isinstance(model, str) else model
        run.outputs = {name: artifact(kind, name) for name, kind in KINDS.items()}  # type: ignore[attr-defined]
        table = dataset(test, "test")
        table.metadata.update(test_metadata)
        return evaluate.python_func(
            test=table,
            model=dsl.Model(name="model", uri=str(folder), metadata=dict(metadata)),
            champion=str(packages[champion].path) if champion in packages else champion,
            **run.outputs,  # type: ignore[attr-defined]
            **parameters,
        )

    return run
