"""What is checked before anything is changed."""

from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from kubeline.addresses import redact
from kubeline.data.engine import connect
from kubeline.data.sources import stage
from kubeline.errors import PlatformError, UserError, listed
from kubeline.http.credentials import bearer
from kubeline.http.exchange import Peer
from kubeline.kubernetes.errors import ConflictError, NotInstalledError
from kubeline.kubernetes.resources import (
    CLUSTER_SERVING_RUNTIME,
    CONFIG_MAP,
    DEPLOYMENT,
    EVENT,
    HTTP_ROUTE,
    INFERENCE_SERVICE,
    OPENSHIFT_ROUTE,
    POD,
    SERVICE_PROXY,
    SERVING_RUNTIME,
    Manifest,
    Resource,
)
from kubeline.rollout.analysis.metrics import Addresses, MetricsSpec, open_source
from kubeline.rollout.analysis.metrics.prometheus import has_predictions
from kubeline.rollout.probes.tables import ID, opened
from kubeline.rollout.routers import EXPOSED, ClusterSnapshot, mode_of, router_of
from kubeline.rollout.snapshot import routes_of
from kubeline.rollout.spec import RolloutSpec
from kubeline.rollout.status import DeploymentMode, RolloutStatus
from kubeline.rollout.store import config_map_name
from kubeline.rollout.transitions import share_of
from kubeline.serving_platform.interface import ServingPlatform

Right = tuple[str, Resource, str]

# Of the Role, but not asked for: without them a rollout explains less, and its rehearsal sees less.
OPTIONAL_RIGHTS: tuple[Right, ...] = (("list", EVENT, ""), ("get", SERVING_RUNTIME, ""))


_WITH_DEPLOYMENTS = {DeploymentMode.STANDARD, DeploymentMode.OPENSHIFT}
_LONGEST_LABEL = 63


def rights(name: str, mode: DeploymentMode | None, outside: bool = False) -> Iterator[Right]:
    """What the service account must be allowed: verb, resource, and the one object it is about.

    `outside`: the candidate is asked from outside the cluster, which in Standard mode goes through the API server,
    where a POST is a ``create``.
    """
    for verb in ("get", "create", "patch"):
        yield verb, INFERENCE_SERVICE, "" if verb == "create" else name
    for verb in ("get", "create", "patch"):
        yield verb, CONFIG_MAP, "" if verb == "create" else config_map_name(name)
    if mode is DeploymentMode.STANDARD:
        for route in routes_of(name):
            yield "get", HTTP_ROUTE, route
    if mode is DeploymentMode.OPENSHIFT:
        yield "get", OPENSHIFT_ROUTE, name
    if mode in _WITH_DEPLOYMENTS:
        yield "get", DEPLOYMENT, ""
    if mode in _WITH_DEPLOYMENTS and outside:
        yield "create", SERVICE_PROXY, ""
    yield "list", POD, ""


def check_rights(cluster: ServingPlatform, namespace: str, name: str, spec: RolloutSpec, gateway: str = "") -> None:
    """Check each right that the spec needs, before anything is read with one of them.

    Raises:
        PlatformError: that names all missing rules.
    """
    cluster.check_access()
    outside = bool(gateway) and (spec.smoke.rows > 0 or spec.strategy == "shadow")

    def missing_ones() -> list[str]:
        service = cluster.read(namespace, name) if cluster.may("get", INFERENCE_SERVICE, namespace, name) else None
        mode = mode_of(service) if service is not None else None
        needed = rights(name, mode, outside)
        lacking = [(verb, kind) for verb, kind, one in needed if not cluster.may(verb, kind, namespace, one)]
        return [f"{verb} {kind.full_name}" for verb, kind in dict.fromkeys(lacking)]

    missing = cluster.attempt(missing_ones, f"the rights in namespace {namespace}")
    if missing:
        raise PlatformError(
            f"this service account may not {', '.join(missing)} in namespace '{namespace}'; apply the Role of "
            "manifests/base there" + (", or run the step inside the cluster, without a gateway" if outside else "")
        )


def check_runtime(cluster: ServingPlatform, manifest: Manifest) -> str | None:
    """Check that the runtime which an InferenceService names is there, without which KServe starts no pod.

    Returns:
        What is not known, for want of a right.

    Raises:
        UserError: when there is none of that name.
        PlatformError: when there is none in the namespace, and one of the whole cluster may not be looked for.
    """
    namespace = manifest["metadata"]["namespace"]
    name = (manifest["spec"]["predictor"].get("model") or {}).get("runtime")
    if not name:  # KServe chooses one; on Vertex AI there are none
        return None
    what = f"ServingRuntime '{name}' of namespace '{namespace}'"
    if not cluster.attempt(lambda: cluster.may("get", SERVING_RUNTIME, namespace, name), what):
        return f"whether the {what} is there is not known, for this service account may not get servingruntimes"
    if cluster.attempt(lambda: cluster.read(namespace, name, SERVING_RUNTIME), what) is not None:
        return None
    none = f"there is no ServingRuntime '{name}' in namespace '{namespace}'"
    if not cluster.attempt(lambda: cluster.may("get", CLUSTER_SERVING_RUNTIME, "", name), what):
        raise PlatformError(
            f"{none}, and this service account may not look for one of the whole cluster; apply manifests/runtime "
            "there, or manifests/cluster-runtime, which lets it look"
        )
    found = None
    with suppress(NotInstalledError):  # a platform may do without the kind
        found = cluster.attempt(lambda: cluster.read("", name, CLUSTER_SERVING_RUNTIME), what)
    if found is None:
        raise UserError(
            f"{none} and no ClusterServingRuntime of that name; apply manifests/runtime there, or let the service name "
            "one that is there"
        )
    return None


