"""An embedded API server and a client of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded_kserve.controllers.manifests import install_defaults
from embedded_kserve.kubernetes.admission import review
from embedded_kserve.kubernetes.api_server import ApiServer
from embedded_kserve.kubernetes.resources import installed
from embedded_kserve.kubernetes.store import Store
from tests.embedded_kserve.world import SERVICES, Api, Json, inference_service

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


FLIGHTS = f"{SERVICES}/flights"


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
