"""A step loads what it works with: each import that it does not need is time in every pod and every local run."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

HEAVY = {
    "duckdb", "evidently", "kubernetes", "lightgbm", "matplotlib", "mlflow", "nltk", "onnx", "onnxruntime", "optuna",
    "pandas", "pandera", "plotly", "polars", "pyarrow", "scipy", "skl2onnx", "sklearn", "sqlalchemy", "xgboost",
}  # fmt: skip
TABLES = {"pandas", "pyarrow"}
# Of each component, the heavy libraries that its implementation may bring along.
MAY_LOAD = {
    "alarm": set(), "deploy": set(), "notify": set(), "preflight": set(), "promote_champion": set(), "register": set(),
    "select": set(), "take_alarm": set(),
    "drift_check": TABLES, "evaluate": TABLES, "infra_validate": TABLES, "load": TABLES, "predict": TABLES,
    "rollout": TABLES, "split": TABLES, "validate": TABLES,
    "import_model": TABLES | {"scipy", "sklearn"}, "train": TABLES | {"scipy", "sklearn"},
    "transform": TABLES | {"scipy", "sklearn"},
}  # fmt: skip


def loaded(code: str, *arguments: str) -> set[str]:
    """The heavy libraries that a process has loaded at the end of `code`."""
    reported = (
        f"{code}\nimport json, sys; print(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    )
    done = subprocess.run([sys.executable, "-c", reported, *arguments], capture_output=True, text=True, check=True)
    return HEAVY & set(json.loads(done.stdout.splitlines()[-1]))


def implementation(component: str) -> str:
    """What the body of a component imports."""
    source = (ROOT / "components" / component / "component.py").read_text(encoding="utf-8")
    statements = re.findall(r"^    (from kubeline\..+ import .+)$", source, re.MULTILINE)
    assert statements
    return "\n".join(statements)


def test_every_component_is_looked_at() -> None:
    assert MAY_LOAD.keys() == {path.parent.name for path in ROOT.glob("components/*/component.py")}


@pytest.mark.parametrize("allowed", [set(), TABLES, MAY_LOAD["train"]], ids=["none", "tables", "train"])
def test_a_step_loads_no_heavy_library_before_it_needs_one(allowed: set[str]) -> None:
    components = sorted(name for name, libraries in MAY_LOAD.items() if libraries == allowed)
    assert loaded("\n".join(map(implementation, components))) <= allowed, components


def test_the_plan_of_a_rollout_is_checked_without_libraries_of_tables() -> None:
    code = "from kubeline.preflight.parameters import check_plan; check_plan({'steps': [10, 100]})"
    assert loaded(code) == set()


def test_the_default_parameters_of_a_training_are_checked_without_the_libraries_that_train(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("a,y\n1,2\n3,4\n", encoding="utf-8")
    code = f"""
from kubeline.preflight.run import PreflightSettings, checks_of
candidates = [{{"estimator": "hist_gradient_boosting", "params": {{}}}}, {{"estimator": "xgboost"}}]
data = {str(tmp_path / "table.csv")!r}
tried = checks_of(PreflightSettings(data=data, target="y", name="flights", candidates=candidates,
                    tracking_uri="sqlite:///{tmp_path / "mlflow.db"}"))
assert not tried.failed, tried
"""
    assert loaded(code) <= TABLES


def test_models_are_measured_and_compared_without_the_libraries_that_train() -> None:
    """Half of the time that small tables take was their import."""
    code = """
import sys
import numpy as np
from kubeline.evaluation.bootstrap import Bootstrap
from kubeline.evaluation.comparison import compare_all
from kubeline.evaluation.curves import precision_recall, roc
from kubeline.evaluation.metrics import measure
from kubeline.evaluation.scored import Scored
probability = np.random.default_rng(0).random((2, 400))
model, other = (
    Scored("binary", ("no", "yes"), np.arange(400) % 2, (one > 0.5).astype(int), np.column_stack([1 - one, one]))
    for one in probability
)
measure(model, Bootstrap(400, 20), 0.95), compare_all(model, other, Bootstrap(400, 20), 0.95)
roc(model), precision_recall(model)
assert "scipy.stats" not in sys.modules
"""
    assert loaded(code) <= TABLES | {"scipy"}


def test_a_local_run_needs_no_client_of_a_back_end_or_of_a_cluster() -> None:
    """What compiles and reads pipelines is there all the same."""
    code = (
        "import kubeline.cli.program, kubeline.local.worker, sys, kfp.dsl\n"
        "kfp.dsl.pipeline, kfp.dsl.component, kfp.components.load_component_from_text\n"
        "assert 'kfp.client' not in sys.modules"
    )
    assert loaded(code) == set()
