"""The calls of the Kubernetes client: for each verb and kind of object the one that the client has for it.

`CustomObjectsApi` reaches the objects of every group, `CoreV1Api` those of the core group, which has none. Each takes
and returns plain JSON, as its response is not read by the client.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

from kubeline.kubernetes.resources import ACCESS_REVIEW, Resource

Verb = Literal["get", "list", "create", "patch", "delete"]

_WORD = re.compile(r"(?<!^)(?=[A-Z])")


def send(
    client: Any,
    verb: Verb,
    resource: Resource,
    namespace: str,
    name: str,
    body: Any = None,
    options: Mapping[str, Any] | None = None,
) -> Any:
    """Send the request of a verb.

    Args:
        client: a `kubernetes.client.ApiClient`.
        verb: as in rules of access.
        resource: kind of the object.
        namespace: of the object.
        name: of the object.
        body: of a write, a mapping.
        options: of the call: ``dry_run``, ``field_manager``, ``field_validation``, ``label_selector``, ``limit``, and
            those of every call, such as ``_request_timeout``.

    Returns:
        The response of urllib3, where its content was not preloaded.
    """
    from kubernetes.client import AuthorizationV1Api, CoreV1Api, CustomObjectsApi

    given = {**(options or {})}
    one = (name,) if verb in {"get", "patch", "delete"} else ()
    content = (body,) if verb in {"create", "patch"} else ()
    if resource is ACCESS_REVIEW:
        return AuthorizationV1Api(client).create_self_subject_access_review(*content, **given)
    if resource.group:
        call = getattr(CustomObjectsApi(client), f"{verb}_namespaced_custom_object")
        return call(resource.group, resource.version, namespace, resource.plural, *one, *content, **given)
    kind = _WORD.sub("_", resource.kind).lower()
    call = getattr(CoreV1Api(client), f"{'read' if verb == 'get' else verb}_namespaced_{kind}")
    return call(*one, namespace, *content, **given)
