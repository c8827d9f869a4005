"""The few calls to a Kubernetes API server that a rollout makes, with plain dicts.

Not the KServe SDK's client: that one loses the HTTP status, does not retry, and cannot remove a field.
"""

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from kubeline.errors import KubelineError, PlatformError, UserError
from kubeline.rollout.inference_service import GROUP, KIND, PLURAL, VERSION, Manifest, merge_patch

logger = logging.getLogger(__name__)

T = TypeVar("T")
Change = Literal["created", "updated", "unchanged"]

IN_CLUSTER = "in-cluster"
_FIELD_MANAGER = "kubeline"
_WAITS = (0.2, 0.5, 1.0, 2.0, 4.0)  # seconds before each further attempt
_LONGEST_WAIT = 30.0  # seconds that a Retry-After header is honoured at most
_TRANSIENT = {429, 500, 502, 503, 504}


@dataclass(frozen=True)
class Resource:
    """A kind of namespaced object; the core group is the empty one."""

    group: str
    version: str
    plural: str
    kind: str

    @property
    def path(self) -> str:
        """Of its objects, with a place for the namespace."""
        root = f"/apis/{self.group}" if self.group else "/api"
        return f"{root}/{self.version}/namespaces/{{namespace}}/{self.plural}"

    @property
    def api_version(self) -> str:
        """What its objects name as ``apiVersion``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def full_name(self) -> str:
        """As rules of access name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


INFERENCE_SERVICE = Resource(GROUP, VERSION, PLURAL, KIND)
HTTP_ROUTE = Resource("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute")
INGRESS = Resource("networking.k8s.io", "v1", "ingresses", "Ingress")
CONFIG_MAP = Resource("", "v1", "configmaps", "ConfigMap")
POD = Resource("", "v1", "pods", "Pod")
SERVICE_PROXY = Resource("", "v1", "services/proxy", "Service")
DEPLOYMENT = Resource("apps", "v1", "deployments", "Deployment")
_REVIEW = Resource("authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview")


class ConflictError(KubelineError):
    """The object has changed since it was read (409): read it again and decide anew."""


class NotInstalledError(PlatformError):
    """The cluster does not know this kind of object."""


class UnavailableError(PlatformError):
    """The API server did not answer or was too busy; whether a write took effect is unknown: read before repeating."""

    def __init__(self, sentence: str, retry_after: float = 0.0) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


@dataclass(frozen=True)
class Applied:
    """What was done, and the object as the API server has it now."""

    change: Change
    manifest: Manifest


