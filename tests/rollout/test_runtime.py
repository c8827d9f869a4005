"""A rehearsal sees whether the runtime that a service names is there: of its namespace, or of the whole cluster."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from embedded_kserve.faults import Faults
from embedded_kserve.kubernetes.api_server import ApiServer
from embedded_kserve.kubernetes.resources import CLUSTER_SERVING_RUNTIME, NAMESPACE, SERVING_RUNTIME
from embedded_kserve.kubernetes.store import Store
from kubeline.deployment.inference_service import Service, render
from kubeline.errors import PlatformError, UserError
from kubeline.kubernetes.cluster import Cluster
from kubeline.rollout.preflight import check_runtime

NONE = "there is no ServingRuntime 'kubeline' in namespace 'models'"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Any]:
    """A cluster with a namespace and no runtime: its `store`, `faults`, and a `check` of a service."""
    kinds = (NAMESPACE, SERVING_RUNTIME, CLUSTER_SERVING_RUNTIME)
    with ApiServer(Store(kinds)) as server:
        server.store.create(NAMESPACE, {"metadata": {"name": "models"}})
        cluster = Cluster.connect(str(server.write_kubeconfig(tmp_path / "kubeconfig")), waits=())

        def check(**settings: Any) -> str | None:
            service = Service("flights", "models", "gs://bucket/model", "0" * 64, **settings)
            return check_runtime(cluster, render(service))

        yield SimpleNamespace(store=server.store, faults=Faults(server.url, server.token), check=check)


def runtime(**where: str) -> dict[str, Any]:
    return {"metadata": {"name": "kubeline", **where}, "spec": {"containers": []}}


def test_a_runtime_of_the_namespace_and_one_of_the_cluster_are_found(place: Any) -> None:
    place.store.create(CLUSTER_SERVING_RUNTIME, runtime())
    assert place.check() is None
    place.faults.add("deny", verb="get", resource="clusterservingruntimes", times=0)
    place.store.create(SERVING_RUNTIME, runtime(namespace="models"))
    assert place.check() is None


def test_what_is_nowhere_is_refused_and_what_kserve_chooses_is_not_looked_for(place: Any) -> None:
    with pytest.raises(UserError, match=f"^{NONE} and no ClusterServingRuntime of that name; apply manifests/runtime"):
        place.check()
    assert place.check(runtime="") is None


def test_who_may_not_look_is_told(place: Any) -> None:
    place.faults.add("deny", verb="get", resource="clusterservingruntimes", times=0)
    with pytest.raises(PlatformError, match=f"^{NONE}, and this service account may not look for one of the whole"):
        place.check()
    place.faults.add("deny", verb="get", resource="servingruntimes", times=0)
    assert "is not known, for this service account may not get servingruntimes" in str(place.check())
