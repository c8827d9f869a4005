"""Vertex AI's Model Registry as the registry: one package, one version; aliases, labels, and the evaluation."""

import datetime
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest
import urllib3
from gcsfs.core import GCSFileSystem  # type: ignore[import-untyped]

from components.promote_champion.component import promote_champion
from kubeline.errors import PlatformError, UserError
from kubeline.http.google import GoogleCredentials, google_api
from kubeline.http.operations import finished
from kubeline.model_package import ModelPackage
from kubeline.registry import DataInput, Registry, RunRecord, fetch, open_registry
from tests.registry.submissions import submission
from tests.support.artifacts import make_artifact
from tests.support.blessed_packages import blessed
from tests.support.google_cloud import use
from tests.support.json_servers import Fault, served
from tests.support.real_servers import google_cloud_storage
from tests.support.vertex_models_server import VertexModelsServer

IMAGE = "europe-docker.pkg.dev/team/ml/kubeline-python-serving:0.1.0"


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with google_cloud_storage() as address, pytest.MonkeyPatch.context() as environment:
        environment.setenv("STORAGE_EMULATOR_HOST", address)
        # With an account, as these tests have, gcsfs asks by gRPC for the kind of a bucket, which is not answered here.
        before = fsspec.get_filesystem_class("gs")
        fsspec.register_implementation("gs", GCSFileSystem, clobber=True)
        urllib3.request("POST", f"{address}/storage/v1/b", json={"name": "bucket"})
        yield "gs://bucket"
        fsspec.register_implementation("gs", before, clobber=True)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[VertexModelsServer]:
    """The server; no client may have sent what it does not know."""
    made = VertexModelsServer()
    with served(made) as url:
        use(url, ("aiplatform",), tmp_path, monkeypatch)
        yield made
    assert made.refused == []


@pytest.fixture
def uri(server: VertexModelsServer, bucket: str, tmp_path: Path) -> str:
    return f"vertex://team/europe-west4?store={bucket}/{tmp_path.name}&image={IMAGE}"


def test_a_version_has_the_package_labels_an_alias_and_its_evaluation(
    tmp_path: Path, server: VertexModelsServer, file: Callable[..., Any], uri: str
) -> None:
    given = blessed(tmp_path)
    assert file(given, pipeline_run="Training 42") == ("1", "models:/flights/1")
    (version,) = server.versions["flights"]
    assert version["labels"] == {
        "dataset_fingerprint": "f" * 63,
        "evaluation": "promote",
        "git_revision": "0123abc",
        "infra_validation": "promote",
        "package_digest": given.package.digest[:63],
        "pipeline_run": "training_42",
        "task": "binary",
    }
    assert version["versionAliases"] == ["default", "challenger"]
    assert version["containerSpec"]["imageUri"] == IMAGE
    assert version["artifactUri"].endswith(f"/flights/{given.package.digest}/package")
    found = fetch("models:/flights@challenger", uri)
    assert found is not None
    assert ModelPackage.open(found).digest == given.package.digest
    page = json.loads((tmp_path / "registration").read_text(encoding="utf-8"))
    assert page["tags"]["package_digest"] == given.package.digest


def test_an_evaluation_is_imported_once_under_the_names_of_googles_schemas(
    tmp_path: Path, server: VertexModelsServer, registry: Registry
) -> None:
    measured = {"evaluation.metrics.roc_auc.value": 0.78, "evaluation.metrics.log_loss.value": 0.4, "score": 0.7}
    binary = replace(submission(blessed(tmp_path, seed=1)), metrics=measured)
    for _ in range(2):
        registry.register(binary)
    registry.register(replace(submission(blessed(tmp_path, seed=2)), metrics={"evaluation.metrics.rmse.value": 3.5}))
    (first,), (second,) = server.evaluations["flights@1"], server.evaluations["flights@2"]
    schemas = "gs://google-cloud-aiplatform/schema/modelevaluation"
    assert first["metrics"] == {"auRoc": 0.78, "logLoss": 0.4}
    assert first["metricsSchemaUri"] == f"{schemas}/classification_metrics_1.0.0.yaml"
    assert second["metrics"] == {"rootMeanSquaredError": 3.5}
    assert second["metricsSchemaUri"] == f"{schemas}/regression_metrics_1.0.0.yaml"


def test_the_next_package_is_a_version_of_the_same_model_and_becomes_the_champion_and_the_default(
    tmp_path: Path, server: VertexModelsServer, file: Callable[..., Any], uri: str
) -> None:
    file(blessed(tmp_path, seed=1), promote=True)
    assert file(blessed(tmp_path, seed=2)).version == "2"
    assert [each["versionAliases"] for each in server.versions["flights"]] == [["champion", "default"], ["challenger"]]
    outputs = [make_artifact(tmp_path, "Artifact", "champion"), make_artifact(tmp_path, "HTML", "card")]
    promote_champion.python_func(*outputs, name="flights", version="2", outcome="promoted", tracking_uri=uri)
    assert [each["versionAliases"] for each in server.versions["flights"]] == [[], ["champion", "default"]]
    champion = open_registry(uri).find("flights", alias="champion")
    assert champion is not None
    assert (champion.uri, champion.aliases) == ("models:/flights/2", ("champion",))


