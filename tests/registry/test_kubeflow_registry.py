"""Kubeflow's Model Registry as the registry: one package, one version; aliases; and what KServe reads of it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from components.promote_champion.component import promote_champion
from kubeline.errors import PlatformError, UserError
from kubeline.model_card.card import ModelCard
from kubeline.registry import Registry, fetch, open_registry
from tests.registry.submissions import submission, versions
from tests.support.artifacts import make_artifact
from tests.support.blessed_packages import blessed
from tests.support.json_servers import Fault, served
from tests.support.model_registry_server import ModelRegistryServer


@pytest.fixture
def server() -> Iterator[ModelRegistryServer]:
    """The server; no client may have sent what it does not know."""
    made = ModelRegistryServer()
    yield made
    assert made.refused == []


@pytest.fixture
def uri(server: ModelRegistryServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.delenv("KF_PIPELINES_SA_TOKEN_PATH", raising=False)
    with served(server) as url:
        yield f"model-registry+{url}?store={tmp_path}/models"


def test_a_version_has_the_package_its_lineage_its_parameters_and_its_metrics(
    tmp_path: Path, server: ModelRegistryServer, file: Callable[..., Any], uri: str
) -> None:
    given = blessed(tmp_path)
    assert file(given, pipeline_run="training-42") == ("1", "models:/flights/1")
    (found,) = versions(uri)
    assert (found.aliases, found.tags["evaluation"], found.tags["pipeline_run"]) == (
        ("challenger",),
        "promote",
        "training-42",
    )
    (stored,) = server.versions.values()
    assert [artifact["name"] for artifact in server.artifacts.values()] == ["flights"]
    assert stored["customProperties"]["param.max_iter"] == {
        "metadataType": "MetadataStringValue",
        "string_value": "20",
    }
    assert stored["customProperties"]["metric.evaluation.metrics.auc.value"]["double_value"] == 0.78
    folder = tmp_path / "models" / "flights" / given.package.digest
    assert found.source == f"{folder}/package"
    assert {path.name for path in (folder / "package").iterdir()} == {
        path.name for path in given.package.path.iterdir()
    }
    fetched = fetch("models:/flights@challenger", uri)
    assert fetched == folder / "package"


@pytest.mark.parametrize("interface", ["v1", "v1alpha3"])
def test_the_interface_is_the_one_that_the_server_has(
    interface: str, tmp_path: Path, server: ModelRegistryServer, registry: Registry
) -> None:
    server.interface = interface
    assert registry.register(submission(blessed(tmp_path))).version == "1"


def test_what_is_no_model_registry_is_not_taken_for_an_empty_one(
    server: ModelRegistryServer, registry: Registry
) -> None:
    server.interface = "v2"
    with pytest.raises(PlatformError, match="is no Model Registry; check the address"):
        registry.find("flights", alias="champion")


def test_a_promotion_by_the_pipeline_moves_the_champion_and_stores_what_the_rollout_showed(
    tmp_path: Path, file: Callable[..., Any], uri: str
) -> None:
    file(blessed(tmp_path, seed=1), promote=True)
    given = blessed(tmp_path, seed=2)
    file(given)
    assert [version.aliases for version in versions(uri)] == [("champion",), ("challenger",)]
    decision = make_artifact(tmp_path, "Artifact", "decision")
    shown = {"outcome": "promoted", "package_digest": given.package.digest}
    Path(decision.path).write_text(json.dumps(shown), encoding="utf-8")
    outputs = [make_artifact(tmp_path, "Artifact", "champion"), make_artifact(tmp_path, "HTML", "card")]
    promote_champion.python_func(
        *outputs, name="flights", version="2", decision=decision, outcome="promoted", tracking_uri=uri
    )
    first, second = versions(uri)
    assert (first.aliases, second.aliases) == ((), ("champion",))
    card = ModelCard.model_validate_json(open_registry(uri).read_document(second, "model_card.json"))
    assert card.model.package_digest == second.tags["package_digest"]


def test_the_same_package_has_one_version_also_when_the_answers_are_lost(
    tmp_path: Path, server: ModelRegistryServer, registry: Registry
) -> None:
    given = blessed(tmp_path)
    paths = ("registered_models$", "model_versions$", "artifacts$")
    server.faults = [Fault("POST", path, 503, {"Retry-After": "0.01"}, after=True) for path in paths]
    first = registry.register(submission(given))
    assert registry.register(submission(given)) == first
    assert (len(server.models), len(server.versions), len(server.artifacts)) == (1, 1, 1)


def test_a_registration_that_was_killed_is_completed_by_the_next(
    tmp_path: Path, server: ModelRegistryServer, registry: Registry
) -> None:
    given = blessed(tmp_path)
    server.faults = [Fault("POST", "artifacts$", 500)]
    with pytest.raises(PlatformError, match=r"the Model Registry at 127\.0\.0\.1:\d+ failed \(500\): upstream"):
        registry.register(submission(given))
    assert registry.register(submission(given)).source.endswith(f"{given.package.digest}/package")
    assert len(server.versions) == 1


def test_a_number_that_another_writer_took_meanwhile_is_not_taken_again(
    tmp_path: Path, server: ModelRegistryServer, registry: Registry
) -> None:
    registry.register(submission(blessed(tmp_path, seed=1)))
    (model,) = server.models
    server.versions["91"] = {"id": "91", "name": "2", "registeredModelId": model}
    server.versions["92"] = {"id": "92", "name": "not a number", "registeredModelId": model}
    assert registry.register(submission(blessed(tmp_path, seed=2))).version == "3"


def test_a_model_is_not_taken_for_another_whose_name_its_name_is_a_pattern_of(
    tmp_path: Path, server: ModelRegistryServer, uri: str, file: Callable[..., Any]
) -> None:
    file(blessed(tmp_path, seed=1), name="flightsXlate")
    file(blessed(tmp_path, seed=2), name="flights_late", promote=True)
    assert {model["name"] for model in server.models.values()} == {"flights_late", "flightsXlate"}
    found = open_registry(uri).find("flights_late", alias="champion")
    assert found is not None
    assert found.uri == "models:/flights_late/1"


def test_aliases_of_others_and_other_properties_stay_when_one_moves(
    tmp_path: Path, server: ModelRegistryServer, registry: Registry
) -> None:
    version = registry.point("challenger", registry.register(submission(blessed(tmp_path))))
    (model,) = server.models.values()
    team = {"metadataType": "MetadataStringValue", "string_value": "ops"}
    model["customProperties"]["team"] = team
    registry.point("audited", version)
    assert registry.promote(version).aliases == ("audited", "champion")
    assert server.models[model["id"]]["customProperties"]["team"] == team


def test_a_champion_is_looked_up_and_none_is_none(registry: Registry, tmp_path: Path) -> None:
    assert registry.find("flights", alias="champion") is None
    version = registry.register(submission(blessed(tmp_path)))
    assert registry.find("flights", alias="champion") is None
    registry.promote(version)
    found = registry.find("flights", alias="champion")
    assert found is not None
    assert found.version == "1"
    assert registry.find("flights", digest="0" * 64) is None
    assert registry.find("flights", version="7") is None


def test_a_token_is_not_sent_over_http_and_who_is_refused_is_told_where_one_is_read_from(
    tmp_path: Path, server: ModelRegistryServer, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("secret\n", encoding="ascii")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "token"))
    server.tokens = {"secret"}
    with pytest.raises(UserError, match=r"does not know us \(401\); let KF_PIPELINES_SA_TOKEN_PATH name the file"):
        open_registry(uri).find("flights", version="1")
    assert server.shown == {""}


def test_without_a_folder_for_packages_nothing_is_registered(uri: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no folder for the packages; give one with its address: model-registry\+http"):
        open_registry(uri.partition("?")[0]).register(submission(blessed(tmp_path)))
    with pytest.raises(UserError, match="has no option 'folder'; there are: store"):
        open_registry(f"{uri.partition('?')[0]}?folder=/x")


def test_a_folder_that_is_named_from_here_is_registered_with_its_whole_path(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = submission(blessed(tmp_path))
    source = open_registry(f"{uri.partition('?')[0]}?store=models").register(given).source
    assert source == f"{tmp_path}/models/flights/{given.digest}/package"
