"""The best candidate is taken whole, and only among what can be compared."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.select.component import select
from kubeline.errors import UserError
from kubeline.model_package import ModelPackage
from tests.support.artifacts import Maker, make_artifact
from tests.support.training import trained
from tests.support.training_tables import for_task, mixed_table


@pytest.fixture(scope="module")
def candidates(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Model artifacts by name: three comparable ones, and some that differ in one thing."""
    base = for_task(mixed_table(), "binary").assign(w=np.linspace(0.5, 1, 600))
    plans: dict[str, dict[str, Any]] = {
        "weak": {"params": {"max_iter": 1, "max_leaf_nodes": 2}},
        "good": {"params": {"max_iter": 40}},
        "linear": {"estimator": "linear"},
        "other seed": {"seed": 1},
        "weighted": {"weight_column": "w"},
        "other target": {"target": "probabilities"},
        "other task": {"target": "rooms"},
        "other table": {},
    }
    made = {}
    for name, plan in plans.items():
        frame = base.head(580) if name == "other table" else base
        if name == "other task":
            frame = frame.fillna({"rooms": 1.0}).assign(rooms=lambda table: table["rooms"] * 1.5)
        exclude = [] if plan.get("weight_column") else ["w"]
        made[name] = trained(tmp_path_factory.mktemp("candidate"), frame, **{"exclude": exclude, **plan})["model"]
    return made


def run(models: Any, artifact: Maker) -> Any:
    model, report = artifact("Model", "selected"), artifact("Markdown", "table")
    select.python_func(models=models, model=model, report=report)
    return model, Path(report.path).read_text(encoding="utf-8")


def test_the_best_score_wins_and_its_package_keeps_its_digest(candidates: dict[str, Any], artifact: Maker) -> None:
    models = [candidates[name] for name in ("weak", "good", "linear")]
    packages = [ModelPackage.open(model.path) for model in models]
    best = max(packages, key=lambda package: package.manifest.score)
    model, table = run(models, artifact)
    assert ModelPackage.open(model.path).digest == best.digest
    assert model.metadata["package_digest"] == best.digest
    rows = [line for line in table.splitlines() if line.startswith("| ") and "estimator" not in line]
    assert len(rows) == 3
    assert rows[0].startswith("| **chosen** |")
    assert best.digest[:12] in rows[0]


def test_the_first_of_equals_is_taken(candidates: dict[str, Any], artifact: Maker) -> None:
    model, _ = run([candidates["good"], candidates["good"]], artifact)
    assert model.metadata["package_digest"] == candidates["good"].metadata["package_digest"]


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("other seed", "set of held-out rows"),
        ("weighted", "set of held-out rows"),
        ("other target", "target"),
        ("other task", "task"),
        ("other table", "dataset"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    candidates: dict[str, Any], artifact: Maker, tmp_path: Path, name: str, what: str
) -> None:
    with pytest.raises(UserError, match=f"the candidates cannot be compared: the {what} of"):
        run([candidates["good"], candidates[name]], artifact)
    assert not list(tmp_path.iterdir())


def test_a_damaged_candidate_stops_the_selection(candidates: dict[str, Any], artifact: Maker, tmp_path: Path) -> None:
    bad = make_artifact(tmp_path / "bad", "Model", "model")
    shutil.copytree(candidates["weak"].path, bad.path)
    (Path(bad.path) / "model.onnx").write_bytes(b"")
    with pytest.raises(UserError, match=r"model\.onnx of the model package"):
        run([candidates["good"], bad], artifact)
    assert not (tmp_path / "selected").exists()


def test_no_candidate_is_an_error(artifact: Maker) -> None:
    with pytest.raises(UserError, match="there is no candidate to select from"):
        run([], artifact)
