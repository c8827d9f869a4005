"""What is made sure of before anything is changed."""

from collections.abc import Iterator

from kubeline.errors import PlatformError, UserError
from kubeline.http.credentials import bearer
from kubeline.http.exchange import Peer
from kubeline.kubernetes.cluster import Cluster
from kubeline.kubernetes.errors import ConflictError
from kubeline.kubernetes.resources import (
    CONFIG_MAP,
    DEPLOYMENT,
    HTTP_ROUTE,
    INFERENCE_SERVICE,
    POD,
    SERVICE_PROXY,
    Manifest,
    Resource,
)
from kubeline.rollout import routers as modes
from kubeline.rollout.actions import sides
from kubeline.rollout.analysis.metrics import Addresses, open_source
from kubeline.rollout.analysis.metrics.prometheus import tells_predictions
from kubeline.rollout.routers import World
from kubeline.rollout.spec import Plan
from kubeline.rollout.status import Record
from kubeline.rollout.store import record_name

Right = tuple[str, Resource, str]

_LONGEST_LABEL = 63


def rights(name: str, mode: str, outside: bool = False) -> Iterator[Right]:
    """What the service account must be allowed: verb, resource, and the one object it is about.

    `outside`: the candidate is asked from outside the cluster, which in Standard mode goes through the API server,
    where a POST is a ``create``.
    """
    for verb in ("get", "create", "patch"):
        yield verb, INFERENCE_SERVICE, "" if verb == "create" else name
    for verb in ("get", "create", "patch"):
        yield verb, CONFIG_MAP, "" if verb == "create" else record_name(name)
    if mode == "standard":
        yield "get", HTTP_ROUTE, name
        yield "get", DEPLOYMENT, ""
    if mode == "standard" and outside:
        yield "get", SERVICE_PROXY, ""
        yield "create", SERVICE_PROXY, ""
    yield "list", POD, ""


def check_rights(cluster: Cluster, namespace: str, name: str, plan: Plan, gateway: str = "") -> None:
    """Ask for each right that the plan needs, before anything is read with one of them.

    Raises:
        PlatformError: that names all missing rules.
    """
    outside = bool(gateway) and (plan.smoke.rows > 0 or plan.strategy == "shadow")

    def missing_ones() -> list[str]:
        service = cluster.read(namespace, name) if cluster.may("get", INFERENCE_SERVICE, namespace, name) else None
        mode = modes.mode_of(service) if service is not None else ""
        needed = rights(name, mode, outside)
        return [f"{verb} {kind.full_name}" for verb, kind, one in needed if not cluster.may(verb, kind, namespace, one)]

    missing = cluster.attempt(missing_ones, f"the rights in namespace {namespace}")
    if missing:
        raise PlatformError(
            f"this service account may not {', '.join(missing)} in namespace '{namespace}'; apply the Role of "
            "manifests/base there" + (", or run the step inside the cluster, without a gateway" if outside else "")
        )


def check_candidate(cluster: Cluster, record: Record, plan: Plan, world: World, manifest: Manifest) -> None:
    """See that the cluster can do what the plan says, and takes the specification (a dry run on the server).

    Raises:
        UserError: when it cannot, or does not.
    """
    service = world.service
    if not record.digest:
        raise UserError("the manifest names no package digest; give the one that deploy renders for a model package")
    if service is None or record.stable is None:
        if plan.bootstrap == "refuse":
            raise UserError(
                f"there is no stable model at {record.namespace}/{record.name}, and the plan says bootstrap: refuse"
            )
        if service is None:
            cluster.attempt(lambda: cluster.create(manifest, dry_run=True), _about(record))
        return
    if not record.mode:
        raise PlatformError(
            f"KServe has not looked at {_about(record)} yet (it has no status); try again a little later"
        )
    _check_evidence(record, plan)
    mode = modes.module(record.mode)
    if refused := mode.refusal(world, sides(record)):
        raise UserError(f"traffic cannot be split for {record.namespace}/{record.name}: {refused}")
    workload = f"{record.name}-{record.candidate_name}-predictor"
    if record.mode == "standard" and len(workload) > _LONGEST_LABEL:
        raise UserError(
            f"'{record.name}' is too long a name for a canary in Standard mode: {workload} has over 63 letters"
        )

    def dry_run() -> None:
        live = cluster.read(record.namespace, record.name) or service
        patch = mode.start(live, sides(record), plan.shares[0] if plan.shares else 100, 0)
        cluster.patch(record.namespace, record.name, patch, dry_run=True)

    try:
        cluster.attempt(dry_run, _about(record))
    except ConflictError as error:
        raise PlatformError(f"{_about(record)} is being deleted; try later") from error


def _check_evidence(record: Record, plan: Plan) -> None:
    """See that Prometheus answers us, and that there is the token that the candidate will be asked with."""
    if plan.smoke.rows:
        bearer(plan.smoke.token_file, plan.smoke.token_env, Peer("https://localhost"), "the candidate")
    if plan.shares and plan.metrics is not None and plan.metrics.source == "prometheus":
        wanted = plan.rules.max_prediction_drift is not None and "prediction_drift" not in plan.rules.optional
        if wanted and not tells_predictions(plan.metrics):
            raise UserError(
                f"the metrics of '{plan.metrics.queries}' tell nothing of predictions, which the rules are to compare; "
                "set rules.max_prediction_drift to off, or name prediction_drift in rules.optional"
            )
        names = Addresses(namespace=record.namespace, canary="candidate", stable=record.stable_revision)
        open_source(plan.metrics, record.name, record.stable_digest, record.digest, names).start()


def _about(record: Record) -> str:
    return f"InferenceService {record.namespace}/{record.name}"