class Cluster:
    """The objects of one cluster; InferenceServices unless another resource is given.

    `read`, `create` and `patch` are one request each and tell :class:`ConflictError` from
    :class:`UnavailableError`; `apply` repeats them as needed. Every other failure is one sentence: a UserError when
    the API server rejects the object, a PlatformError when it rejects us.

    Args:
        api: a `kubernetes.client.ApiClient`.
        timeout_seconds: for each request, to connect and to answer.
        waits: seconds to wait before each further attempt; their number limits the attempts.
    """

    def __init__(self, api: Any, timeout_seconds: float = 30.0, waits: Sequence[float] = _WAITS) -> None:
        self._api = api
        self._timeout = (timeout_seconds, timeout_seconds)
        self._waits = waits
        self._date = ""  # of the last answer

    @classmethod
    def connect(cls, cluster: str, timeout_seconds: float = 30.0, waits: Sequence[float] = _WAITS) -> Self:
        """Prepare to talk to a cluster; nothing is sent yet.

        Args:
            cluster: ``in-cluster`` for the service account of this pod, or the path of a kubeconfig file, of which the
                current context is used.
            timeout_seconds: for each request.
            waits: seconds to wait before each further attempt.

        Raises:
            UserError: when there is no such kubeconfig, or this is no pod.
        """
        from kubernetes import client

        settings = client.Configuration()
        _load(cluster, settings)
        settings.retries = 0  # attempts are counted here, where a write is known from a read
        return cls(client.ApiClient(settings), timeout_seconds, waits)

    def read(self, namespace: str, name: str, resource: Resource = INFERENCE_SERVICE) -> Manifest | None:
        """The object, or None when there is none; NotInstalledError when the cluster does not know such objects."""
        try:
            return self._call("get", resource, namespace, name)
        except _NotFoundError:
            return None

    def find(self, namespace: str, resource: Resource, labels: str = "") -> list[Manifest]:
        """The objects that carry these labels (``a=b,c=d``)."""
        query = {"labelSelector": labels} if labels else {}
        return list(self._call("list", resource, namespace, query=query).get("items", []))

    def create(self, manifest: Manifest, resource: Resource = INFERENCE_SERVICE, dry_run: bool = False) -> Manifest:
        """Create it; ConflictError when it is there already. A dry run returns what would be, and keeps nothing."""
        meta = manifest["metadata"]
        query = _write_query(dry_run)
        try:
            return self._call("create", resource, meta["namespace"], meta["name"], manifest, query)
        except _NotFoundError as error:
            raise UserError(f"there is no namespace '{meta['namespace']}' in this cluster; create it first") from error

    def patch(
        self,
        namespace: str,
        name: str,
        body: Manifest,
        resource: Resource = INFERENCE_SERVICE,
        dry_run: bool = False,
    ) -> Manifest:
        """Send a JSON merge patch (RFC 7396); a stale ``metadata.resourceVersion`` in it is a ConflictError."""
        try:
            return self._call("patch", resource, namespace, name, body, _write_query(dry_run))
        except _NotFoundError as error:
            raise ConflictError(f"{resource.kind} {namespace}/{name} was deleted in the meantime") from error

    def may(self, verb: str, resource: Resource, namespace: str, name: str = "") -> bool:
        """Whether these credentials may do this (a SelfSubjectAccessReview, which everybody may ask for)."""
        plural, _, part = resource.plural.partition("/")
        asked = {"group": resource.group, "resource": plural, "verb": verb, "namespace": namespace}
        asked |= {"subresource": part} if part else {}
        review = {
            "apiVersion": _REVIEW.api_version,
            "kind": _REVIEW.kind,
            "spec": {"resourceAttributes": {**asked, "name": name} if name else asked},
        }
        path = f"/apis/{_REVIEW.api_version}/{_REVIEW.plural}"
        try:
            answer = self._request("POST", path, {}, review, {})
        except _StatusError as error:
            raise _plain(error.answer, "create", _REVIEW, namespace, "", self._host) from error
        status = answer.get("status") if isinstance(answer, dict) else None
        return bool(status.get("allowed")) if isinstance(status, dict) else False

    def time(self) -> float:
        """Unix seconds at the API server, by the Date of an answer; this machine's where there is none."""
        try:
            self._request("GET", "/version", {}, None, {})
            return parsedate_to_datetime(self._date).timestamp()
        except (_StatusError, UnavailableError, TypeError, ValueError):
            return time.time()

    def proxy(self, namespace: str, service: str, path: str, request: bytes, seconds: float) -> tuple[int, bytes]:
        """POST JSON to a Service through the API server.

        Args:
            namespace: of the Service.
            service: its name and port, ``NAME:PORT``.
            path: there, with its leading slash.
            request: body.
            seconds: to connect and to answer.

        Returns:
            Status and JSON of the answer; with an error status it may be the API server's own.
        """
        where = f"/api/v1/namespaces/{namespace}/services/{service}/proxy{path}"
        try:
            answer = self._request("POST", where, {}, json.loads(request), {}, (seconds, seconds))
        except _StatusError as error:
            return int(error.answer.status), str(error.answer.body or error.answer.reason).encode()
        return 200, json.dumps(answer).encode()

    def apply(self, manifest: Manifest) -> Applied:
        """Create the object, or patch what differs in it; fields that `manifest` does not name stay as they are.

        Every attempt begins with a read, so that a write whose answer was lost is seen and not repeated.
        """
        meta = manifest["metadata"]
        return self.attempt(lambda: self._apply_once(manifest), f"InferenceService {meta['namespace']}/{meta['name']}")

    def attempt(self, work: Callable[[], T], what: str) -> T:
        """Run `work` again after a :class:`ConflictError` or :class:`UnavailableError`, as often as there are waits."""
        for wait in self._waits:
            try:
                return work()
            except (ConflictError, UnavailableError) as error:
                pause = min(max(wait, getattr(error, "retry_after", 0.0)), _LONGEST_WAIT)
                logger.info("%s; next attempt in %.1f s", error, pause)
                time.sleep(pause)
        try:
            return work()
        except ConflictError as error:
            raise PlatformError(f"{what} is being changed by someone else all the time ({error}); try later") from error

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

    def _call(
        self,
        verb: str,
        resource: Resource,
        namespace: str,
        name: str = "",
        body: Any = None,
        query: Mapping[str, str] | None = None,
    ) -> Any:
        one = verb in {"get", "patch"}
        path = resource.path + ("/{name}" if one else "")
        where = {"namespace": namespace, "name": name} if one else {"namespace": namespace}
        try:
            answer = self._request(_METHODS[verb], path, where, body, dict(query or {}))
            return _checked(answer, verb, resource, self._host)
        except _StatusError as error:
            raise _plain(error.answer, verb, resource, namespace, name, self._host) from error

    @property
    def _host(self) -> str:
        return str(self._api.configuration.host)

    def _request(
        self,
        method: str,
        path: str,
        where: dict[str, str],
        body: Any,
        query: dict[str, str],
        timeout: tuple[float, float] | None = None,
    ) -> Any:
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        try:
            answer, _, headers = self._api.call_api(
                path,
                method,
                path_params=where,
                query_params=list(query.items()),
                header_params={"Accept": "application/json", "Content-Type": kind},
                body=body,
                response_type="object",
                auth_settings=["BearerToken"],
                _request_timeout=timeout or self._timeout,
            )
            self._date = str((headers or {}).get("Date", ""))
        except ApiException as error:
            raise _StatusError(error) from error
        except (RecursionError, UnicodeError) as error:
            raise UnavailableError(f"the Kubernetes API server at {self._host} answers what is no JSON") from error
        except (HTTPError, OSError) as error:
            reason = type(getattr(error, "reason", None) or error).__name__
            raise UnavailableError(f"the Kubernetes API server at {self._host} does not answer ({reason})") from error
        return answer


