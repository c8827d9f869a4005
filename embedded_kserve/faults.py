"""Faults of the embedded cluster: what the API server answers wrongly, and what becomes of pods.

A test holds :class:`Faults`, in whatever process; the API server holds the :class:`FaultBook`.
"""

import json
import math
import threading
import urllib.request
from collections import deque
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

ADMIN_PATH = "/kubeline"  # of the API server, beside /api and /apis

FaultAction = Literal["status", "reset-before", "reset-after", "stale", "slow", "deny"]
WorkloadFault = Literal["never-ready", "bad-image", "quota"]

_REMEMBERED_REQUESTS = 10_000
_READS = {"get", "list", "watch"}


class Fault(msgspec.Struct, forbid_unknown_fields=True):
    """One fault of the API server.

    Attributes:
        action: ``status`` answers with `code` and does nothing; ``reset-before`` and ``reset-after`` reset the
            connection before or after the request took effect; ``stale`` answers a read as of `versions_back` changes
            ago; ``slow`` answers, or sends each event of a watch, `seconds` later, and while such a fault of watches of
            ``inferenceservices`` is there, the controller sees every change that much later; ``deny`` is a missing
            right: 403, and the access review says so.
        verb: get, list, watch, create, update, patch or delete; ``read``, ``write`` or ``*`` for several.
        resource: plural name, such as ``inferenceservices``; ``*`` for all.
        name: of the object; ``*`` for all.
        skip: matching requests that pass before the first one fails.
        times: requests that fail; 0 for all that follow.
        code: HTTP status.
        reason: of the Status object.
        message: of the Status object.
        retry_after: seconds for the Retry-After header; 0 for none.
        seconds: how slow.
        versions_back: how stale.
    """

    action: FaultAction
    verb: str = "*"
    resource: str = "*"
    name: str = "*"
    skip: int = 0
    times: int = 1
    code: int = 500
    reason: str = "InternalError"
    message: str = "injected fault"
    retry_after: float = 0
    seconds: float = 0.0
    versions_back: int = 1

    def matches(self, verb: str, resource: str, name: str) -> bool:
        """Whether a request is meant."""
        verbs = {"*": True, "read": verb in _READS, "write": verb not in _READS}.get(self.verb, self.verb == verb)
        return verbs and self.resource in {"*", resource} and self.name in {"*", name}


class PodFault(msgspec.Struct, forbid_unknown_fields=True):
    """What becomes of pods.

    Attributes:
        kind: ``never-ready`` runs but is never found ready, ``bad-image`` cannot pull its image, ``quota`` is not
            created. In Knative mode an image that cannot be pulled makes no pod, and a quota no revision.
        component: text in the namespace and name (``NAMESPACE/NAME``) of the revision or Deployment; empty for all.
    """

    kind: WorkloadFault
    component: str = ""


class FaultBook:
    """The faults in force, and the requests that were seen. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._pods: list[PodFault] = []
        self._gateway: float | None = None
        self._token = ""
        self._requests: deque[dict[str, Any]] = deque(maxlen=_REMEMBERED_REQUESTS)

    def take(self, verb: str, resource: str, name: str) -> Fault | None:
        """The fault of this request, which is counted."""
        with self._lock:
            for fault in self._faults:
                if not fault.matches(verb, resource, name):
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                if fault.action != "deny" and fault.times:
                    fault.times -= 1
                    if not fault.times:
                        self._faults.remove(fault)
                return fault
        return None

    def denied(self, verb: str, resource: str, name: str) -> bool:
        """Whether a right is missing."""
        with self._lock:
            return any(fault.action == "deny" and fault.matches(verb, resource, name) for fault in self._faults)

    def watch_delay(self, resource: str, name: str) -> float:
        """Seconds after which a controller sees a change."""
        with self._lock:
            slow = [fault for fault in self._faults if fault.action == "slow"]
            return max((fault.seconds for fault in slow if fault.matches("watch", resource, name)), default=0.0)

    def of_gateway(self) -> float | None:
        """Seconds by which the gateway is behind, infinity when it stands still; None when nothing is wrong with it."""
        with self._lock:
            return self._gateway

    def token(self) -> str:
        """The bearer token that the gateway asks for; empty when it asks for none."""
        with self._lock:
            return self._token

    def of_pod(self, component: str) -> WorkloadFault | None:
        """What becomes of the pods of a revision or Deployment."""
        with self._lock:
            return next((fault.kind for fault in self._pods if fault.component in component), None)

    def record(self, **request: Any) -> None:
        """Add a request to the list of those that were made."""
        with self._lock:
            self._requests.append(request)

    def answer(self, method: str, path: str, body: Any) -> Any:
        """Serve the calls of :class:`Faults`."""
        with self._lock:
            match method, path:
                case "POST", "faults":
                    self._faults.append(msgspec.convert(body, Fault))
                case "POST", "pods":
                    self._pods.append(msgspec.convert(body, PodFault))
                case "POST", "gateway":
                    self._gateway = float(body["seconds"])
                case "POST", "token":
                    self._token = str(body["token"])
                case "DELETE", "faults":
                    self._faults.clear()
                    self._pods.clear()
                    self._gateway, self._token = None, ""
                case "GET", "faults":
                    return msgspec.to_builtins(self._faults)
                case "GET", "requests":
                    return list(self._requests)
                case "DELETE", "requests":
                    self._requests.clear()
        return {}


class Faults:
    """Makes the embedded cluster fail, over HTTP.

    Args:
        api_url: address of the API server.
        token: its bearer token, as the kubeconfig holds it.
    """

    def __init__(self, api_url: str, token: str) -> None:
        self._url = f"{api_url}{ADMIN_PATH}"
        self._token = token

    def add(self, action: FaultAction, **matcher: Any) -> None:
        """Make requests fail; `matcher` are the fields of :class:`Fault`."""
        self._call("POST", "faults", msgspec.to_builtins(Fault(action=action, **matcher)))

    def pods(self, kind: WorkloadFault, component: str = "") -> None:
        """Make pods fail that have not started yet, of components with this text in their namespace and name."""
        self._call("POST", "pods", msgspec.to_builtins(PodFault(kind=kind, component=component)))

    def gateway(self, seconds: float = math.inf) -> None:
        """Make the gateway follow routes and endpoints only so much later, or not at all.

        One that stands still writes nothing into the status of HTTPRoutes, and Knative's Ingress is never ready.
        """
        self._call("POST", "gateway", {"seconds": seconds})

    def gateway_token(self, token: str) -> None:
        """Make the gateway answer 401 to every request without this bearer token."""
        self._call("POST", "token", {"token": token})

    def clear(self) -> None:
        """End every fault; pods that were hit recover."""
        self._call("DELETE", "faults")

    def pending(self) -> list[dict[str, Any]]:
        """Faults that have not been used up."""
        return list(self._call("GET", "faults"))

    def requests(self) -> list[dict[str, Any]]:
        """What clients asked: time, verb, resource, namespace, name, query, content_type, body, code (0: reset)."""
        return list(self._call("GET", "requests"))

    def forget_requests(self) -> None:
        """Begin the list of requests anew."""
        self._call("DELETE", "requests")

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - our own loopback address
            f"{self._url}/{path}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            return json.loads(response.read())