def test_the_same_package_has_one_version_also_when_answers_are_lost(
    tmp_path: Path, server: VertexModelsServer, registry: Registry
) -> None:
    server.faults = [Fault("POST", "models:upload$", 503, {"Retry-After": "0.01"}, after=True)]
    given = submission(blessed(tmp_path))
    first = registry.register(given)
    assert registry.register(given) == first
    assert len(server.versions["flights"]) == 1


def test_of_two_writers_the_later_one_deletes_what_it_has_uploaded(
    tmp_path: Path, server: VertexModelsServer, registry: Registry, uri: str
) -> None:
    registry.register(submission(blessed(tmp_path, seed=1)))
    given = submission(blessed(tmp_path, seed=2))

    def other() -> None:
        made = dict(server.versions["flights"][0])
        source = made["artifactUri"].replace(made["artifactUri"].split("/")[-2], given.digest)
        labels = {"package_digest": given.digest[:63]}
        server.versions["flights"].append(
            made | {"versionId": "2", "versionAliases": [], "artifactUri": source, "labels": labels}
        )

    server.meanwhile = other
    assert registry.register(given).version == "2"
    assert [each["versionId"] for each in server.versions["flights"]] == ["1", "2"]


def test_an_upload_that_fails_says_why_and_one_that_is_not_done_that_it_goes_on(
    tmp_path: Path, server: VertexModelsServer, registry: Registry
) -> None:
    server.failure = {"code": 7, "message": "Vertex AI Service Agent\n cannot read gs://bucket"}
    with pytest.raises(
        UserError, match="the upload of flights to vertex://team/europe-west4 failed: Vertex AI Service"
    ):
        registry.register(submission(blessed(tmp_path)))
    server.never_done = True
    api = google_api("aiplatform", "https://unused.example", GoogleCredentials(), "a role")
    with pytest.raises(
        PlatformError, match=r"the upload is not done after 1 s and goes on \(projects/team/.*/operations/1"
    ):
        finished(api, {"name": "projects/team/locations/europe-west4/operations/1"}, "the upload", 1)


def test_a_token_that_has_expired_is_renewed_and_who_may_not_is_told_the_role(
    tmp_path: Path, server: VertexModelsServer, registry: Registry
) -> None:
    assert registry.find("flights", alias="champion") is None
    server.tokens.clear()
    assert registry.find("flights", alias="champion") is None
    assert server.given == 2
    server.faults = [Fault("GET", "models/flights", 403)]
    with pytest.raises(UserError, match=r"\(403\): upstream; the account needs the role aiplatform\.user"):
        registry.find("flights", alias="champion")


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        ("vertex://team", "is no registry of Vertex AI; write vertex://PROJECT/LOCATION"),
        ("vertex://team/europe-west4?store=s3://bucket", "reads models from gs:// only"),
        ("vertex://team/europe-west4?store=gs://bucket/models", "no model without the image that serves it"),
        (f"vertex://team/europe-west4?image={IMAGE}", "has no folder for the packages"),
    ],
)
def test_an_address_that_lacks_what_an_upload_needs_is_refused_before_it(
    uri: str, sentence: str, tmp_path: Path, server: VertexModelsServer
) -> None:
    with pytest.raises(UserError, match=sentence):
        open_registry(uri).probe("flights")


def test_names_and_aliases_that_vertex_does_not_take_are_refused(
    tmp_path: Path, server: VertexModelsServer, registry: Registry
) -> None:
    with pytest.raises(UserError, match=r"'Flights\.2' cannot name a model of Vertex AI"):
        registry.find("Flights.2", alias="champion")
    version = registry.register(submission(blessed(tmp_path)))
    with pytest.raises(UserError, match="'blue_green' cannot be an alias of Vertex AI"):
        registry.point("blue_green", version)


def test_runs_and_windows_are_runs_of_an_experiment_with_the_models_name_however_often_they_are_filed(
    server: VertexModelsServer, registry: Registry
) -> None:
    trial = RunRecord("trial 1", {"max_depth": "3"}, {"score": 0.7})
    candidate = RunRecord("candidate 1: xgboost", {"seed": "0"}, {"score": 0.8}, {"chosen": "true"}, children=(trial,))
    table = DataInput("training", "f" * 64, "gs://bucket/flights")
    tree = RunRecord("Training 42", metrics={"score": 0.8}, inputs=(table,), children=(candidate,))
    moment = datetime.datetime(2026, 11, 28, tzinfo=datetime.UTC)
    for _ in range(2):
        registry.track("flights_late", "Training 42", tree)
        registry.observe("flights_late", "a" * 64, moment, {"psi": 0.02})
    assert server.contexts is not None
    assert server.contexts["flights-late"]["schemaTitle"] == "system.Experiment"
    runs = {server.contexts[name]["displayName"]: server.contexts[name] for name in server.children["flights-late"]}
    assert len(server.contexts) == 5
    assert runs.keys() == {
        "Training 42",
        "Training 42 / candidate 1: xgboost",
        "Training 42 / candidate 1: xgboost / trial 1",
        "monitoring-aaaaaaaa 2026-11-28T00:00",
    }
    assert {run["schemaTitle"] for run in runs.values()} == {"system.ExperimentRun"}
    chosen = runs["Training 42 / candidate 1: xgboost"]["metadata"]
    assert chosen["_params"] == {"part_of": "Training 42", "pipeline_run": "Training 42", "seed": "0", "chosen": "true"}
    assert (chosen["_metrics"], chosen["_state"]) == ({"score": 0.8}, "COMPLETE")
    assert runs["Training 42"]["metadata"]["_params"]["training_table"] == "f" * 64
