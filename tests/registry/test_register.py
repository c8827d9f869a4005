"""`register`: one package, one version, whatever happens on the way; and never without both blessings."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient
from mlflow.cli import gc

from components.register.component import register
from kubeline.errors import PlatformError, UserError
from kubeline.model_card.card import ModelCard
from kubeline.model_package import ModelPackage
from kubeline.registry import fetch, open_registry
from kubeline.registry.mlflow_registry import MLflowRegistry
from tests.registry.submissions import submission, versions
from tests.support.artifacts import make_artifact
from tests.support.blessed_packages import Blessed, blessed
from tests.support.signing_keys import signing_keys

Register = Callable[..., Any]


@pytest.fixture
def file(tmp_path: Path, tracking_uri: str) -> Register:
    """`file(blessed, **parameters)` runs the component."""

    def run(given: Blessed, **parameters: Any) -> Any:
        registration = make_artifact(tmp_path, "Artifact", "registration")
        settings = {"name": "flights", "tracking_uri": tracking_uri} | parameters
        card = make_artifact(tmp_path, "HTML", "model_card")
        return register.python_func(
            given.model, given.evaluation, given.infra_validation, registration, card, **settings
        )

    return run


def runs(tracking_uri: str) -> list[Any]:
    client = MlflowClient(tracking_uri)
    return client.search_runs([each.experiment_id for each in client.search_experiments()])


def test_a_version_holds_the_package_its_parameters_its_metrics_and_its_lineage(
    tmp_path: Path, file: Register, tracking_uri: str
) -> None:
    given = blessed(tmp_path)
    version, uri = file(given, pipeline_run="training-42", tags={"team": "ops", "package_digest": "forged"})
    assert (version, uri) == ("1", "models:/flights/1")
    (found,) = versions(tracking_uri)
    assert found.aliases == ("challenger",)
    assert found.tags == {
        "dataset_fingerprint": "f" * 64,
        "evaluation": "promote",
        "evaluation.reasons": "it is good",
        "git_revision": "0123abc",
        "infra_validation": "promote",
        "infra_validation.reasons": "it is good",
        "package_digest": given.package.digest,
        "package_uri": given.model.uri,
        "pipeline_run": "training-42",
        "task": "binary",
        "team": "ops",
    }
    (run,) = runs(tracking_uri)
    assert (run.info.run_id, run.info.status) == (found.run_id, "FINISHED")
    assert run.data.params == {
        "estimator": "hist_gradient_boosting",
        "loss": "log_loss",
        "max_iter": "20",
        "monotonic": '{"distance": 1}',
        "seed": "0",
        "target": "late",
    }
    assert run.data.metrics["validation.auc"] == 0.79
    assert run.data.metrics["evaluation.metrics.auc.value"] == 0.78
    assert "evaluation.passed" not in run.data.metrics
    assert run.data.tags["mlflow.source.git.commit"] == "0123abc"


def test_a_signed_package_keeps_its_signature_in_the_registry_and_one_that_nobody_signed_does_not_get_there(
    tmp_path: Path, file: Register, tracking_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = signing_keys()
    monkeypatch.setenv("KUBELINE_PUBLIC_KEY", keys.public)
    with pytest.raises(UserError, match="is not signed, but KUBELINE_PUBLIC_KEY asks for the signature of key"):
        file(blessed(tmp_path))
    assert runs(tracking_uri) == []
    monkeypatch.setenv("KUBELINE_SIGNING_KEY", keys.private)
    signed = blessed(tmp_path, seed=1)
    file(signed)
    fetched = fetch("models:/flights/1", tracking_uri)
    assert fetched is not None
    assert ModelPackage.open(fetched).digest == signed.package.digest


def test_the_registration_says_what_was_made(tmp_path: Path, file: Register) -> None:
    given = blessed(tmp_path)
    file(given)
    document = json.loads((tmp_path / "registration").read_text())
    assert document["uri"] == "models:/flights/1"
    assert document["aliases"] == ["challenger"]
    assert document["package_digest"] == given.package.digest


def test_the_card_of_a_model_lies_beside_its_package_in_three_forms_and_the_first_one_stays(
    tmp_path: Path, file: Register, tracking_uri: str
) -> None:
    given = blessed(tmp_path)
    file(given, about={"owner": "Ops"}, pipeline_run="training-42")
    (version,) = versions(tracking_uri)
    folder = Path(version.source.removeprefix("file://"))
    page = (tmp_path / "model_card").read_text(encoding="utf-8")
    assert (folder / "model_card.html").read_text(encoding="utf-8") == page
    assert "Ops" in page
    card = ModelCard.model_validate_json((folder / "model_card.json").read_text(encoding="utf-8"))
    assert (card.model.package_digest, card.lineage["pipeline_run"]) == (given.package.digest, "training-42")
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert readme.startswith("---\nlibrary_name: onnx\n")
    file(given, about={"owner": "Somebody else"})
    assert (folder / "README.md").read_text(encoding="utf-8") == readme


def test_the_same_package_has_one_version_and_one_run(tmp_path: Path, file: Register, tracking_uri: str) -> None:
    given = blessed(tmp_path)
    first = file(given, pipeline_run="monday")
    assert file(given, pipeline_run="tuesday") == first
    (version,) = versions(tracking_uri)
    assert version.tags["pipeline_run"] == "monday"  # the run that made it
    (run,) = runs(tracking_uri)
    assert len(MlflowClient(tracking_uri).get_metric_history(run.info.run_id, "score")) == 1


def test_the_same_package_under_another_name_is_another_model(tmp_path: Path, file: Register) -> None:
    given = blessed(tmp_path)
    assert file(given).uri == "models:/flights/1"
    assert file(given, name="copies").uri == "models:/copies/1"


def test_another_package_is_the_next_version_and_takes_the_alias(
    tmp_path: Path, file: Register, tracking_uri: str
) -> None:
    file(blessed(tmp_path, seed=1))
    assert file(blessed(tmp_path, seed=2)).version == "2"
    assert [version.aliases for version in versions(tracking_uri)] == [(), ("challenger",)]


def test_promotion_makes_the_champion_in_the_place_of_the_one_that_was(
    tmp_path: Path, file: Register, tracking_uri: str
) -> None:
    file(blessed(tmp_path, seed=1), promote=True)
    file(blessed(tmp_path, seed=2))
    assert [version.aliases for version in versions(tracking_uri)] == [("champion",), ("challenger",)]
    file(blessed(tmp_path, seed=3), promote=True, alias="blue")
    assert [version.aliases for version in versions(tracking_uri)] == [(), ("challenger",), ("blue", "champion")]


def test_a_challenger_that_is_promoted_is_no_longer_the_challenger(tmp_path: Path, tracking_uri: str) -> None:
    registry = open_registry(tracking_uri)
    version = registry.point("challenger", registry.register(submission(blessed(tmp_path))))
    assert registry.promote(version).aliases == ("champion",)
    assert registry.promote(version).aliases == ("champion",)


def test_the_champion_registered_again_does_not_become_its_own_challenger(
    tmp_path: Path, file: Register, tracking_uri: str
) -> None:
    given = blessed(tmp_path)
    file(given, promote=True)
    file(given)
    assert [version.aliases for version in versions(tracking_uri)] == [("champion",)]


def test_no_alias_can_be_asked_for(tmp_path: Path, file: Register, tracking_uri: str) -> None:
    file(blessed(tmp_path), alias="")
    assert [version.aliases for version in versions(tracking_uri)] == [()]


@pytest.mark.parametrize("verdict", ["hold", "inconclusive"])
def test_a_package_without_the_verdict_promote_is_refused(
    verdict: Any, tmp_path: Path, file: Register, tracking_uri: str
) -> None:
    with pytest.raises(UserError, match=f"evaluation says {verdict}"):
        file(blessed(tmp_path, verdict=verdict))
    assert runs(tracking_uri) == []


def test_blessings_of_another_package_or_in_the_wrong_place_are_refused(
    tmp_path: Path, file: Register, tracking_uri: str
) -> None:
    given, other = blessed(tmp_path, seed=1), blessed(tmp_path, seed=2)
    with pytest.raises(UserError, match="speaks of package"):
        file(given._replace(infra_validation=other.infra_validation))
    with pytest.raises(UserError, match="a blessing of infra_validation is needed"):
        file(given._replace(infra_validation=given.evaluation))
    assert not (tmp_path / "registration").exists()
    assert runs(tracking_uri) == []


def test_a_package_changed_after_its_blessing_is_refused(tmp_path: Path, file: Register) -> None:
    given = blessed(tmp_path)
    (given.package.path / "model.onnx").write_bytes(b"other weights")
    with pytest.raises(UserError, match=r"model\.onnx .* was changed after training"):
        file(given)


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "it's", "a@b", "-x", "x" * 200])
def test_a_name_that_no_registry_takes_is_refused(name: str, tmp_path: Path, file: Register) -> None:
    with pytest.raises(UserError, match="cannot name a registered model"):
        file(blessed(tmp_path), name=name)


@pytest.mark.parametrize("alias", ["latest", "v3", "7", "Blue", "a b"])
def test_an_alias_that_no_registry_takes_is_refused(alias: str, tmp_path: Path, file: Register) -> None:
    with pytest.raises(UserError, match="cannot be an alias"):
        file(blessed(tmp_path), alias=alias)


def test_champion_is_not_an_alias_that_slips_in_without_a_promotion(tmp_path: Path, file: Register) -> None:
    with pytest.raises(UserError, match="promote=True"):
        file(blessed(tmp_path), alias="champion")


def test_a_second_version_of_the_same_package_is_removed_unless_someone_points_to_it(
    tmp_path: Path, file: Register, tracking_uri: str
) -> None:
    given = blessed(tmp_path)
    file(given)
    client = MlflowClient(tracking_uri)
    for _ in range(2):  # as two writers on a server could, for a moment
        client.create_model_version("flights", "file:///x", tags={"package_digest": given.package.digest})
    client.set_registered_model_alias("flights", "audited", "3")
    assert file(given).version == "1"
    assert [version.version for version in versions(tracking_uri)] == ["1", "3"]


def test_files_that_were_lost_are_logged_again(tmp_path: Path, file: Register, tracking_uri: str) -> None:
    given = blessed(tmp_path)
    file(given)
    (version,) = versions(tracking_uri)
    shutil.rmtree(version.source.removeprefix("file://"))
    with pytest.raises(PlatformError, match="register the package again"):
        open_registry(tracking_uri).download(version, tmp_path)
    file(given)
    assert (open_registry(tracking_uri).download(version, tmp_path) / "model.onnx").read_bytes() == b"weights 0"


@pytest.mark.parametrize("for_good", [True, False])
def test_a_package_whose_run_was_deleted_is_registered_again_with_its_aliases(
    for_good: bool, tmp_path: Path, file: Register, tracking_uri: str
) -> None:
    given = blessed(tmp_path)
    file(given, promote=True)
    client = MlflowClient(tracking_uri)
    client.set_registered_model_alias("flights", "audited", "1")
    client.delete_run(versions(tracking_uri)[0].run_id)
    if for_good:
        done = CliRunner(env={"MLFLOW_TRACKING_URI": tracking_uri}).invoke(gc, ["--backend-store-uri", tracking_uri])
        assert "has been permanently deleted" in done.output
    assert file(given).version == ("2" if for_good else "1")
    (version,) = versions(tracking_uri)
    assert version.aliases == ("audited", "champion")
    assert (open_registry(tracking_uri).download(version, tmp_path) / "model.onnx").read_bytes() == b"weights 0"
    assert [run.info.lifecycle_stage for run in runs(tracking_uri)] == ["active"]
    assert file(given).version == version.version


def test_a_deleted_experiment_is_reported_with_what_to_do(tmp_path: Path, file: Register, tracking_uri: str) -> None:
    client = MlflowClient(tracking_uri)
    client.delete_experiment(client.create_experiment("old"))
    with pytest.raises(UserError, match="experiment 'old' is deleted; restore it or give another"):
        file(blessed(tmp_path), experiment="old")


def test_a_file_that_is_no_database_is_reported_in_one_sentence(tmp_path: Path, file: Register) -> None:
    (tmp_path / "notes.db").write_text("these are my notes, not a database at all " * 50)
    with pytest.raises(PlatformError, match="file is not a database") as caught:
        file(blessed(tmp_path), tracking_uri=f"sqlite:///{tmp_path}/notes.db")
    assert "\n" not in str(caught.value)


def test_the_default_registry_is_the_environment_s_then_a_file_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert MLflowRegistry().uri == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example")
    assert MLflowRegistry().uri == "https://mlflow.example"
    assert MLflowRegistry("sqlite:///here.db").uri == f"sqlite:///{tmp_path}/here.db"


@pytest.mark.parametrize("variable", ["KFP_POD_NAME", "CLOUD_ML_JOB_ID"])
def test_on_a_cluster_a_database_that_would_be_lost_is_refused(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "training-42-impl")
    with pytest.raises(UserError, match="would be lost with it; give tracking_uri"):
        open_registry()


def _in_a_child(work: Callable[[], None]) -> int:
    """Run `work` in a forked process; return how it ended, as :func:`os.waitpid` says."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # the child must not run the rest of the tests
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def _register_until_killed(uri: str, given: Blessed, calls: int) -> int:
    """Register in a child that kills itself after so many calls of MLflow's client."""
    left = calls

    def count(frame: Any, event: str, _: object) -> None:
        nonlocal left
        inside = frame.f_code.co_filename.endswith("mlflow/tracking/client.py")
        called_by_us = frame.f_back and "/registry/mlflow_" in frame.f_back.f_code.co_filename
        if event == "return" and inside and called_by_us:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def work() -> None:
        sys.setprofile(count)
        registry = open_registry(uri)
        registry.promote(registry.register(submission(given)))

    return _in_a_child(work)


