"""Brings the deployed models of an endpoint about: uploads a model, deploys it, undeploys what is wanted no more.

Vertex AI has no controller that reads a specification: whoever drives a rollout begins these operations, and reads
them again at its next turn. Each is begun once by a process, and may be begun again by the next one: a deployed model
has the id that its predictor gives it, so that it is never there twice.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kubeline.errors import KubelineError
from kubeline.http.operations import operation_error
from kubeline.http.requests import TakenError, UnclearError
from kubeline.kubernetes.resources import Manifest
from kubeline.serving_platform.endpoint_view import DIGEST_VARIABLE, FOREIGN, deployed_in, split_of
from kubeline.serving_platform.vertex_api import VertexApi

logger = logging.getLogger(__name__)

_LABEL = 63  # characters of a label: one less than a digest has
_UPLOAD = "upload"
MACHINE = "n1-standard-2"
PORT = 8080
HEALTH = "/v2/health/ready"


def container_of(name: str, image: str, env: Sequence[Mapping[str, Any]], args: Sequence[str] = ()) -> Manifest:
    """The container of a model, as Vertex AI's ModelContainerSpec.

    Args:
        name: of the model, in its route.
        image: of the model server.
        env: its variables, as in Kubernetes.
        args: options of the server.
    """
    return {
        "imageUri": image,
        "ports": [{"containerPort": PORT}],
        "predictRoute": f"/v1/models/{name}:predict",
        "healthRoute": HEALTH,
        **({"env": [dict(one) for one in env]} if env else {}),
        **({"args": [*args]} if args else {}),
    }


class VertexWorkloads:
    """The operations that one process has begun.

    Args:
        api: of Vertex AI.
    """

    def __init__(self, api: VertexApi) -> None:
        self._api = api
        self._begun: dict[tuple[str, str, str], str] = {}
        self._failed: dict[tuple[str, str, str], str] = {}

    @property
    def problem(self) -> str:
        """What failed; empty when nothing did."""
        return next(iter(self._failed.values()), "")

    def bring(
        self,
        name: str,
        endpoint: Mapping[str, Any],
        wanted: Sequence[str],
        predictor_of: Callable[[str], Manifest],
        ours: Callable[[str], bool],
        all_traffic: bool,
    ) -> None:
        """Begin what makes these models, and no others of ours, deployed at an endpoint.

        Args:
            name: of the model.
            endpoint: as it is.
            wanted: ids.
            predictor_of: the predictor of an id.
            ours: whether an id is of a rollout.
            all_traffic: whether a model gets everything as soon as it is there.
        """
        there, split = deployed_in(endpoint), split_of(endpoint)
        for key in wanted:
            if key not in there and not str(predictor_of(key).get("name", "")).startswith(FOREIGN):
                self._deploy(name, endpoint["name"], key, predictor_of(key), all_traffic)
        missing = [key for key in wanted if key not in there]
        for key in there:
            alone = not wanted and len(there) == 1
            if key not in wanted and ours(key) and (key not in split or (alone and all_traffic)) and not missing:
                body = {"deployedModelId": key}
                self._begin((endpoint["name"], "undeploy", key), f"{endpoint['name']}:undeployModel", body)

    def _deploy(self, name: str, endpoint: str, key: str, predictor: Manifest, all_traffic: bool) -> None:
        model = self._model(name, predictor)
        if not model:
            return
        fewest = int(predictor.get("minReplicas", 1))
        deployed = {
            "id": key,
            "model": model,
            "displayName": name,
            "dedicatedResources": {
                "machineSpec": {"machineType": predictor.get("machineType", MACHINE)},
                "minReplicaCount": fewest,
                "maxReplicaCount": max(int(predictor.get("maxReplicas", 0)), fewest),
            },
        }
        if account := predictor.get("serviceAccountName", ""):
            deployed["serviceAccount"] = account
        body = {"deployedModel": deployed, **({"trafficSplit": {"0": 100}} if all_traffic else {})}
        self._begin((endpoint, "deploy", key), f"{endpoint}:deployModel", body)

    def _model(self, name: str, predictor: Manifest) -> str:
        """Full name of the version of a package with its image, such as the registry has; empty until there is one."""
        model = predictor.get("model") or {}
        image, env, args = str(model.get("image", "")), model.get("env") or [], model.get("args") or []
        container = container_of(name, image, env, args)
        digest = next((str(one["value"]) for one in env if one.get("name") == DIGEST_VARIABLE), "")
        label = f'labels.package_digest="{digest[:_LABEL]}"'
        for found in self._api.versions(name, label):
            if _runs_alike(found.get("containerSpec") or {}, container):
                return f"{self._api.address.parent}/models/{name}@{found['versionId']}"
        exists = next(self._api.versions(name, ""), None) is not None
        parent = {"parentModel": f"{self._api.address.parent}/models/{name}"} if exists else {"modelId": name}
        upload = {
            "displayName": name,
            "labels": {"package_digest": digest[:_LABEL]},
            "artifactUri": model.get("storageUri", ""),
            "containerSpec": container,
        }
        body = {**parent, "model": upload}
        self._begin(
            (name, _UPLOAD, f"{digest} {image} {args} {env}"), f"{self._api.address.parent}/models:upload", body
        )
        return ""

    def _begin(self, key: tuple[str, str, str], path: str, body: Manifest) -> None:
        """Begin an operation, or read the one that this process has begun."""
        if key in self._failed:
            return
        if key in self._begun:
            operation = self._api.read(self._begun[key]) or {"done": True}
        elif key[1] != _UPLOAD and self._api.is_busy(key[0]):  # such as one that an earlier process began
            return
        else:
            try:
                operation = self._api.write("POST", path, body)
            except (TakenError, UnclearError) as error:  # another process began it, or whether this one did is unclear
                logger.info("%s is tried again later: %s", key[1], error)
                return
            except KubelineError as error:
                self._failed[key] = f"Vertex AI cannot {key[1]} the model: {error}"
                return
            self._begun[key] = str(operation["name"])
        if why := operation_error(operation):
            self._failed[key] = f"Vertex AI could not {key[1]} the model: {why}"
        elif operation.get("done"):
            del self._begun[key]


def _runs_alike(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether the container of a version, such as one that the registry uploaded, is the one that is wanted."""
    return all((found.get(key) or []) == (wanted.get(key) or []) for key in ("imageUri", "args", "env"))
