"""The few calls to a Kubernetes API server that a rollout makes, with plain dicts.

Not the KServe SDK's client: that one loses the HTTP status, does not retry, and cannot remove a field.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal, Self, TypeVar

from kubeline.errors import PlatformError, UserError
from kubeline.kubernetes.attempts import WAITS, attempted
from kubeline.kubernetes.connection import Connection, connect
from kubeline.kubernetes.errors import ConflictError, NotFoundError, UnavailableError
from kubeline.kubernetes.merge import merge_patch
from kubeline.kubernetes.operations import Call
from kubeline.kubernetes.replies import refusal
from kubeline.kubernetes.resources import ACCESS_REVIEW, INFERENCE_SERVICE, Manifest, Resource
from kubeline.kubernetes.schemas import misshapen

T = TypeVar("T")
Change = Literal["created", "updated", "unchanged"]

_FIELD_MANAGER = "kubeline"
_GONE_SECONDS, _GONE_PAUSE = 120.0, 0.5  # for something to be gone after it was deleted, and between two attempts
_EARLIEST, _LATEST = 1.7e9, 4.1e9  # Unix seconds (2023 and 2099): any other is no time that a server has


@dataclass(frozen=True)
class Applied:
    """What was done, and the object as the API server has it now."""

    change: Change
    manifest: Manifest


class Cluster:
    """The objects of one cluster; InferenceServices unless another resource is given.

    `read`, `create` and `patch` are one request each and distinguish :class:`ConflictError` from
    :class:`UnavailableError`; `apply` repeats them as needed. Every other failure is one sentence: a UserError when
    the API server rejects the object, a PlatformError when it rejects us.

    Args:
        connection: to the API server.
        waits: seconds to wait before each further attempt; their number limits the attempts.
    """

    def __init__(self, connection: Connection, waits: Sequence[float] = WAITS) -> None:
        self._connection = connection
        self._waits = waits

    @classmethod
    def connect(cls, cluster: str, timeout_seconds: float = 30.0, waits: Sequence[float] = WAITS) -> Self:
        """Prepare to talk to a cluster; nothing is sent yet.

        Args:
            cluster: ``in-cluster`` for the service account of this pod, ``gke://PROJECT/LOCATION/CLUSTER``, or the path
                of a kubeconfig file, of which the current context is used.
            timeout_seconds: for each request, from its beginning to the last byte of the answer.
            waits: seconds to wait before each further attempt.

        Raises:
            UserError: when there is no such kubeconfig or cluster, or this is no pod.
        """
        return cls(connect(cluster, timeout_seconds), waits)

    def read(self, namespace: str, name: str, resource: Resource = INFERENCE_SERVICE) -> Manifest | None:
        """The object, or None when there is none; NotInstalledError when the cluster does not know such objects."""
        try:
            return self._call(Call("get", resource, namespace, name))
        except NotFoundError:
            return None

    def find(self, namespace: str, resource: Resource, labels: str = "", fields: str = "") -> list[Manifest]:
        """The objects that carry these labels and fields (``a=b,c=d``)."""
        given = {"label_selector": labels, "field_selector": fields}
        options = {key: value for key, value in given.items() if value}
        return list(self._call(Call("list", resource, namespace, options=options))["items"])

    def create(self, manifest: Manifest, resource: Resource = INFERENCE_SERVICE, dry_run: bool = False) -> Manifest:
        """Create it; ConflictError when it is there already. A dry run returns what would be, and keeps nothing."""
        meta, options = manifest["metadata"], _write_options(dry_run)
        try:
            return self._call(Call("create", resource, meta["namespace"], meta["name"], manifest, options))
        except NotFoundError as error:
            raise UserError(f"there is no namespace '{meta['namespace']}' in this cluster; create it first") from error

    def patch(
        self, namespace: str, name: str, body: Manifest, resource: Resource = INFERENCE_SERVICE, dry_run: bool = False
    ) -> Manifest:
        """Send a JSON merge patch (RFC 7396); a stale ``metadata.resourceVersion`` in it is a ConflictError."""
        try:
            return self._call(Call("patch", resource, namespace, name, body, _write_options(dry_run)))
        except NotFoundError as error:
            raise ConflictError(f"{resource.kind} {namespace}/{name} was deleted in the meantime") from error

    def delete(self, namespace: str, name: str, resource: Resource) -> None:
        """Delete it, which is done when nothing that it owns is left; NotFoundError when there is none."""
        body = {"propagationPolicy": "Foreground"}
        self._send(Call("delete", resource, namespace, name, options={"body": body}))

    def remove(self, namespace: str, name: str, resource: Resource, wait: bool) -> None:
        """Delete it where there is one, tried again as :meth:`attempt` does; `wait` until it is gone.

        Raises:
            PlatformError: when it is still there after a while.
        """
        what = f"{resource.kind} {namespace}/{name}"
        deadline = time.monotonic() + _GONE_SECONDS
        while self.attempt(lambda: self._is_deleted(namespace, name, resource), what) and wait:
            if time.monotonic() > deadline:
                raise PlatformError(f"{what} of an earlier try does not go away; see its finalizers")
            time.sleep(_GONE_PAUSE)

    def _is_deleted(self, namespace: str, name: str, resource: Resource) -> bool:
        """Whether there was one to delete."""
        try:
            self.delete(namespace, name, resource)
        except NotFoundError:
            return False
        return True

    def may(self, verb: str, resource: Resource, namespace: str, name: str = "") -> bool:
        """Whether these credentials may do this (a SelfSubjectAccessReview, which everybody may ask for)."""
        plural, _, part = resource.plural.partition("/")
        asked = {"group": resource.group, "resource": plural, "verb": verb, "namespace": namespace}
        asked |= {"subresource": part} if part else {}
        review = {
            "apiVersion": ACCESS_REVIEW.api_version,
            "kind": ACCESS_REVIEW.kind,
            "spec": {"resourceAttributes": {**asked, "name": name} if name else asked},
        }
        answer = self._send(Call("create", ACCESS_REVIEW, namespace, body=review))
        allowed = answer["status"].get("allowed") if _holds_status(answer) else None
        if not isinstance(allowed, bool):
            raise self._unbelievable(ACCESS_REVIEW, "it says nothing of a right")
        return allowed

    def time(self) -> float:
        """Unix seconds at the API server, by the Date of an answer; this machine's where there is none."""
        try:
            reply = self._connection.ask("GET", "/version")
            server_time = parsedate_to_datetime(reply.headers.get("Date", "")).timestamp()
        except (UnavailableError, TypeError, ValueError, OverflowError):
            return time.time()
        return server_time if _EARLIEST < server_time < _LATEST else time.time()

    def check_access(self) -> None:
        """Nothing: who may do what is asked for each object, by :meth:`may`."""

    def reconcile(self, namespace: str, name: str) -> None:
        """Nothing: KServe's controller does what the specification says."""

    def proxy(self, namespace: str, service: str, path: str, request: bytes, seconds: float) -> tuple[int, bytes]:
        """POST JSON to a Service through the API server.

        Args:
            namespace: of the Service.
            service: its name and port, ``NAME:PORT``.
            path: there, with its leading slash.
            request: body.
            seconds: to the last byte of the answer.

        Returns:
            Status and body of the answer; with an error status it may be the API server's own.
        """
        where = f"/api/v1/namespaces/{namespace}/services/{service}/proxy{path}"
        reply = self._connection.ask("POST", where, request, seconds)
        return reply.status, reply.body or reply.reason.encode()

    def apply(self, manifest: Manifest) -> Applied:
        """Create the object, or patch what differs in it; fields that `manifest` does not name stay as they are.

        Every attempt begins with a read, so that a write whose answer was lost is seen and not repeated.
        """
        meta = manifest["metadata"]
        return self.attempt(lambda: self._apply_once(manifest), f"InferenceService {meta['namespace']}/{meta['name']}")

    def attempt(self, work: Callable[[], T], what: str) -> T:
        """Run `work` again after a :class:`ConflictError` or :class:`UnavailableError`, as often as there are waits."""
        return attempted(work, what, self._waits)

    def _apply_once(self, manifest: Manifest) -> Applied:
        meta = manifest["metadata"]
        live = self.read(meta["namespace"], meta["name"])
        if live is None:
            return Applied("created", self.create(manifest))
        changes = merge_patch(live, manifest)
        if not changes:
            return Applied("unchanged", live)
        locked = {"resourceVersion": live["metadata"]["resourceVersion"]}
        changes["metadata"] = {**changes.get("metadata", {}), **locked}
        return Applied("updated", self.patch(meta["namespace"], meta["name"], changes))

    def _call(self, call: Call) -> Manifest:
        answer: Manifest = self._send(call)
        if call.verb == "list":
            wrong = _no_whole_list(answer, call.resource, call.namespace)
        else:
            stored = "dry_run" not in call.options
            wrong = misshapen(answer, call.resource, call.namespace, call.name, stored)
        if wrong:
            raise self._unbelievable(call.resource, wrong)
        return answer

    def _send(self, call: Call) -> Any:
        reply = self._connection.call(call)
        if not 200 <= reply.status < 300:
            raise refusal(reply, call.verb, call.resource, call.namespace, call.name, self._connection.host)
        return reply.document(self._connection.host)

    def _unbelievable(self, resource: Resource, wrong: str) -> UnavailableError:
        """A proxy in between can answer 200 with anything; whether a write took effect is then unknown."""
        return UnavailableError(
            f"what answers at {self._connection.host} is no Kubernetes API server, or not a whole one: "
            f"{resource.kind} was expected, but {wrong}; check the proxies in between"
        )


def _no_whole_list(answer: Any, resource: Resource, namespace: str) -> str:
    items = answer.get("items") if isinstance(answer, dict) else None
    meta = answer.get("metadata", {}) if isinstance(answer, dict) else None
    if not isinstance(items, list) or not isinstance(meta, dict):
        return f"it says '{' '.join(str(answer).split())[:60]}'"
    if meta.get("continue"):
        return "its list goes on elsewhere"
    return next(filter(None, (misshapen(one, resource, namespace, "") for one in items)), "")


def _holds_status(answer: Any) -> bool:
    return isinstance(answer, dict) and isinstance(answer.get("status"), dict)


def _write_options(dry_run: bool) -> dict[str, str]:
    # Unknown fields are silently dropped unless validation is strict.
    options = {"field_manager": _FIELD_MANAGER, "field_validation": "Strict"}
    return {**options, "dry_run": "All"} if dry_run else options
