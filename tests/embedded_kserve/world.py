"""What the tests do with an embedded KServe: plain requests to its API server, and traffic through its gateway."""

import json
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from embedded_kserve import LocalKServe
from kubeline.model_package import ModelPackage
from tests.support.waiting import repeating

SERVICES = "/apis/serving.kserve.io/v1beta1/namespaces/default/inferenceservices"
FLIGHTS = f"{SERVICES}/flights"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
ROUTES = "/apis/gateway.networking.k8s.io/v1/namespaces/default/httproutes"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
PODS = "/api/v1/namespaces/default/pods"

Json = dict[str, Any]


@dataclass(frozen=True)
class Api:
    """Requests to an API server, by path."""

    url: str
    token: str

    @classmethod
    def of(cls, kubeconfig: Path) -> "Api":
        document = yaml.safe_load(kubeconfig.read_text())
        return cls(document["clusters"][0]["cluster"]["server"], document["users"][0]["user"]["token"])

    def call(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> tuple[int, Any]:
        """Status and parsed body; OSError when the connection breaks."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": content_type}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)  # noqa: S310 - loopback
        try:
            with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
                return response.status, json.loads(response.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def get(self, path: str) -> tuple[int, Any]:
        return self.call("GET", path)

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        return self.call("POST", path, body)

    def patch(self, path: str, body: Any) -> tuple[int, Any]:
        return self.call("PATCH", path, body, "application/merge-patch+json")


def inference_service(name: str, uri: str, **predictor: Any) -> Json:
    model = {"modelFormat": {"name": "kubeline"}, "runtime": "kubeline", "protocolVersion": "v2", "storageUri": uri}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"predictor": {"minReplicas": 1, "model": model, **predictor}},
    }


@dataclass
class Asked:
    """What came of a stream of requests: answers by model version, and failures."""

    answers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


class Service:
    """One InferenceService of a running cluster."""

    def __init__(self, cluster: LocalKServe, api: Api, name: str) -> None:
        self.cluster, self.api, self.name = cluster, api, name
        self.path = f"{SERVICES}/{name}"

    def read(self) -> Json:
        code, document = self.api.get(self.path)
        assert code == 200, document
        return document

    def change(self, patch: Json) -> Json:
        code, document = self.api.patch(f"{self.path}?fieldValidation=Strict", patch)
        assert code == 200, document
        return document

    def predictor(self, **fields: Any) -> Json:
        """Change fields of the predictor."""
        return self.change({"spec": {"predictor": fields}})

    def model(self, package: ModelPackage, **fields: Any) -> Json:
        """Change the model, and further fields of the predictor."""
        return self.predictor(model={"storageUri": package.path.as_uri()}, **fields)

    def wait(self, until: Callable[[Json], Any], what: str = "", seconds: float = 120) -> Json:
        """The InferenceService as soon as `until` is true of it."""
        deadline = time.monotonic() + seconds
        while not until(document := self.read()):
            shown = json.dumps(document.get("status"), indent=1)
            assert time.monotonic() < deadline, f"never {what or until}: {shown}"
            time.sleep(0.02)
        return document

    def wait_ready(self) -> Json:
        """Ready, and known to the gateway, which is a moment behind."""
        ready = self.wait(lambda d: condition(d, "Ready") == "True", "ready")
        if "url" in ready["status"]:
            self.wait(lambda d: self.ask(self.host)[0] == 200, "answered by the gateway")
        return ready

    def object(self, collection: str, name: str) -> Json | None:
        code, document = self.api.get(f"{collection}/{name}")
        return document if code == 200 else None

    @property
    def host(self) -> str:
        return str(self.read()["status"]["url"]).removeprefix("http://")

    def ask(self, host: str) -> tuple[int, str]:
        """HTTP status, and which version of the model answered at a host."""
        url = f"{self.cluster.gateway_url}/v2/models/{self.name}"
        request = urllib.request.Request(url, headers={"Host": host})  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
                return response.status, json.loads(response.read())["versions"][0]
        except urllib.error.HTTPError as error:
            return error.code, ""

    def ask_many(self, host: str, times: int) -> Asked:
        asked = Asked()
        for _ in range(times):
            self._ask_into(asked, host)
        return asked

    @contextmanager
    def traffic(self, host: str) -> Iterator[Asked]:
        """Ask all the time while the block runs, some 100 times a second."""
        asked = Asked()
        with repeating(lambda: self._ask_into(asked, host), pause=0.01):
            yield asked

    def _ask_into(self, asked: Asked, host: str) -> None:
        try:
            code, version = self.ask(host)
        except OSError as error:
            asked.failures.append(repr(error))
            return
        if code == 200:
            asked.answers[version] += 1
        else:
            asked.failures.append(str(code))


class World:
    """A running cluster, and packages to serve in it."""

    def __init__(self, cluster: LocalKServe) -> None:
        self.cluster = cluster
        self.api = Api.of(cluster.kubeconfig)

    @contextmanager
    def service(self, name: str, package: ModelPackage | str, **predictor: Any) -> Iterator[Service]:
        """An InferenceService that was just created, and is deleted with the block."""
        uri = package if isinstance(package, str) else package.path.as_uri()
        code, document = self.api.post(f"{SERVICES}?fieldValidation=Strict", inference_service(name, uri, **predictor))
        assert code == 201, document
        try:
            yield Service(self.cluster, self.api, name)
        finally:
            self.cluster.faults.clear()
            self.api.call("DELETE", f"{SERVICES}/{name}")


def condition(document: Json, kind: str) -> str:
    found = [c["status"] for c in document.get("status", {}).get("conditions", []) if c["type"] == kind]
    return found[0] if found else "absent"


def component(document: Json) -> Json:
    """The predictor's part of the status."""
    return dict(document.get("status", {}).get("components", {}).get("predictor", {}))


def shares(document: Json) -> dict[str, int]:
    """Percent of the traffic by revision."""
    found: dict[str, int] = {}
    for target in component(document).get("traffic", []):
        found[target["revisionName"]] = found.get(target["revisionName"], 0) + target["percent"]
    return found


def version(package: ModelPackage) -> str:
    """As the model server reports it."""
    return package.digest[:12]
