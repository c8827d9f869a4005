"""Speaks the published REST form of Vertex AI's model service on loopback.

Each body is read into the published message type, which refuses unknown fields; what a real service would refuse, this
one refuses. An upload is an operation, done when it has been asked about twice.
"""

import re
from collections.abc import Callable
from typing import Any

from google.cloud.aiplatform_v1 import types
from google.protobuf import json_format

from tests.support.google_cloud import GoogleServer
from tests.support.json_servers import AnswerError, Json

PARENT = "/v1/projects/team/locations/europe-west4"


class VertexModelsServer(GoogleServer):
    """What it holds lies in `versions` (by model, the oldest first) and `evaluations` (by model and version)."""

    def __init__(self) -> None:
        super().__init__()
        self.versions: dict[str, list[Json]] = {}
        self.evaluations: dict[str, list[Json]] = {}
        self.contexts: dict[str, Json] | None = None  # of Vertex ML Metadata; None: there is no store yet
        self.children: dict[str, set[str]] = {}
        self.failure: Json = {}  # of the next operation
        self.never_done = False
        self.meanwhile: Callable[[], None] = lambda: None  # called within the next upload
        self._operations: dict[str, Json] = {}

    def serve(self, method: str, path: str, query: dict[str, str], body: Json) -> Json:
        rest = path.removeprefix(f"{PARENT}/")
        if "operations/" in rest:
            return self.looked_at(rest)
        if rest.startswith("metadataStores"):
            return self._metadata(method, rest.removeprefix("metadataStores"), query, body)
        if (method, rest) == ("POST", "models:upload"):
            return self._upload(body)
        given = re.fullmatch(r"models/([^@/:]+)(?:@([^@/:]+))?(/evaluations)?(?::(\w+))?", rest)
        if given is None:
            raise AnswerError(404, f"there is no {method} {path}")
        model, at, evaluations, verb = given.groups()
        if verb == "listVersions":
            return self._list(model, query)
        version = self._version(model, at or "default")
        if evaluations:
            return self._evaluations(f"{model}@{version['versionId']}", verb, body)
        return self._of_version(method, verb, model, version, body)

    def _of_version(self, method: str, verb: str | None, model: str, version: Json, body: Json) -> Json:
        if (method, verb) == ("POST", "mergeVersionAliases"):
            return self._merge(model, version, body)
        if (method, verb) == ("DELETE", "deleteVersion"):
            self.versions[model].remove(version)
            return self._operation({})
        return version

    def _metadata(self, method: str, path: str, query: dict[str, str], body: Json) -> Json:
        if (method, path, query) == ("POST", "", {"metadataStoreId": "default"}):
            read(types.MetadataStore, body)
            self.contexts = self.contexts or {}
            return self._operation({})
        if self.contexts is None:
            raise AnswerError(404, "The MetadataStore default does not exist")
        if (method, path) == ("POST", "/default/contexts"):
            identifier = query["contextId"]
            if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,127}", identifier):
                raise AnswerError(400, f"the id {identifier} is invalid")
            if identifier in self.contexts:
                raise AnswerError(409, f"Context {identifier} already exists")
            self.contexts[identifier] = read(types.Context, body)
        elif path.endswith(":addContextChildren"):
            parent = path.removeprefix("/default/contexts/").removesuffix(":addContextChildren")
            names = read(types.AddContextChildrenRequest, body)["childContexts"]
            self.children.setdefault(parent, set()).update(name.rpartition("/")[2] for name in names)
        elif (method, path) != ("GET", "/default"):
            raise AnswerError(404, f"there is no {method} {path}")
        return {}

    def _upload(self, body: Json) -> Json:
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        request = read(types.UploadModelRequest, body)
        model = request["model"]
        if model.get("artifactUri") and not model.get("containerSpec", {}).get("imageUri"):
            raise AnswerError(400, "container_spec.image_uri is required")
        if not model.get("artifactUri", "gs://").startswith("gs://"):
            raise AnswerError(400, "artifact_uri is invalid")
        labels = model.get("labels", {})
        if len(labels) > 64 or not all(
            re.fullmatch(r"[a-z0-9_-]{0,63}", text) for pair in labels.items() for text in pair
        ):
            raise AnswerError(400, f"labels are invalid: {labels}")
        name = request.get("modelId") or request["parentModel"].rpartition("/")[2]
        if ("modelId" in request) == (name in self.versions):
            raise AnswerError(409 if "modelId" in request else 404, f"model {name}")
        among = self.versions.setdefault(name, [])
        number = str(1 + max((int(each["versionId"]) for each in among), default=0))
        model |= {"name": f"{PARENT[4:]}/models/{name}", "versionId": number, "createTime": "2026-11-28T11:10:09Z"}
        model["versionAliases"] = [] if among else ["default"]
        among.append(read(types.Model, model))
        return self._operation({"model": model["name"], "modelVersionId": number})

    def _operation(self, response: Json) -> Json:
        name = f"{PARENT[4:]}/operations/{len(self._operations) + 1}"
        end = {"error": self.failure} if self.failure else {"response": response}
        self.failure = {}
        self._operations[name] = {"looks": 0, "end": end}
        return {"name": name}

    def looked_at(self, rest: str) -> Json:
        name = f"{PARENT[4:]}/{rest}"
        operation = self._operations[name]
        operation["looks"] += 1
        done = operation["looks"] >= 2 and not self.never_done
        return {"name": name, "done": True, **operation["end"]} if done else {"name": name}

    def _version(self, model: str, at: str) -> Json:
        for version in self.versions.get(model, []):
            if version["versionId"] == at or at in version.get("versionAliases", []):
                return version
        raise AnswerError(404, f"The Model {model}@{at} does not exist")

    def _list(self, model: str, query: dict[str, str]) -> Json:
        if model not in self.versions:
            raise AnswerError(404, f"The Model {model} does not exist")
        wanted = query.get("filter", "")
        given = re.fullmatch(r'labels\.(\w+)="([^"]*)"', wanted)
        if wanted and given is None:
            raise AnswerError(400, f"the filter is invalid: {wanted}")
        found = self.versions[model]
        return {"models": [one for one in found if given is None or one.get("labels", {}).get(given[1]) == given[2]]}

    def _merge(self, model: str, version: Json, body: Json) -> Json:
        for alias in read(types.MergeVersionAliasesRequest, body)["versionAliases"]:
            name = alias.removeprefix("-")
            for other in self.versions[model]:
                other["versionAliases"] = [each for each in other.get("versionAliases", []) if each != name]
            if name == alias:
                version["versionAliases"].append(name)
        return version

    def _evaluations(self, version: str, verb: str | None, body: Json) -> Json:
        if verb == "import":
            found = read(types.ImportModelEvaluationRequest, body)["modelEvaluation"]
            self.evaluations.setdefault(version, []).append(found)
            return dict(found)
        return {"modelEvaluations": self.evaluations.get(version, [])}


def read(kind: Any, body: Json) -> Json:
    """The message, as it comes back."""
    message = kind()
    try:
        json_format.ParseDict(body, kind.pb(message))
    except json_format.ParseError as error:
        raise AnswerError(400, str(error)) from error
    document: Json = json_format.MessageToDict(kind.pb(message))
    return document
