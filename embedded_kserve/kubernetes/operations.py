"""What a request for objects does."""

from typing import Any

from embedded_kserve.kubernetes.requests import ApiRequest, selected
from embedded_kserve.kubernetes.schema import check_fields
from embedded_kserve.kubernetes.statuses import StatusError, bad_request
from embedded_kserve.kubernetes.store import Store

MERGE_PATCH = "application/merge-patch+json"
_WRITES = {"create", "update", "patch"}


def perform(store: Store, request: ApiRequest, versions_back: int = 0) -> tuple[int, Any]:
    """Do what is asked: HTTP status and document; reads are of so many changes ago."""
    kind, namespace, name = request.kind, request.namespace, request.name
    if request.verb in _WRITES:
        if not isinstance(request.body, dict):
            raise bad_request("the body is not a JSON object")
        if request.strict:
            check_fields(kind, request.body, patch=request.verb == "patch")
    match request.verb:
        case "get":
            return 200, store.get(kind, namespace, name, versions_back)
        case "list":
            with store.changed:  # a watch from this version on misses nothing that is not listed
                found = store.every(kind, namespace, versions_back)
                meta = {"resourceVersion": str(store.version)}
            items = [document for document in found if selected(document, request.query)]
            return 200, {"apiVersion": kind.api_version, "kind": f"{kind.kind}List", "metadata": meta, "items": items}
        case "create":
            return 201, store.create(kind, _placed(request), request.dry_run)
        case "update":
            return 200, store.update(kind, _placed(request), request.dry_run)
        case "patch":
            if request.content_type != MERGE_PATCH:
                problem = f"the body of the request was in an unknown format - {request.content_type}"
                raise StatusError(415, "UnsupportedMediaType", problem)
            return 200, store.patch(kind, namespace, name, request.body, request.dry_run)
        case _:
            _check_preconditions(store, request)
            return 200, store.delete(kind, namespace, name, request.dry_run)


def _placed(request: ApiRequest) -> dict[str, Any]:
    """The body, with the namespace and name of the path."""
    meta = dict(request.body.get("metadata", {}))
    if request.kind.namespaced:
        meta["namespace"] = request.namespace
    if request.name:
        meta["name"] = request.name
    return {**request.body, "metadata": meta}


def _check_preconditions(store: Store, request: ApiRequest) -> None:
    meta = store.get(request.kind, request.namespace, request.name)["metadata"]
    for field, value in ((request.body or {}).get("preconditions") or {}).items():
        if meta.get(field) != value:
            raise StatusError(
                409,
                "Conflict",
                f"Precondition failed: {field} in precondition: {value}, in object meta: {meta.get(field)}",
            )
