"""Speaks the published REST form of Vertex AI's endpoint service on loopback, with real model servers behind it.

A model that is deployed is a process of the model server in an environment as Vertex AI gives one to a container; the
operation is done when its health route answers. Beside it are Cloud Monitoring, whose minutes are seconds here, and the
rights in the project.
"""

import json
import os
import random
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from google.cloud.aiplatform_v1 import types

from kubeline.ports import free_ports
from tests.support.json_servers import AnswerError, Json
from tests.support.vertex_models_server import PARENT, VertexModelsServer, read

_FULL = PARENT[4:]
_LABEL = re.compile(r"[a-z0-9_-]{0,63}")
_BUCKETS = {"numFiniteBuckets": 30, "growthFactor": 1.4, "scale": 100.0}


@dataclass
class Machine:
    """The container of one deployed model."""

    process: "subprocess.Popen[bytes]"
    port: int
    health: str
    predict: str

    def ask(self, route: str, body: bytes | None = None) -> tuple[int, bytes]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{route}", body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError:
            return 503, b'{"error": "the container does not answer"}'


@dataclass
class Minute:
    """What was counted of one deployed model in one second."""

    codes: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)


class VertexEndpointsServer(VertexModelsServer):
    """Endpoints, and what runs in them.

    Attributes:
        endpoints: by id.
        machines: by endpoint and deployed model.
        lacking: permissions that are not granted.
        broken: containers that are started from now on end at once.
        may_end: whether a deployment at an endpoint may end now, that something is asked for: `(endpoint, asked)`.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.endpoints: dict[str, Json] = {}
        self.machines: dict[tuple[str, str], Machine] = {}
        self.lacking: set[str] = set()
        self.broken = False
        self.may_end: Callable[[str, str], bool] = lambda endpoint, asked: True
        self.counted: dict[tuple[str, str], dict[int, Minute]] = defaultdict(lambda: defaultdict(Minute))
        self.shares: list[dict[str, int]] = []  # each traffic_split that an endpoint of users had
        self._folder = folder
        self._deploying: dict[str, Json] = {}
        self._changes = 0

    def close(self) -> None:
        for machine in self.machines.values():
            machine.process.kill()
            machine.process.wait()

    def serve(self, method: str, path: str, query: dict[str, str], body: Json) -> Json:
        rest = path.removeprefix(f"{PARENT}/")
        self._go_on(rest)
        if path == "/v1/projects/team:testIamPermissions":
            return {"permissions": [one for one in body["permissions"] if one not in self.lacking]}
        if path == "/v3/projects/team/timeSeries":
            return self._time_series(query)
        if rest in self._deploying:
            return dict(self._deploying[rest]["shown"])
        if rest.endswith("/operations"):
            shown = [each["shown"] for each in self._deploying.values() if rest.split("/")[1] == each["endpoint"]]
            return {"operations": shown}
        return self._of_endpoints(method, rest, path, query, body)

    def _of_endpoints(self, method: str, rest: str, path: str, query: dict[str, str], body: Json) -> Json:
        if rest == "endpoints" and method == "POST":
            return self._create(query, body)
        given = re.fullmatch(r"endpoints/([^/:]+)(?::(\w+))?", rest)
        if given is None:
            return super().serve(method, path, query, body)
        name, verb = given.groups()
        if name not in self.endpoints:
            raise AnswerError(404, f"The Endpoint {name} does not exist")
        verbs = {"deployModel": self._deploy, "undeployModel": self._undeploy, "rawPredict": self._predict}
        if verb:
            return verbs[verb](name, body)
        return self._patch(name, query, body) if method == "PATCH" else self.endpoints[name]

    def _create(self, query: dict[str, str], body: Json) -> Json:
        name, endpoint = query["endpointId"], read(types.Endpoint, body)
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,61}[a-z0-9]", name) or not endpoint.get("displayName"):
            raise AnswerError(400, f"endpoint_id {name} or display_name is invalid")
        if name in self.endpoints:
            raise AnswerError(409, f"Endpoint {name} already exists")
        self._check_labels(endpoint)
        self.endpoints[name] = {**endpoint, "name": f"{_FULL}/endpoints/{name}", "createTime": _now()}
        self._changed(name)
        return {"name": f"{_FULL}/endpoints/{name}/operations/1", "done": True, "response": {}}

    def _patch(self, name: str, query: dict[str, str], body: Json) -> Json:
        wanted, there = read(types.Endpoint, body), self.endpoints[name]
        if wanted.get("etag") and wanted["etag"] != there["etag"]:
            raise AnswerError(409, "the etag is not that of the Endpoint")
        self._check_labels(wanted)
        fields = query["updateMask"].split(",")
        if set(fields) - {"labels", "trafficSplit", "displayName", "description"}:
            raise AnswerError(400, f"update_mask is invalid: {fields}")
        if "trafficSplit" in fields:
            self._check_split(name, wanted.get("trafficSplit", {}))
        self.endpoints[name] = {**there, **{key: wanted.get(key, {}) for key in fields}}
        self._changed(name)
        return self.endpoints[name]

    def _check_labels(self, endpoint: Json) -> None:
        labels = endpoint.get("labels", {})
        if len(labels) > 64 or not all(_LABEL.fullmatch(text) for pair in labels.items() for text in pair):
            raise AnswerError(400, f"labels are invalid: {labels}")

    def _check_split(self, name: str, split: Json) -> None:
        unknown = set(split) - {one["id"] for one in self.endpoints[name].get("deployedModels", [])}
        if unknown or (split and sum(split.values()) != 100):
            raise AnswerError(400, f"traffic_split is invalid: {split}")

    def _deploy(self, name: str, body: Json) -> Json:
        request = read(types.DeployModelRequest, {"endpoint": f"{_FULL}/endpoints/{name}", **body})
        model, split = request["deployedModel"], request.get("trafficSplit", {})
        resources = model["dedicatedResources"]
        fewest = resources.get("minReplicaCount", 0)
        if not re.fullmatch(r"\d{1,10}", model["id"]) or not resources["machineSpec"].get("machineType"):
            raise AnswerError(400, f"deployed_model is invalid: {model}")
        if fewest < 1 or resources.get("maxReplicaCount", fewest) < fewest or sum(split.values()) not in {0, 100}:
            raise AnswerError(400, f"dedicated_resources or traffic_split is invalid: {model}, {split}")
        there = [one["id"] for one in self.endpoints[name].get("deployedModels", [])]
        going = [each for each in self._deploying.values() if "done" not in each["shown"]]
        under_way = [each["model"]["id"] for each in going if each["endpoint"] == name]
        if model["id"] in (*there, *under_way):
            raise AnswerError(409, f"DeployedModel {model['id']} already exists")
        identifier, _, at = model["model"].rpartition("/")[2].partition("@")
        version = self._version(identifier, at or "default")
        machine = self._start(version)
        self.machines[name, model["id"]] = machine
        operation = f"endpoints/{name}/operations/{time.time_ns()}"
        shown = {"name": f"{_FULL}/{operation}"}
        model |= {"modelVersionId": version["versionId"], "createTime": _now()}
        self._deploying[operation] = {"endpoint": name, "model": model, "split": split, "shown": shown}
        return dict(shown)

    def _start(self, version: Json) -> Machine:
        """The container, in the environment that Vertex AI gives it."""
        spec, port = version["containerSpec"], free_ports(1)[0]
        own = {one["name"]: one["value"] for one in spec.get("env", [])}
        variables = {
            "AIP_HTTP_PORT": str(port),
            "AIP_STORAGE_URI": version["artifactUri"],
            "AIP_PREDICT_ROUTE": spec["predictRoute"],
            "AIP_HEALTH_ROUTE": spec["healthRoute"],
            "STORAGE_EMULATOR_HOST": os.environ["STORAGE_EMULATOR_HOST"],
            "PYTHONPATH": os.pathsep.join(sys.path),
            "PATH": os.environ["PATH"],
            "TMPDIR": str(self._folder),
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
        }
        with (self._folder / f"container-{port}.log").open("wb") as log:
            process = subprocess.Popen(
                ["false"] if self.broken else [sys.executable, "-m", "kubeline_serving", "--enable_grpc", "false"],
                env=variables | own,
                stdout=log,
                stderr=log,
            )
        return Machine(process, port, spec["healthRoute"], spec["predictRoute"])

    def _go_on(self, asked: str) -> None:
        """Finish the deployments whose containers are healthy."""
        for operation, each in list(self._deploying.items()):
            name, model = each["endpoint"], each["model"]
            if "done" in each["shown"] or not self.may_end(name, asked):
                continue
            machine = self.machines[name, model["id"]]
            if machine.process.poll() is not None:
                why = {"code": 9, "message": "Model server exited unexpectedly."}
                self._deploying[operation]["shown"] |= {"done": True, "error": why}
            elif machine.ask(machine.health)[0] == 200:
                endpoint = self.endpoints[name]
                endpoint["deployedModels"] = [*endpoint.get("deployedModels", []), model]
                if each["split"]:
                    endpoint["trafficSplit"] = {
                        model["id"] if key == "0" else key: share for key, share in each["split"].items()
                    }
                self._changed(name)
                each["shown"] |= {"done": True, "response": {}}

    def _undeploy(self, name: str, body: Json) -> Json:
        request = read(types.UndeployModelRequest, {"endpoint": f"{_FULL}/endpoints/{name}", **body})
        key, endpoint = request["deployedModelId"], self.endpoints[name]
        models = endpoint.get("deployedModels", [])
        if key not in [one["id"] for one in models]:
            raise AnswerError(404, f"DeployedModel {key} does not exist")
        if endpoint.get("trafficSplit", {}).get(key) and len(models) > 1:
            raise AnswerError(400, f"DeployedModel {key} has traffic")
        endpoint["deployedModels"] = [one for one in models if one["id"] != key]
        if len(models) == 1:
            endpoint["trafficSplit"] = {}
        machine = self.machines.pop((name, key))
        machine.process.kill()
        machine.process.wait()
        self._changed(name)
        return {"name": f"{_FULL}/endpoints/{name}/operations/{time.time_ns()}", "done": True, "response": {}}

    def _predict(self, name: str, body: Json) -> Json:
        split = {key: share for key, share in self.endpoints[name].get("trafficSplit", {}).items() if share}
        if not split:
            raise AnswerError(503, f"Endpoint {name} has no traffic to give")
        key = random.choices([*split], [*split.values()])[0]  # noqa: S311 (no secret)
        machine, begun = self.machines[name, key], time.perf_counter()
        status, answer = machine.ask(machine.predict, json.dumps(body).encode())
        minute = self.counted[name, key][int(time.time())]
        minute.codes[str(status)] += 1
        minute.seconds.append(time.perf_counter() - begun)
        if status != 200:
            raise AnswerError(status, answer.decode()[:200])
        return {**json.loads(answer)}

    def _time_series(self, query: dict[str, str]) -> Json:
        wanted = re.fullmatch(
            r'metric\.type="aiplatform\.googleapis\.com/prediction/online/(response_count|prediction_latencies)" AND '
            r'resource\.type="aiplatform\.googleapis\.com/Endpoint" AND resource\.labels\.endpoint_id="([\w-]+)" AND '
            r'resource\.labels\.location="europe-west4"( AND metric\.labels\.latency_type="total")?',
            query["filter"],
        )
        if wanted is None or not {"interval.startTime", "interval.endTime"} <= query.keys():
            raise AnswerError(400, f"the request is invalid: {query}")
        found: list[Json] = []
        for (endpoint, key), minutes in self.counted.items():
            if endpoint != wanted[2]:
                continue
            labels: Json = {"deployed_model_id": key}
            points: list[tuple[int, Json]]
            if wanted[1] == "response_count":
                for code in {code for minute in minutes.values() for code in minute.codes}:
                    points = [(at, {"int64Value": str(one.codes[code])}) for at, one in minutes.items()]
                    found.append({"metric": {"labels": {**labels, "response_code": code}}, "points": _points(points)})
            else:
                points = [(at, {"distributionValue": _distribution(one.seconds)}) for at, one in minutes.items()]
                found.append({"metric": {"labels": {**labels, "latency_type": "total"}}, "points": _points(points)})
        return {"timeSeries": found}

    def _changed(self, name: str) -> None:
        self._changes += 1
        endpoint = self.endpoints[name]
        endpoint |= {"etag": f"etag-{self._changes}", "updateTime": _now()}
        split = dict(endpoint.get("trafficSplit", {}))
        if not name.endswith("-candidate") and (not self.shares or self.shares[-1] != split):
            self.shares.append(split)


def _points(points: list[tuple[int, Json]]) -> list[Json]:
    return [
        {"interval": {"startTime": _moment(at), "endTime": _moment(at + 1)}, "value": value} for at, value in points
    ]


def _distribution(seconds: list[float]) -> Json:
    bounds = [_BUCKETS["scale"] * _BUCKETS["growthFactor"] ** power for power in range(31)]
    counts = [0] * 32
    for one in seconds:
        counts[sum(bound <= one * 1e6 for bound in bounds)] += 1
    return {
        "count": str(len(seconds)),
        "bucketOptions": {"exponentialBuckets": _BUCKETS},
        "bucketCounts": [str(number) for number in counts],
    }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def _now() -> str:
    return _moment(time.time())
