"""One running cluster of each kind for all tests, and tiny packages to serve in them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import embedded_kserve
from embedded_kserve.controllers.manifests import install_defaults
from embedded_kserve.kubernetes.admission import review
from embedded_kserve.kubernetes.api_server import ApiServer
from embedded_kserve.kubernetes.resources import installed
from embedded_kserve.kubernetes.store import Store
from tests.embedded_kserve.packages import Packages
from tests.embedded_kserve.world import SERVICES, Api, Json, World, inference_service
from tests.support.packages import write_tiny_package


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    folder = tmp_path_factory.mktemp("packages")
    broken = write_tiny_package(folder / "broken").path
    (broken / "schema.json").write_text("{}")
    second = write_tiny_package(folder / "second", "multiclass")
    return Packages(write_tiny_package(folder / "first"), second, broken)


@pytest.fixture(scope="session")
def knative(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with embedded_kserve.start(tmp_path_factory.mktemp("knative"), "knative") as cluster:
        yield World(cluster)


@pytest.fixture(scope="session")
def standard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with embedded_kserve.start(tmp_path_factory.mktemp("standard"), "standard") as cluster:
        yield World(cluster)


@pytest.fixture(scope="session")
def unsplit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Standard mode of KServe 0.20.0."""
    with embedded_kserve.start(tmp_path_factory.mktemp("unsplit"), "standard", splits=False) as cluster:
        yield World(cluster)


@pytest.fixture(scope="session")
def unhurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Standard mode, as slow as a real cluster."""
    with embedded_kserve.start(tmp_path_factory.mktemp("unhurried"), "standard", pace=1) as cluster:
        yield World(cluster)


@pytest.fixture
def server() -> Iterator[ApiServer]:
    store = Store(installed("standard"), lambda new, old: review(new, old, "Standard"))
    install_defaults(store, "standard")
    with ApiServer(store) as running:
        yield running


@pytest.fixture
def api(server: ApiServer, tmp_path: Path) -> Api:
    return Api.of(server.write_kubeconfig(tmp_path / "kubeconfig"))


@pytest.fixture
def flights(api: Api) -> Json:
    code, document = api.post(SERVICES, inference_service("flights", "s3://models/a"))
    assert code == 201
    return dict(document)