@pytest.mark.slow
def test_a_kill_after_any_call_leaves_no_duplicate_once_it_is_run_again(tmp_path: Path, empty_database: Path) -> None:
    given = blessed(tmp_path)
    for calls in range(2, 100):  # the first is the making of the client
        folder = tmp_path / str(calls)
        folder.mkdir()
        uri = f"sqlite:///{shutil.copyfile(empty_database, folder / 'mlflow.db')}"
        end = _register_until_killed(uri, given, calls)
        registry = open_registry(uri)
        registry.promote(registry.register(submission(given)))
        assert [(each.version, each.aliases) for each in versions(uri)] == [("1", ("champion",))]
        (run,) = runs(uri)
        assert (run.info.status, run.data.params, run.data.metrics) == ("FINISHED", {"max_iter": "20"}, {"auc": 0.8})
        stored = folder / "mlruns" / "flights" / run.info.run_id / "artifacts" / "model" / "package"
        assert (stored.parent / "MLmodel").is_file()
        assert {path.name: path.read_bytes() for path in stored.iterdir()} == {
            path.name: path.read_bytes() for path in given.package.path.iterdir()
        }
        if end == 0:
            break
        assert end == signal.SIGKILL
    assert calls > 10


def test_a_kill_while_the_database_is_made_leaves_none_and_the_next_call_makes_it(tmp_path: Path) -> None:
    given = blessed(tmp_path)
    uri = f"sqlite:///{tmp_path}/new/mlflow.db"
    drafts = set(Path("/dev/shm").glob("kubeline-*"))  # noqa: S108

    def kill_in_a_migration(frame: Any, event: str, _: object) -> None:
        if event == "return" and frame.f_code.co_name == "upgrade" and "db_migrations" in frame.f_code.co_filename:
            os.kill(os.getpid(), signal.SIGKILL)

    def work() -> None:
        sys.setprofile(kill_in_a_migration)
        open_registry(uri).register(submission(given))

    assert _in_a_child(work) == signal.SIGKILL
    for draft in set(Path("/dev/shm").glob("kubeline-*")) - drafts:  # noqa: S108
        shutil.rmtree(draft)
    assert not (tmp_path / "new" / "mlflow.db").exists()
    assert open_registry(uri).register(submission(given)).version == "1"


@pytest.mark.slow
def test_two_steps_that_register_one_package_at_once_on_a_fresh_database_make_one_version(tmp_path: Path) -> None:
    given = blessed(tmp_path)
    uri = f"sqlite:///{tmp_path}/new/mlflow.db"
    script = (
        "import sys; from pathlib import Path; from kubeline.registry import Submission, open_registry\n"
        "open_registry(sys.argv[1]).register(Submission('flights', Path(sys.argv[2]), sys.argv[3]))"
    )
    command = [sys.executable, "-c", script, uri, given.model.path, given.package.digest]
    steps = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)]
    assert [(step.communicate()[0], step.returncode) for step in steps] == [("", 0), ("", 0)]  # and MLflow is quiet
    assert [version.version for version in versions(uri)] == ["1"]
    assert len(runs(uri)) == 1
