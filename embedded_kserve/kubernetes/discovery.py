"""What an API server says about itself: version, groups, kinds, and access rights."""

from collections.abc import Callable
from typing import Any

from embedded_kserve.kubernetes.resources import Kind

_VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]
_AUTHORIZATION = Kind(
    "authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", namespaced=False
)

_FIXED: dict[str, Any] = {
    **dict.fromkeys(("/healthz", "/livez", "/readyz"), "ok"),
    "/version": {"major": "1", "minor": "36", "gitVersion": "v1.36.0+kubeline", "platform": "embedded"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
}


def answer(path: str, kinds: tuple[Kind, ...]) -> Any:
    """The document at a path of discovery or health; None when the path is another one."""
    every = (*kinds, _AUTHORIZATION)
    if path in _FIXED:
        return _FIXED[path]
    if path == "/apis":
        names = sorted({kind.group for kind in every if kind.group})
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(name, every) for name in names]}
    for kind in every:
        if path == f"/apis/{kind.group}":
            return {"kind": "APIGroup", "apiVersion": "v1", **_group(kind.group, every)}
        if path == (f"/apis/{kind.api_version}" if kind.group else "/api/v1"):
            return _resources(kind.api_version, every)
    return None


def access_review(review: dict[str, Any], denied: Callable[[str, str, str], bool]) -> dict[str, Any]:
    """A SelfSubjectAccessReview, answered: everything is allowed but what `denied` says."""
    asked = review.get("spec", {}).get("resourceAttributes", {})
    resource = "/".join(filter(None, (asked.get("resource", ""), asked.get("subresource", ""))))
    allowed = not denied(asked.get("verb", ""), resource, asked.get("name", ""))
    return {**review, "status": {"allowed": allowed, "reason": "" if allowed else "denied by an injected fault"}}


def _group(name: str, kinds: tuple[Kind, ...]) -> dict[str, Any]:
    versions = sorted({kind.version for kind in kinds if kind.group == name}, reverse=True)  # v1beta1 before v1alpha1
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def _resources(api_version: str, kinds: tuple[Kind, ...]) -> dict[str, Any]:
    resources = [
        {"name": kind.plural, "singularName": "", "namespaced": kind.namespaced, "kind": kind.kind, "verbs": _VERBS}
        for kind in kinds
        if kind.api_version == api_version
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": resources}
