"""CONTRIBUTING.md is true: its paths are there, and following it makes a component that is whole."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kubeline.evaluation.metrics import METRICS
from kubeline.training.estimators import ESTIMATORS

ROOT = Path(__file__).parents[1]
NEW = "count_rows"


def follow(clone: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments in a clone, on the clone's own sources."""
    environment = {**os.environ, "PYTHONPATH": f"{clone / 'src'}{os.pathsep}{clone}"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=clone, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What git knows of this project, in a folder of its own."""
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, files.split("\0")):
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, tmp_path / name)
    return tmp_path


def test_every_path_that_it_names_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    paths = re.findall(r"`((?:components|images|manifests|pipelines|serving|src|tests)/[\w./-]*)`", text)
    assert len(paths) > 15
    assert [path for path in paths if NEW not in path and not (ROOT / path).exists()] == []


def test_make_component_gives_one_that_compiles_is_clean_and_passes_its_tests(clone: Path) -> None:
    made = follow(clone, "-m", "components.scaffold", NEW)
    assert made.returncode == 0, made.stderr
    assert f"wrote components/{NEW}/component.yaml" in made.stdout
    for check in (["compile.py", "--check"], ["-m", "ruff", "check", "."], ["-m", "ruff", "format", "--check", "."]):
        done = follow(clone, *check)
        assert done.returncode == 0, done.stdout
    tests = ["-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/{NEW}", "tests/test_architecture.py"]
    done = follow(
        clone, *tests, f"tests/pipelines/test_compiled.py::test_no_step_installs_anything[{NEW}/component.yaml]"
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"\b\d+ passed", done.stdout)


def write_into(file: Path, before: str, text: str) -> None:
    """Put text in front of the first place of `before`."""
    content = file.read_text(encoding="utf-8")
    assert before in content
    file.write_text(content.replace(before, text + before, 1), encoding="utf-8")


ESTIMATOR = """\
    "extra_trees": Estimator(
        library="scikit-learn",
        classifier="sklearn.ensemble.ExtraTreesClassifier",
        regressor="sklearn.ensemble.ExtraTreesRegressor",
        defaults={"max_leaf_nodes": 1024, "min_samples_leaf": 2},
        fixed={},
        threaded=True,
        space={"max_leaf_nodes": Range(64, 2048)},
        reads_missing=False,
        round_thresholds=thresholds.of_a_forest,
    ),
"""


def test_an_estimator_is_one_entry_that_the_tests_of_exactness_train(clone: Path) -> None:
    write_into(clone / "src/kubeline/training/estimators.py", '    "linear": Estimator(', ESTIMATOR)
    write_into(
        clone / "tests/support/training_tables.py", '    "linear": {}', '    "extra_trees": {"n_estimators": 20},\n'
    )
    tests = "tests/training/test_exactness.py::test_onnx_and_scikit_learn_agree_on_fresh_rows"
    done = follow(clone, "-m", "pytest", "-q", "-p", "no:cacheprovider", tests, "-k", "extra_trees and not regression")
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


METRIC = """\
    Metric("specificity", "Specificity", True, UNIT, terms.labels, terms.specificity, _single_class),
"""
TERMS = """\
def specificity(sums: list[Array], _: Terms) -> Array:
    \"\"\"Recall of the negative class.\"\"\"
    hits, true, _predicted = sums
    return _ratio(hits[:, 0], true[:, 0])


"""


def test_a_metric_is_one_entry_that_is_held_against_a_library(clone: Path) -> None:
    write_into(clone / "src/kubeline/evaluation/terms.py", "def macro_f1(", TERMS)
    write_into(clone / "src/kubeline/evaluation/metrics.py", '    Metric("f1"', METRIC)
    expected = '    ("binary", "specificity"): lambda s: sk.recall_score(s.target, s.prediction, pos_label=0),\n'
    write_into(clone / "tests/evaluation/test_metrics.py", '    ("multiclass", "log_loss")', expected)
    tests = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/evaluation/test_metrics.py"]
    done = follow(clone, *tests, "-k", "specificity")
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_every_estimator_and_every_metric_is_named_by_its_component() -> None:
    for component, names in {
        "train": set(ESTIMATORS),
        "evaluate": {name for metrics in METRICS.values() for name in metrics},
    }.items():
        page = (ROOT / "components" / component / "README.md").read_text(encoding="utf-8")
        assert {name for name in names if f"``{name}``" not in page} == set()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "cannot name a component"),
        ("../x", "cannot name"),
        ("class", "cannot name"),
        ("train", "has a train already"),
    ],
)
def test_a_name_that_no_component_can_have_writes_nothing(clone: Path, name: str, reason: str) -> None:
    before = sorted(clone.rglob("*"))
    made = follow(clone, "-m", "components.scaffold", name)
    assert (made.returncode, reason in made.stderr) == (2, True), made.stderr
    assert [path for path in sorted(clone.rglob("*")) if path not in before and "__pycache__" not in path.parts] == []