def check_candidate(
    cluster: ServingPlatform, status: RolloutStatus, spec: RolloutSpec, snapshot: ClusterSnapshot, manifest: Manifest
) -> None:
    """Check that the cluster can do what the spec says, and takes the specification (a dry run on the server).

    Raises:
        UserError: when it cannot, or does not.
    """
    service = snapshot.service
    if not status.candidate.digest:
        raise UserError("the manifest names no package digest; give the one that deploy renders for a model package")
    if service is None or status.stable is None:
        if spec.bootstrap == "refuse":
            raise UserError(f"there is no stable model at {status.where}, and the plan says bootstrap: refuse")
        if service is None:
            _check_first(manifest, spec)
            cluster.attempt(lambda: cluster.create(manifest, dry_run=True), _about(status))
        return
    if not status.mode or not service.get("status"):  # the mode may be known by an annotation alone
        raise PlatformError(
            f"KServe has not reconciled {_about(status)} yet (it has no status); try again a little later"
        )
    _check_evidence(status, spec)
    router = router_of(status.mode)
    if refused := router.refusal(snapshot, status.versions):
        raise UserError(f"traffic cannot be split for {status.where}: {refused}")
    workload = f"{status.name}-{status.candidate.name}-predictor"
    if status.mode in _WITH_DEPLOYMENTS and len(workload) > _LONGEST_LABEL:
        raise UserError(
            f"'{status.name}' is too long a name for a canary in Standard mode: {workload} has over 63 characters"
        )

    def dry_run() -> None:
        live = cluster.read(status.namespace, status.name) or service
        patch = router.add_candidate(live, status.versions, share_of(spec, 0), 0)
        cluster.patch(status.namespace, status.name, patch, dry_run=True)

    try:
        cluster.attempt(dry_run, _about(status))
    except ConflictError as error:
        raise PlatformError(f"{_about(status)} is being deleted; try later") from error


def _check_first(manifest: Manifest, spec: RolloutSpec) -> None:
    """Check that the first model can be hidden where the plan says so."""
    if spec.bootstrap == "hidden" and EXPOSED.items() <= (manifest["metadata"].get("labels") or {}).items():
        raise UserError(
            "the manifest exposes its first model by a Route before that has passed; say bootstrap: direct in the "
            "plan, or add the label networking.kserve.io/visibility: exposed after the first rollout"
        )


def _check_evidence(status: RolloutStatus, spec: RolloutSpec) -> None:
    """Check that Prometheus answers us, and that there are outcomes and the token that the candidate is asked with."""
    if spec.outcomes:
        for address in filter(None, (spec.outcomes.source, spec.outcomes.payload_log)):
            columns = _columns(address)
            if ID not in columns:
                raise UserError(
                    f"outcomes are joined by '{ID}', which '{redact(address)}' does not have (there are: "
                    f"{listed(columns)})"
                )
    if spec.smoke.rows:
        bearer(spec.smoke.token_file, spec.smoke.token_env, Peer("https://localhost"), "the candidate")
    if spec.shares and spec.metrics is not None and spec.metrics.source != "scrape":
        wanted = spec.rules.max_prediction_drift is not None and "prediction_drift" not in spec.rules.optional
        if wanted and (spec.metrics.source == "cloud-monitoring" or not has_predictions(spec.metrics)):
            raise UserError(
                f"the metrics of '{_whose(spec.metrics)}' have no predictions, which the rules are to compare; "
                "set rules.max_prediction_drift to off, or name prediction_drift in rules.optional"
            )
        names = Addresses(namespace=status.namespace, canary="1", stable=status.versions.before.revision)
        open_source(spec.metrics, status.name, status.stable_digest, status.candidate.digest, names).start()


def _columns(address: str) -> list[str]:
    """The columns of the first file there."""
    once = iter([True])
    with TemporaryDirectory(prefix="kubeline-columns-") as folder:
        files = stage(address, "auto", Path(folder), lambda _: next(once, False))
        with closing(connect(Path(folder), [file.path for file in files])) as connection:
            return list(opened(connection, files, f"table '{redact(address)}'").types)


def _whose(metrics: MetricsSpec) -> str:
    return "Vertex AI" if metrics.source == "cloud-monitoring" else metrics.queries


def _about(status: RolloutStatus) -> str:
    return f"InferenceService {status.where}"
