"""How big the Argo workflow of a run gets, in bytes: the arithmetic of what the API server and the drivers write.

Argo stores a workflow as one object. Above 1 MiB it compresses the nodes, and then the run's task details in the API
are never complete. What makes it big: of each step the patch of its pod (executor input, component specification and
command) stands in six nodes, and the component, the container and the task, which its driver is given, in two; of each
graph (a condition, a loop, an iteration) the component and the task stand in two. All of them stand once in the
specification too. The constants were measured on KFP 2.17 with Argo 4.0; tests hold the arithmetic against recorded
workflows.
"""

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from kubeline.platform.compiled import graphs

LIMIT = 1_048_576  # above it, Argo compresses

# Bytes of nodes, without the texts that are counted one by one.
_STEP = 5_850  # six nodes: driver, executor and pod, each with its retries
_DRIVER = 2_800  # two nodes of a graph
_GRAPH = 1_250  # the two others
_GROUP = 1_000  # of a loop
_SKIPPED = 480
_ENTRY = 850 + 1_250  # the entry point, and the hook that runs the exit task
# Bytes of the rest of the object.
_METADATA_AND_STATUS = 3_500  # without managedFields and nodes
_TEMPLATES = 14_500  # of the specification: those of the system
_TEMPLATE = 450  # of the specification: a graph's own
_TASK = 850  # of the specification: a task in its graph's template

_UUID = "0" * 36
_PLACE = {
    "accessKeyKey": "accesskey",
    "disableSSL": "true",
    "endpoint": "seaweedfs.kubeflow:9000",
    "fromEnv": "false",
    "maxRetries": "5",
    "region": "minio",
    "secretKeyKey": "secretkey",
    "secretName": "mlpipeline-minio-artifact",
}
# The metadata of artifacts that steps are given, by type.
_STORED = {"display_name": "artifact", "store_session_info": json.dumps({"Provider": "minio", "Params": _PLACE})}
_DESCRIBED: dict[str, dict[str, Any]] = {
    "system.Dataset": {
        "bytes": 10_000_000,
        "columns": 100,
        "split_by": "stratified",
        "split_column": "departure",
        "fingerprint": "0" * 64,
        "parent_fingerprint": "0" * 64,
        "rows": 1_000_000,
        "source": "s3://bucket/flights/",
    },
    "system.Model": {
        "dataset_fingerprint": "0" * 64,
        "estimator": "hist_gradient_boosting",
        "features": 100,
        "framework": "onnx",
        "package_digest": "0" * 64,
        "score": 0.717621,
        "score_name": "roc_auc",
        "task": "binary",
    },
    "system.Artifact": {"check": "evaluation", "package_digest": "0" * 64, "verdict": "promote"},
}
_LAUNCHER = (
    *("--pod_name", "$(KFP_POD_NAME)", "--pod_uid", "$(KFP_POD_UID)"),
    *("--ml_pipeline_server_address", "ml-pipeline.kubeflow.svc.cluster.local"),
    *("--ml_pipeline_server_port", "8887"),
    *("--mlmd_server_address", "metadata-grpc-service.kubeflow.svc.cluster.local", "--mlmd_server_port", "8080"),
    *("--publish_logs", "true", "--ml_pipeline_tls_enabled=false", "--metadata_tls_enabled=false"),
    *("--ca_cert_path", "", "--cache_disabled=false", "--log_level", "1", "--"),
)


