"""Of a step that failed, Kubeflow Pipelines keeps the log alone: what the report would say is in it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from components.split.component import split
from kubeline.errors import UserError
from tests.support.artifacts import Maker

ROOT = Path(__file__).parents[2]


def test_the_log_of_a_validation_that_fails_holds_every_finding_and_its_sentence_comes_last(
    dataset: Maker, tmp_path: Path
) -> None:
    table = dataset(
        pd.DataFrame({"key": [1, 2, 2, 4], "price": [1.0, float("inf"), 3.0, 4.0], "y": ["a", "b", "a", None]})
    )
    script = f"""
from types import SimpleNamespace
from kubeline.schema import validate
made = [SimpleNamespace(path="{tmp_path}/" + name, uri=name, metadata={{}}) for name in ("v", "q", "s", "r")]
table = SimpleNamespace(path={table.path!r}, uri={table.path!r}, metadata={{}})
validate.run(table, *made, target="y", rules=["key > 1"])
"""
    place = tmp_path / "termination-log"
    place.touch()
    variables = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "_KFP_RUNTIME": "true"}
    variables["KUBELINE_TERMINATION_LOG"] = str(place)
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=variables, check=False)
    assert ended.returncode == 2
    *log, sentence = ended.stderr.splitlines()
    findings = [line for line in log if line.startswith("ERROR ")]
    for word in ("price", "'y'", "key > 1"):
        assert any(word in line for line in findings), (word, ended.stderr)
    assert sentence.startswith("UserError: the table has 4 problems: ")
    assert place.read_text() == sentence


def test_a_deferred_failure_leaves_the_report_of_a_step_that_succeeds_and_the_next_step_says_the_sentence(
    check: Callable[..., Any], outputs: dict[str, Any], artifact: Maker
) -> None:
    bad = pd.DataFrame({"price": [1.0, float("inf"), 3.0, 4.0], "y": ["a", "b", "a", "b"]})
    with pytest.raises(UserError) as failed:
        check(bad)
    result = check(bad, defer_failure=True)
    assert not result.passed
    assert "failed: 1 problem" in result.report
    assert outputs["valid"].metadata["verdict"] == "refused"
    parts = (artifact("Dataset", "train"), artifact("Dataset", "test"), artifact("Markdown", "report"))
    with pytest.raises(UserError) as refused:
        split.python_func(outputs["valid"], *parts)
    assert str(refused.value) == str(failed.value)
    assert "price" in str(refused.value)
    assert not list(Path(outputs["valid"].path).glob("*.parquet"))  # a step that is not ours finds no table either

    assert check(bad.assign(price=1.5), defer_failure=True).passed  # run again on a good table
    split.python_func(outputs["valid"], *parts)