def _checked(answer: Any, verb: str, resource: Resource, host: str) -> Any:
    """The answer, when it has the shape of what was asked for; a proxy in between can answer 200 with anything.

    Raises:
        UnavailableError: when it has not: whether a write took effect is then unknown.
    """
    objects = answer.get("items") if verb == "list" and isinstance(answer, dict) else [answer]
    if isinstance(objects, list) and all(map(_is_object, objects)):
        return answer
    said = " ".join(str(answer).split())[:60]
    raise UnavailableError(
        f"what answers at {host} is no Kubernetes API server, or not a whole one: {resource.kind} was expected, but it "
        f"says '{said}'; look at what stands between"
    )


def _is_object(found: Any) -> bool:
    """Whether it has what every object has, each of its kind."""
    if not isinstance(found, dict) or not isinstance(found.get("metadata"), dict):
        return False
    parts = (found.get("spec", {}), found.get("status", {}), found.get("data", {}))
    return isinstance(found["metadata"].get("name"), str) and all(
        isinstance(part, (dict, type(None))) for part in parts
    )


_METHODS = {"get": "GET", "list": "GET", "create": "POST", "patch": "PATCH"}


def _write_query(dry_run: bool) -> dict[str, str]:
    # Unknown fields are silently dropped unless validation is strict.
    query = {"fieldManager": _FIELD_MANAGER, "fieldValidation": "Strict"}
    return {**query, "dryRun": "All"} if dry_run else query


class _StatusError(Exception):
    """An answer with an error status."""

    def __init__(self, answer: Any) -> None:
        super().__init__(str(answer.status))
        self.answer = answer


class _NotFoundError(Exception):
    """404 of an object or of its namespace."""


def _load(cluster: str, settings: Any) -> None:
    from kubernetes import config

    path = Path(cluster).expanduser()
    if cluster != IN_CLUSTER and not path.is_file():
        raise UserError(f"there is no kubeconfig '{cluster}'; give a path, or '{IN_CLUSTER}' inside a pod")
    try:
        if cluster == IN_CLUSTER:
            config.load_incluster_config(client_configuration=settings)
        else:
            config.load_kube_config(str(path), client_configuration=settings)
    except Exception as error:  # ConfigException, and whatever YAML and its values can raise
        what = "this is not a pod with a service account" if cluster == IN_CLUSTER else f"cannot read '{cluster}'"
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UserError(f"{what} ({reason}); give a valid kubeconfig, or '{IN_CLUSTER}' inside a pod") from error


def _plain(error: Any, verb: str, resource: Resource, namespace: str, name: str, host: str) -> Exception:
    """The error of one HTTP status, in one sentence."""
    what, server = f"{resource.kind} {namespace}/{name}".rstrip("/"), f"the Kubernetes API server at {host}"
    install = "KServe" if resource is INFERENCE_SERVICE else f"what brings {resource.full_name}"
    status, message = _status(error)
    if error.status == 404 and status:
        return _NotFoundError()
    if error.status in _TRANSIENT:
        return UnavailableError(f"{server} answers {error.status} ({message})", _wait(error))
    told: dict[int, KubelineError] = {
        400: UserError(f"{server} rejects {what}: {message}"),
        401: PlatformError(f"{server} does not accept these credentials; renew them"),
        403: PlatformError(
            f"this service account may not {verb} {resource.full_name} in namespace '{namespace}' ({message}); "
            "bind it to a Role with get, create and patch"
        ),
        404: NotInstalledError(
            f"the cluster at {host} does not know {resource.kind} ({resource.api_version}); install {install} there"
        ),
        409: ConflictError(f"{what} has changed since it was read ({message})"),
        422: UserError(f"{server} rejects {what}: {message}"),
    }
    return told.get(error.status) or PlatformError(f"{server} answers {error.status} for {what} ({message})")


def _status(error: Any) -> tuple[dict[str, Any], str]:
    """The Kubernetes Status in the body of an error (empty when there is none), and its message on one line."""
    try:
        status = json.loads(error.body)
    except (TypeError, ValueError):
        status = {}
    if not isinstance(status, dict) or status.get("kind") != "Status":
        status = {}
    return status, " ".join(str(status.get("message") or error.reason or "no message").split())


def _wait(error: Any) -> float:
    try:
        return float((error.headers or {}).get("Retry-After", 0))
    except ValueError:  # a date: rare, and the next wait is near enough
        return 0.0
