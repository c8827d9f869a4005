"""Speaks the REST interface of Kubeflow's Model Registry on loopback, as its OpenAPI document and server do.

Unknown fields and parameters are refused. Names are unique (of versions within a model, of artifacts within a
version), and so are external ids. A PATCH that has custom properties replaces all of them. The parameters `name` are
patterns of SQL.
"""

import itertools
import re
from typing import Any

from tests.support.json_servers import AnswerError, Json, JsonServer

RESOURCE = {"name", "description", "externalId", "customProperties"}
LISTS = {"filterQuery", "pageSize", "orderBy", "sortOrder", "nextPageToken"}
FIELDS = {
    "registered_models": RESOURCE | {"owner", "state", "readme", "maturity", "language", "tasks", "provider", "logo"},
    "model_versions": RESOURCE | {"registeredModelId", "state", "author"},
    "artifacts": RESOURCE | {"artifactType", "uri", "state", "modelFormatName", "modelFormatVersion", "storageKey"},
}
VALUES: dict[str, dict[str, type]] = {
    "MetadataStringValue": {"string_value": str},
    "MetadataDoubleValue": {"double_value": float},
    "MetadataIntValue": {"int_value": str},
    "MetadataBoolValue": {"bool_value": bool},
}


class ModelRegistryServer(JsonServer):
    """What it holds lies in `models`, `versions` and `artifacts`, by id."""

    def __init__(self) -> None:
        super().__init__()
        self.interface = "v1alpha3"
        self.models: dict[str, Json] = {}
        self.versions: dict[str, Json] = {}
        self.artifacts: dict[str, Json] = {}
        self._ids = map(str, itertools.count(1))

    def handle(self, method: str, path: str, query: dict[str, str], body: Json) -> Json:
        parts = path.removeprefix(f"/api/model_registry/{self.interface}/").split("/")
        answer = self._read if method == "GET" else self._written
        found = answer((method, *parts), query, body)
        if found is None:
            raise AnswerError(404, f"there is no {method} {path}")
        return found

    def _read(self, call: tuple[str, ...], query: dict[str, str], body: Json) -> Json | None:
        match call[1:]:
            case ("registered_models",):
                return self._page(query, self._filtered(query))
            case ("registered_models", identifier, "versions"):
                self._there(self.models, identifier)
                return self._page(query, [v for v in self.versions.values() if v["registeredModelId"] == identifier])
            case ("model_version",):
                return self._one_version(query)
            case ("model_versions", identifier, "artifacts"):
                self._there(self.versions, identifier)
                of_version = [a for a in self.artifacts.values() if a["of"] == identifier]
                newest = reversed(of_version) if query.get("sortOrder") == "DESC" else of_version
                return self._page(query, [{k: v for k, v in a.items() if k != "of"} for a in newest], {"artifactType"})
        return None

    def _written(self, call: tuple[str, ...], query: dict[str, str], body: Json) -> Json | None:
        match call:
            case ("POST", "registered_models"):
                return self._made(self.models, "registered_models", body, {"name"})
            case ("PATCH", "registered_models", identifier):
                return self._changed(self.models, "registered_models", identifier, body)
            case ("POST", "model_versions"):
                self._there(self.models, str(body.get("registeredModelId")))
                return self._made(self.versions, "model_versions", body, {"name", "registeredModelId"})
            case ("POST", "model_versions", identifier, "artifacts"):
                self._there(self.versions, identifier)
                made = self._made(self.artifacts, "artifacts", body, {"artifactType"}, of=identifier)
                return {key: value for key, value in made.items() if key != "of"}
        return None

    def _filtered(self, query: dict[str, str]) -> list[Json]:
        wanted = query.get("filterQuery", "")
        if not wanted:
            return list(self.models.values())
        given = re.fullmatch(r'name = "([^"]*)"', wanted)
        if given is None:
            raise AnswerError(400, f"invalid filter query {wanted}")
        return [model for model in self.models.values() if model["name"] == given[1]]

    def _one_version(self, query: dict[str, str]) -> Json:
        if unknown := query.keys() - {"name", "externalId", "parentResourceId"}:
            raise AnswerError(400, f"unknown parameters {unknown}")
        found = [
            version
            for version in self.versions.values()
            if ("externalId" in query and version.get("externalId") == query["externalId"])
            or (
                "name" in query
                and like(query["name"], version["name"])
                and version["registeredModelId"] == query["parentResourceId"]
            )
        ]
        if len(found) != 1:
            raise AnswerError(404, f"{len(found)} model versions found")
        return found[0]

    def _made(self, among: dict[str, Json], kind: str, body: Json, required: set[str], **parent: str) -> Json:
        check(kind, body)
        if missing := required - body.keys():
            raise AnswerError(400, f"required fields are missing: {missing}")
        body = {**body, **parent}
        for other in among.values():
            same_name = all(other.get(field) == body.get(field) for field in ("name", "registeredModelId", "of"))
            same_id = body.get("externalId") and other.get("externalId") == body["externalId"]
            if same_name or same_id:
                raise AnswerError(409, f"{kind} {body['name']} already exists")
        identifier = next(self._ids)
        among[identifier] = {"id": identifier, "state": "LIVE", "createTimeSinceEpoch": "1", **body}
        return dict(among[identifier])

    def _changed(self, among: dict[str, Json], kind: str, identifier: str, body: Json) -> Json:
        check(kind, body)
        if body.keys() & {"name", "registeredModelId"}:
            raise AnswerError(400, "json: unknown field")
        self._there(among, identifier).update(body)
        return among[identifier]

    def _there(self, among: dict[str, Json], identifier: str) -> Json:
        if identifier not in among:
            raise AnswerError(404, f"nothing found for id {identifier}")
        return among[identifier]

    def _page(self, query: dict[str, str], items: list[Json], more: set[str] = frozenset()) -> Json:  # type: ignore[assignment]
        if unknown := query.keys() - LISTS - more:
            raise AnswerError(400, f"unknown parameters {unknown}")
        size, first = int(query.get("pageSize", "100")), int(query.get("nextPageToken") or 0)
        token = str(first + size) if first + size < len(items) else ""
        page = items[first : first + size]
        return {"items": page, "size": len(page), "pageSize": size, "nextPageToken": token}


def like(pattern: str, text: str) -> bool:
    """SQL's LIKE."""
    return re.fullmatch(re.escape(pattern).replace("_", ".").replace("%", ".*"), text) is not None


def check(kind: str, body: Json) -> None:
    """Refuse what the schema of this kind does not have."""
    if unknown := body.keys() - FIELDS[kind]:
        raise AnswerError(400, f"json: unknown field {unknown}")
    if len(str(body.get("externalId", ""))) > 255:
        raise AnswerError(400, "external_id is too long")
    for value in body.get("customProperties", {}).values():
        check_value(value)


def check_value(value: Any) -> None:
    kinds = VALUES.get(value.get("metadataType"), {})
    if value.keys() != {"metadataType", *kinds} or not all(isinstance(value[key], kind) for key, kind in kinds.items()):
        raise AnswerError(400, f"no metadata value: {value}")
