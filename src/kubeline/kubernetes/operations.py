"""The calls of the Kubernetes client: for each verb and kind of object the one that the client has for it.

`CustomObjectsApi` reaches the objects of every group, `CoreV1Api` those of the core group, which has none. Each takes
and returns plain JSON, as its response is not read by the client.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from kubeline.kubernetes.resources import ACCESS_REVIEW, Resource

Verb = Literal["get", "list", "create", "patch", "delete"]

_WORD = re.compile(r"(?<!^)(?=[A-Z])")


@dataclass(frozen=True)
class Call:
    """A request for objects of one kind.

    Attributes:
        verb: as in rules of access.
        resource: kind of the object.
        namespace: of the object; empty where its kind has none.
        name: of the object; empty for many.
        body: of a write, a mapping.
        options: of the request: ``dry_run``, ``field_manager``, ``field_validation``, ``label_selector`` and so on.
    """

    verb: Verb
    resource: Resource
    namespace: str
    name: str = ""
    body: Any = None
    options: Mapping[str, Any] = field(default_factory=dict)


def send(client: Any, call: Call, **settings: Any) -> Any:
    """Send a request.

    Args:
        client: a `kubernetes.client.ApiClient`.
        call: what is asked for.
        settings: of every call of that client, such as ``_request_timeout``.

    Returns:
        The response of urllib3, where its content was not preloaded.
    """
    from kubernetes.client import AuthorizationV1Api, CoreV1Api, CustomObjectsApi

    verb, resource, given = call.verb, call.resource, {**call.options, **settings}
    one = (call.name,) if verb in {"get", "patch", "delete"} else ()
    content = (call.body,) if verb in {"create", "patch"} else ()
    if resource is ACCESS_REVIEW:
        return AuthorizationV1Api(client).create_self_subject_access_review(*content, **given)
    if not resource.namespaced:
        ask = getattr(CustomObjectsApi(client), f"{verb}_cluster_custom_object")
        return ask(resource.group, resource.version, resource.plural, *one, *content, **given)
    if resource.group:
        ask = getattr(CustomObjectsApi(client), f"{verb}_namespaced_custom_object")
        return ask(resource.group, resource.version, call.namespace, resource.plural, *one, *content, **given)
    kind = _WORD.sub("_", resource.kind).lower()
    ask = getattr(CoreV1Api(client), f"{'read' if verb == 'get' else verb}_namespaced_{kind}")
    return ask(*one, call.namespace, *content, **given)