@dataclass
class Workflow:
    """A compiled pipeline with the arguments of one run.

    Attributes:
        document: The pipeline's specification.
        arguments: Values of the pipeline's parameters; the others have their defaults.
        platform: The Kubernetes section of each executor.
        skipped: Names of the graphs whose condition does not hold.
        ownership: What metadata.managedFields holds of each node.
    """

    document: dict[str, Any]
    arguments: dict[str, Any]
    platform: dict[str, Any] = field(default_factory=dict)
    skipped: frozenset[str] = frozenset()
    ownership: int = 410

    def size(self) -> int:
        """Bytes of the whole object."""
        return self.specification() + self.nodes() + _METADATA_AND_STATUS

    def specification(self) -> int:
        """Bytes of `spec`: every distinct component and container once, and a template for each graph."""
        tasks = [task for graph in graphs(self.document) for task in graph["dag"]["tasks"].values()]
        parts = [
            {**part, "executorLabel": ""} for task in tasks for part in self._parts(task)[1:3]
        ]  # equal ones are one
        texts = {_stored(part) for part in [self.document["root"], *parts]}
        arguments = sum(len(text) + 120 for text in texts) + sum(len(_stored(s)) + 60 for s in self.platform.values())
        templates = _TEMPLATE * len([*graphs(self.document)]) + sum(len(_stored(task)) + _TASK for task in tasks)
        return _TEMPLATES + arguments + templates

    def nodes(self) -> int:
        """Bytes of `status.nodes`, and of what the metadata holds of each."""
        root, values = self.document["root"], self._values()
        given = len(_stored(root)) + len(_stored({"parameterValues": values}))
        return _ENTRY + _DRIVER + 2 * given + _GRAPH + self._inside(root, values) + 8 * self.ownership

    def _values(self) -> dict[str, Any]:
        definitions = self.document["root"].get("inputDefinitions", {}).get("parameters", {})
        return {name: spec.get("defaultValue", "") for name, spec in definitions.items()} | self.arguments

    def _inside(self, graph: dict[str, Any], values: dict[str, Any]) -> int:
        return sum(self._task(name, task, values) for name, task in graph["dag"]["tasks"].items())

    def _task(self, name: str, task: dict[str, Any], values: dict[str, Any]) -> int:
        component = self.document["components"][task["componentRef"]["name"]]
        given, twice = dict(_given(task, values)), 2 * sum(len(_stored(part)) for part in self._parts(task))
        if "dag" not in component:
            patch = len(_stored(self._patch(name, component, given)))
            return _STEP + twice + 6 * patch + 6 * self.ownership
        driver = _DRIVER + twice + 2 * self.ownership
        graph = _GRAPH + 2 * self.ownership
        if task["componentRef"]["name"] in self.skipped:
            return driver + _SKIPPED + self.ownership
        if "parameterIterator" not in task:
            return driver + graph + self._inside(component, given)
        iterator, items = task["parameterIterator"], _items(task, given)
        inside = (self._inside(component, given | {iterator["itemInput"]: item}) for item in items)
        return driver + graph + _GROUP + sum(driver + 2 * graph + size for size in inside)

    def _parts(self, task: dict[str, Any]) -> list[dict[str, Any]]:
        """What the driver of a task is given: the task, its component, and of a step its container and its platform."""
        component = self.document["components"][task["componentRef"]["name"]]
        if "dag" in component:
            return [task, component]
        return [task, component, self._container(component), self.platform.get(component["executorLabel"], {})]

    def _container(self, component: dict[str, Any]) -> dict[str, Any]:
        """What a step runs; of an importer, which runs nothing, its specification."""
        executor = self.document["deploymentSpec"]["executors"][component["executorLabel"]]
        container: dict[str, Any] = executor.get("container") or executor
        return container

    def _patch(self, name: str, component: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
        """The patch of a step's pod."""
        container = self._container(component)
        component = copy.deepcopy(component)
        logs = {"executor-logs": {"artifactType": {"schemaTitle": "system.Artifact"}}}
        component.setdefault("outputDefinitions", {}).setdefault("artifacts", {}).update(logs)
        launcher = (
            *("/kfp-launcher/launch", "--executor_type", "container"),
            *("--pipeline_name", self.document["pipelineInfo"]["name"], "--run_id", _UUID, "--execution_id", "175"),
            *("--executor_input", _text(self._executor_input(name, component, values))),
            *("--component_spec", _text(component)),
        )
        main = {
            "name": "main",
            "image": container.get("image", ""),
            "command": [*launcher, *_LAUNCHER],
            "args": [*container.get("command", []), *container.get("args", [])],
            "resources": container.get("resources", {}),
            "env": [*container.get("env", []), *self._environment(component["executorLabel"])],
        }
        if security := self.platform.get(component["executorLabel"], {}).get("securityContext"):
            main["securityContext"] = {"capabilities": {"drop": ["ALL"]}, **security}
        return {"containers": [main]}

    def _environment(self, executor: str) -> Iterator[dict[str, Any]]:
        for secret in self.platform.get(executor, {}).get("secretAsEnv", []):
            for pair in secret["keyToEnv"]:
                reference = {"name": "kubeline-secret", "key": pair["secretKey"], "optional": True}
                yield {"name": pair["envVar"], "valueFrom": {"secretKeyRef": reference}}

    def _executor_input(self, name: str, component: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
        folder = f"mlpipeline/v2/artifacts/{self.document['pipelineInfo']['name']}/{_UUID}/{name}/{_UUID}"
        many = self._longest_loop()
        read = {
            key: {"artifacts": [self._artifact(key, of, folder)] * (many if of.get("isArtifactList") else 1)}
            for key, of in component.get("inputDefinitions", {}).get("artifacts", {}).items()
        }
        written = {
            key: {"artifacts": [{"name": key, "type": of["artifactType"], "uri": f"minio://{folder}/{key}"}]}
            for key, of in component["outputDefinitions"]["artifacts"].items()
        }
        returned = component["outputDefinitions"].get("parameters", {})
        outputs = {
            "parameters": {key: {"outputFile": f"/tmp/kfp/outputs/{key}"} for key in returned},  # noqa: S108
            "artifacts": written,
            "outputFile": f"/minio/{folder}/output_metadata.json",
        }
        return {"inputs": {"artifacts": read, "parameterValues": values}, "outputs": outputs}

    def _artifact(self, key: str, of: dict[str, Any], folder: str) -> dict[str, Any]:
        metadata = _DESCRIBED.get(of["artifactType"]["schemaTitle"], {}) | _STORED
        return {"name": "165", "type": {"instanceSchema": ""}, "uri": f"minio://{folder}/{key}", "metadata": metadata}

    def _longest_loop(self) -> int:
        """The most artifacts that a loop can have collected."""
        tasks = (task for graph in graphs(self.document) for task in graph["dag"]["tasks"].values())
        loops = [task for task in tasks if "parameterIterator" in task]
        values = self._values()
        known = values | {f"pipelinechannel--{name}": value for name, value in values.items()}
        return max((len(_items(loop, known)) for loop in loops), default=1)


def _items(task: dict[str, Any], given: dict[str, Any]) -> list[Any]:
    """What a loop goes over; of what only a step will know, one."""
    items = task["parameterIterator"]["items"]
    if "raw" in items:
        found = json.loads(items["raw"])
    else:
        name = items["inputParameter"]
        source = task["inputs"]["parameters"].get(name, {}).get("componentInputParameter", name)
        found = given.get(name, given.get(source))
    return found if isinstance(found, list) else [""]


def _given(task: dict[str, Any], values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The parameters of a task, from those of its graph."""
    for name, source in task.get("inputs", {}).get("parameters", {}).items():
        if "runtimeValue" in source:
            yield name, source["runtimeValue"]["constant"]
        elif "componentInputParameter" in source:
            value = values.get(source["componentInputParameter"], "")
            selector = re.search(r'\["(\w+)"\]', source.get("parameterExpressionSelector", ""))
            yield name, value[selector[1]] if selector and isinstance(value, dict) else value
        else:
            yield name, "an output of a step"


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _stored(value: Any) -> str:
    """A value as the text of a parameter, within the JSON of the workflow."""
    return json.dumps(_text(value), ensure_ascii=False)
