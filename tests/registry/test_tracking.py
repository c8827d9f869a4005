"""A pipeline run in MLflow: a run with one below it for each candidate, and one below that for each trial."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import mlflow.data
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from kubeline.model_package.blessing import Blessing, Verdict
from kubeline.registry import Submission, facts, open_registry
from kubeline.registry.tracking import track
from tests.registry.records import TEST, record
from tests.registry.submissions import versions
from tests.support.blessed_packages import Blessed, blessed

CHAMPION = "models:/flights@champion"


def file(uri: str, given: Blessed, pipeline_run: str = "training-42") -> None:
    evaluation = Blessing.read(given.evaluation.path)
    track(pipeline_run, CHAMPION, uri, given.package, record(given), evaluation, TEST)


def runs(uri: str) -> dict[str, Run]:
    """By name, below the names of the runs that each was part of."""
    client = MlflowClient(uri)
    found = client.search_runs([each.experiment_id for each in client.search_experiments()])
    by_id = {run.info.run_id: run for run in found}

    def path(run: Run) -> str:
        parent = by_id.get(run.data.tags.get("mlflow.parentRunId", ""))
        return (f"{path(parent)}/" if parent else "") + run.info.run_name

    named = {path(run): run for run in found}
    assert len(named) == len(found)
    return named


@pytest.mark.parametrize("verdict", ["promote", "hold"])
def test_candidates_and_trials_are_runs_below_the_pipeline_run_also_of_a_model_that_is_held(
    verdict: Verdict, tmp_path: Path, tracking_uri: str
) -> None:
    given = blessed(tmp_path, verdict=verdict)
    file(tracking_uri, given)
    found = runs(tracking_uri)
    chosen = "training-42/candidate 2: hist_gradient_boosting"
    trials = [f"{chosen}/trial {number}" for number in (1, 2, 3)]
    assert sorted(found) == ["training-42", "training-42/candidate 1: linear", chosen, *trials]
    assert {run.info.status for run in found.values()} == {"FINISHED"}
    assert found["training-42"].data.tags["evaluation"] == verdict
    assert [found[trial].data.metrics for trial in trials] == [{"score": 0.7}, {"score": 0.78}, {}]
    assert found[trials[1]].data.params == {"max_iter": "300", "estimator": "hist_gradient_boosting"}
    for name in ("validation.auc", "score", "parity.max_difference"):  # to be compared side by side
        assert {name} <= found[chosen].data.metrics.keys() & found[
            "training-42/candidate 1: linear"
        ].data.metrics.keys()
    assert found[chosen].data.metrics["evaluation.metrics.auc.value"] == 0.78


def test_the_tables_are_inputs_with_their_fingerprints_and_a_source_that_mlflow_knows(
    tmp_path: Path, tracking_uri: str
) -> None:
    file(tracking_uri, blessed(tmp_path))
    inputs = runs(tracking_uri)["training-42"].inputs.dataset_inputs
    by_context = {each.tags[0].value: each.dataset for each in inputs}
    assert {context: dataset.digest for context, dataset in by_context.items()} == {
        "training": "f" * 36,
        "evaluation": "e" * 36,
    }
    assert "f" * 64 in by_context["training"].profile
    assert mlflow.data.get_source(by_context["training"]).to_dict() == {"uri": "s3://bucket/flights/2013"}
    assert "s3cret" not in str(mlflow.data.get_source(by_context["evaluation"]).to_dict())


def test_the_package_is_registered_with_the_run_of_its_candidate(tmp_path: Path, tracking_uri: str) -> None:
    given = blessed(tmp_path)
    file(tracking_uri, given, "training-41")
    file(tracking_uri, given)
    before = set(runs(tracking_uri))
    tags = {"pipeline_run": "training-42", "infra_validation": "promote"}
    params = facts.parameters(given.package)
    open_registry(tracking_uri).register(
        Submission("flights", given.package.path, given.package.digest, params, {"latency": 3.0}, tags)
    )
    found = runs(tracking_uri)
    assert set(found) == before
    run = found["training-42/candidate 2: hist_gradient_boosting"]
    assert [version.run_id for version in versions(tracking_uri)] == [run.info.run_id]
    assert (run.data.metrics["latency"], run.data.metrics["score"]) == (3.0, 0.79)
    assert run.data.tags["infra_validation"] == "promote"


def test_the_run_that_kubeflow_pipelines_made_is_the_parent(
    tmp_path: Path, tracking_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = blessed(tmp_path)
    client = MlflowClient(tracking_uri)
    place = tmp_path.as_uri()
    made = client.create_run(client.create_experiment("pipelines", artifact_location=place), run_name="of the plugin")
    monkeypatch.setenv("MLFLOW_RUN_ID", made.info.run_id)
    file(tracking_uri, given)
    submission = Submission("flights", given.package.path, given.package.digest, tags={"pipeline_run": "training-42"})
    open_registry(tracking_uri).register(submission)
    found = runs(tracking_uri)
    chosen = found["of the plugin/candidate 2: hist_gradient_boosting"]
    assert versions(tracking_uri)[0].run_id == chosen.info.run_id
    assert {run.info.experiment_id for run in found.values()} == {made.info.experiment_id}
    assert found["of the plugin"].info.status == "RUNNING"  # it is its maker's to end
    assert "evaluation.metrics.auc.value" in found["of the plugin"].data.metrics


@pytest.mark.parametrize(("pipeline_run", "champion"), [("", CHAMPION), ("training-42", "/packages/champion")])
def test_without_a_pipeline_run_or_a_registry_nothing_is_filed(
    pipeline_run: str, champion: str, tmp_path: Path, tracking_uri: str
) -> None:
    given = blessed(tmp_path)
    track(pipeline_run, champion, tracking_uri, given.package, None, Blessing.read(given.evaluation.path), TEST)
    assert runs(tracking_uri) == {}


def test_a_run_whose_name_holds_a_quote_is_found_again(tmp_path: Path, tracking_uri: str) -> None:
    given = blessed(tmp_path)
    for _ in range(2):
        file(tracking_uri, given, "Ann's training")
    assert len(runs(tracking_uri)) == 6


@pytest.mark.slow
def test_a_kill_after_any_call_leaves_the_same_runs_once_it_is_repeated(tmp_path: Path, tracking_uri: str) -> None:
    given = blessed(tmp_path)
    file(tracking_uri, given, "whole")
    whole = {path.partition("/")[2]: run for path, run in runs(tracking_uri).items()}

    def killed_after(calls: int, name: str) -> int:
        left = calls

        def count(frame: Any, event: str, _: object) -> None:
            nonlocal left
            called_by_us = frame.f_back and frame.f_back.f_code.co_filename.endswith("registry/mlflow_runs.py")
            if event == "return" and called_by_us and "mlflow/tracking/client.py" in frame.f_code.co_filename:
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        child = os.fork()
        if child == 0:
            sys.setprofile(count)
            file(tracking_uri, given, name)
            os._exit(0)
        return os.waitpid(child, 0)[1]

    for calls in range(1, 70, 5):
        name = f"killed after {calls}"
        end = killed_after(calls, name)
        file(tracking_uri, given, name)
        found = {path.partition("/")[2]: run for path, run in runs(tracking_uri).items() if path.startswith(name)}
        assert found.keys() == whole.keys()
        for part, run in found.items():
            assert (run.info.status, run.data.params, run.data.metrics) == (
                "FINISHED",
                whole[part].data.params,
                whole[part].data.metrics,
            )
            assert len(run.inputs.dataset_inputs) == len(whole[part].inputs.dataset_inputs)
        if end == 0:
            break
    assert end == 0
    assert calls > 15
