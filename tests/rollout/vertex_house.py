"""An endpoint of Vertex AI on loopback, with real model servers behind it, and candidates for it."""

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec
import pytest
import urllib3
from gcsfs.core import GCSFileSystem  # type: ignore[import-untyped]

from kubeline.deployment.inference_service import Service
from kubeline.deployment.vertex_endpoint import render_for
from kubeline.http.google import GoogleCredentials
from kubeline.kubernetes.resources import Manifest
from kubeline.model_client.golden import GoldenRows
from kubeline.model_package import ModelPackage
from kubeline.rollout.platform_plan import plan_for
from kubeline.rollout.status import RolloutStatus
from kubeline.rollout.step import roll_out
from kubeline.rollout.store import StatusStore
from kubeline.serving_platform.vertex import VertexEndpoints
from kubeline.serving_platform.vertex_address import VertexAddress
from kubeline.serving_platform.vertex_api import VertexApi
from tests.rollout.house import QUICK, Scripted
from tests.support.google_cloud import use
from tests.support.json_servers import served
from tests.support.packages import write_tiny_package
from tests.support.real_servers import google_cloud_storage
from tests.support.vertex_endpoints_server import VertexEndpointsServer
from tests.support.waiting import repeating

PLACE = "team/europe-west4"
IMAGE = "europe-docker.pkg.dev/team/ml/kubeline-python-serving:0.1.0"
SERVICES = ("aiplatform", "monitoring", "cloudresourcemanager")
PLAN: dict[str, Any] = {
    **QUICK,
    "bootstrap": "hidden",
    "bake_seconds": 2.0,
    "max_bake_seconds": 900.0,
    "poll_seconds": 0.2,
    "rules": {"min_requests": 20, "optional": ["prediction_drift"], "max_latency_shift": "off"},
}
_NUMBERS = itertools.count(1)


@contextmanager
def bucket() -> Iterator[str]:
    """Cloud Storage with one bucket."""
    with google_cloud_storage() as address, pytest.MonkeyPatch.context() as environment:
        environment.setenv("STORAGE_EMULATOR_HOST", address)
        environment.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE", address)
        before = fsspec.get_filesystem_class("gs")
        fsspec.register_implementation("gs", GCSFileSystem, clobber=True)
        urllib3.request("POST", f"{address}/storage/v1/b", json={"name": "bucket"})
        yield "gs://bucket"
        fsspec.register_implementation("gs", before, clobber=True)


@dataclass
class VertexHouse:
    """One endpoint of Vertex AI."""

    server: VertexEndpointsServer
    folder: Path
    store: str
    url: str
    name: str = field(default_factory=lambda: f"flights-{next(_NUMBERS)}")
    platform: VertexEndpoints = field(init=False)

    def __post_init__(self) -> None:
        self.platform = self.connect()

    @property
    def cluster(self) -> str:
        return f"vertex://{PLACE}?store={self.store}/rollouts&image={IMAGE}"

    def connect(self) -> VertexEndpoints:
        return VertexEndpoints(
            VertexApi(VertexAddress.read(self.cluster), 30), waits=(0.05, 0.1, 0.2), poll_seconds=0.2
        )

    def package(self, name: str, wrong_by: float = 0.0, turned: bool = False) -> ModelPackage:
        folder = self.folder / name
        if folder.is_dir():
            return ModelPackage.open(folder)
        package = write_tiny_package(folder, wrong_by=wrong_by, reference={"made for": name}, turned=turned)
        system, path = fsspec.core.url_to_fs(self.uri(package))
        system.put(f"{folder}/", f"{path}/", recursive=True)
        return package

    def uri(self, package: ModelPackage) -> str:
        return f"{self.store}/packages/{self.name}/{package.digest}"

    def manifest(self, package: ModelPackage, overrides: Mapping[str, Any] | None = None) -> Manifest:
        service = Service(self.name, PLACE, storage_uri=self.uri(package), package_digest=package.digest)
        return render_for(service, self.cluster, overrides)

    def roll_out(
        self,
        package: ModelPackage,
        on_change: Any = lambda status: None,
        look: Mapping[str, Any] | None = None,
        **plan: Any,
    ) -> RolloutStatus:
        """To the end; the judge says `look`, or None lets it look at the metrics of Cloud Monitoring."""
        bake = {} if look is None else {"bake_seconds": 0.0}  # there are no requests to wait for
        settings = plan_for(self.cluster, "", {**PLAN, **bake, **plan})
        scripted = None if look is None else Scripted(self.platform, settings, package, "", look)
        return roll_out(self.platform, self.manifest(package), settings, package, on_change=on_change, probes=scripted)

    def stored(self) -> RolloutStatus:
        found = StatusStore(self.connect(), PLACE, self.name).read()
        assert found is not None
        return found.status

    @property
    def endpoint(self) -> dict[str, Any]:
        return self.server.endpoints[self.name]

    def split(self) -> dict[str, int]:
        return {key: share for key, share in self.endpoint.get("trafficSplit", {}).items() if share}

    def stable(self, name: str = "stable") -> ModelPackage:
        package = self.package(name)
        done = self.roll_out(package, strategy="blue-green", bootstrap="direct")
        assert done.outcome == "promoted", done.reason
        return package

    def ask(self) -> int:
        golden = GoldenRows.of(self.package("stable"))
        body = json.dumps({"instances": [golden.records[0]]}).encode()
        headers = GoogleCredentials().headers()
        path = f"{self.url}/v1/projects/{PLACE.replace('/', '/locations/')}/endpoints/{self.name}:rawPredict"
        return urllib3.request("POST", path, body=body, headers=headers, retries=False).status

    @contextmanager
    def users(self) -> Iterator[Counter[int]]:
        """Somebody asks the endpoint all the time; the status codes that they got."""
        codes: Counter[int] = Counter()

        def ask() -> None:
            codes[self.ask()] += 1

        with repeating(ask, pause=0.02):
            yield codes


@contextmanager
def vertex_house(folder: Path, store: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[VertexHouse]:
    """The house; no client may have sent what the message types do not know."""
    server = VertexEndpointsServer(folder)
    with served(server) as url:
        use(url, SERVICES, folder, monkeypatch)
        try:
            yield VertexHouse(server, folder, store, url)
        finally:
            server.close()
    assert server.refused == []
