"""What a path of the Kubernetes API means."""

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from embedded_kserve.kubernetes.resources import Kind

_PATH = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/(?P<version>[^/]+)(?:/namespaces/(?P<namespace>[^/]+))?/(?P<plural>[^/]+)"
    r"(?:/(?P<name>[^/]+))?(?:/(?P<part>status))?"
)
VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True)
class ApiRequest:
    """One request for objects.

    Attributes:
        verb: get, list, watch, create, update, patch or delete.
        kind: of the objects.
        namespace: empty for all, or the cluster's.
        name: empty for many.
        part: ``status``, or empty.
        query: parameters.
        content_type: of the body.
        body: parsed; None when there is none.
    """

    verb: str
    kind: Kind
    namespace: str
    name: str
    part: str
    query: dict[str, str]
    content_type: str
    body: Any

    @property
    def dry_run(self) -> bool:
        """Whether nothing is to be stored."""
        return self.query.get("dryRun") == "All"

    @property
    def strict(self) -> bool:
        """Whether unknown fields are refused."""
        return self.query.get("fieldValidation") == "Strict"


def parse(method: str, target: str, content_type: str, text: bytes, kinds: tuple[Kind, ...]) -> ApiRequest | None:
    """The request, or None when no such kind is installed."""
    url = urlsplit(target)
    path = url.path
    if match := re.fullmatch(r"/api/v1/namespaces/([^/]+)", path):
        group, version, namespace, plural, name, part = "", "v1", "", "namespaces", match[1], ""
    elif found := _PATH.fullmatch(path):
        group, version = found["group"] or "", found["version"]
        namespace, plural = found["namespace"] or "", found["plural"]
        name, part = found["name"] or "", found["part"] or ""
    else:
        return None
    kind = next((k for k in kinds if (k.group, k.version, k.plural) == (group, version, plural)), None)
    if kind is None or bool(namespace) > kind.namespaced:
        return None
    query = {key: values[0] for key, values in parse_qs(url.query).items()}
    body = json.loads(text) if text else None
    if method == "GET":
        watching = query.get("watch") in {"1", "true", "True"}
        verb = "get" if name else "watch" if watching else "list"
    else:
        verb = VERBS[method]
    if verb == "create" and isinstance(body, dict):
        name = body.get("metadata", {}).get("name", "")
    return ApiRequest(verb, kind, namespace, name, part, query, content_type, body)


def selected(document: dict[str, Any], query: dict[str, str]) -> bool:
    """Whether an object fits the label and field selectors (equality only)."""
    meta = document["metadata"]
    for term in filter(None, query.get("labelSelector", "").split(",")):
        key, _, value = term.replace("==", "=").partition("=")
        if meta.get("labels", {}).get(key) != value:
            return False
    for term in filter(None, query.get("fieldSelector", "").split(",")):
        path, _, value = term.replace("==", "=").partition("=")
        found: Any = document
        for key in path.split("."):
            found = found.get(key, "") if isinstance(found, dict) else ""
        if found != value:
            return False
    return True
