"""Begins a rollout, or goes on with one: who holds the lock, what is stable, what is the candidate."""

import os
import socket
import uuid
from collections.abc import Mapping
from typing import Any

from kubeline.deployment.inference_service import ANNOTATION, HIDDEN
from kubeline.errors import PlatformError
from kubeline.kubernetes.cluster import Cluster
from kubeline.kubernetes.errors import NotInstalledError
from kubeline.kubernetes.merge import merge, merge_patch
from kubeline.kubernetes.resources import HTTP_ROUTE, Manifest
from kubeline.rollout import routers as modes
from kubeline.rollout.clock import Clock
from kubeline.rollout.driver import Answers, Driver
from kubeline.rollout.preflight import check_candidate, check_rights
from kubeline.rollout.routers import World, predictor_digest
from kubeline.rollout.spec import Plan, fingerprint
from kubeline.rollout.status import Record, State, Written
from kubeline.rollout.store import Kept, Records

# Of a plan: how a rollout is driven. With another of these it is the same rollout, and goes on where it is.
_NOT_WHAT = ("on_cancel", "poll_seconds", "lease_seconds", "outage_seconds")
_NOT_OURS = ("canaryTrafficPercent", "name")  # of a predictor: the rollout's own


def owner() -> str:
    """A name for this process."""
    return f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:6]}"


def identity(manifest: Mapping[str, Any], plan: Plan) -> str:
    """The rollout id: of the package digest, the specification, and what of the plan says what is done."""
    digest = predictor_digest(manifest["spec"]["predictor"], manifest)
    return fingerprint(digest, manifest["spec"], plan.model_dump(mode="json", exclude=set(_NOT_WHAT)))[:16]


def begin(
    cluster: Cluster, manifest: Manifest, plan: Plan, me: str, now: float, gateway: str = ""
) -> tuple[Kept, Manifest]:
    """Take the lock for this rollout, or the place of whoever drove it before.

    Args:
        cluster: where.
        manifest: the InferenceService as `deploy` renders it.
        plan: of the rollout.
        me: who asks.
        now: Unix seconds.
        gateway: where the candidate is asked through; empty inside the cluster.

    Returns:
        The record, which has ended already when there is nothing to do, and the manifest for a first deployment.

    Raises:
        UserError: when the cluster cannot do what is asked.
        PlatformError: when another rollout is going on, or a right is missing.
    """
    meta = manifest["metadata"]
    namespace, name = meta["namespace"], meta["name"]
    whole = own_annotations(manifest)
    records = Records(cluster, namespace, name)
    what = f"the record of the rollout of {namespace}/{name}"
    check_rights(cluster, namespace, name, plan, gateway)
    found = cluster.attempt(records.read, what)
    rollout_id = identity(manifest, plan)
    service = cluster.attempt(lambda: cluster.read(namespace, name), what)
    if found is not None and found.record.rollout_id == rollout_id:
        if not (found.record.state == State.DONE and service is not None and not serves(service, found.record)):
            return _go_on(cluster, records, found, me, now, plan), whole
    elif found is not None:
        _refuse_while_going_on(found.record, now)
    record = new_record(whole, plan, rollout_id, me, now, service, found)
    if service is not None and record.stable is not None and serves(service, record):
        told = "this model is served already, with these settings"
        end = {"state": State.DONE, "outcome": "unchanged", "reason": told}
        return Kept(record=record.model_copy(update=end).told(now, told), version=""), whole
    world = World(service, routes_of(cluster, namespace, name, record.mode))
    check_candidate(cluster, record, plan, world, whole)
    return _lock(cluster, records, record, found, service), whole


def own_annotations(manifest: Manifest) -> Manifest:
    """The manifest with Kubeline's annotations at the predictor.

    At the service they would have to change with the model, and KServe copies them to the pods of the stable one too.
    """
    outer = manifest["metadata"].get("annotations") or {}
    ours = {key: value for key, value in outer.items() if key.startswith(ANNOTATION)}
    others = {key: value for key, value in outer.items() if key not in ours}
    predictor = manifest["spec"]["predictor"]
    inner = {**ours, **(predictor.get("annotations") or {})}
    moved: Manifest = merge(manifest, {"spec": {"predictor": {"annotations": inner}}})
    return {**moved, "metadata": {**manifest["metadata"], "annotations": others}}


def serves(service: Mapping[str, Any], record: Record) -> bool:
    """Whether the candidate is what the service is specified to be, with nothing beside it."""
    beside = service["spec"]["predictor"].get("canaryTrafficPercent") is not None or service["spec"].get("canary")
    return not beside and _holds(service, record.candidate)


def plain(predictor: Mapping[str, Any]) -> dict[str, Any]:
    """A predictor without what a rollout writes into it."""
    return {key: value for key, value in predictor.items() if key not in _NOT_OURS}


def _holds(service: Mapping[str, Any], candidate: Mapping[str, Any]) -> bool:
    """Whether the service's predictor is the candidate."""
    wanted = {key: value for key, value in candidate.items() if key not in _NOT_OURS and key != "annotations"}
    same = not merge_patch(plain(service["spec"]["predictor"]), wanted)
    return same and _digest(service) == predictor_digest(candidate)


def _digest(service: Mapping[str, Any]) -> str:
    return predictor_digest(service["spec"]["predictor"], service)


def new_record(
    whole: Manifest, plan: Plan, rollout_id: str, me: str, now: float, service: Manifest | None, found: Kept | None
) -> Record:
    meta, rendered = whole["metadata"], whole["spec"]["predictor"]
    mode = modes.mode_of(service) if service is not None else ""
    digest = predictor_digest(rendered)
    stable = None if service is None or _unfinished(found, digest) else dict(service["spec"]["predictor"])
    candidate = plain(merge(plain(stable), rendered)) if stable else plain(rendered)
    known: dict[str, Any] = {}
    if service is not None:
        generation, spec = service["metadata"].get("generation", 0), fingerprint(service["spec"])
        known["written"] = Written(generation=generation, spec=spec)
    if service is not None and mode:
        known["replaced"] = "" if _holds(service, candidate) else modes.module(mode).newest_revision(service)
    if service is not None and stable:
        revision = modes.module(mode).stable_revision(service) if mode else ""
        known |= {"stable_digest": _digest(service), "stable_revision": revision}
    return Record(
        rollout_id=rollout_id,
        name=meta["name"],
        namespace=meta["namespace"],
        owner=me,
        deadline=now + plan.lease_seconds,
        mode=mode,
        entered=now,
        plan=plan.model_dump(mode="json"),
        digest=digest,
        candidate=candidate,
        candidate_name=f"v{rollout_id[:7]}" if stable else "",
        stable=stable,
        hidden=stable is None and _hides(whole, plan, service),
        history=found.record.history if found is not None else (),
        **known,
    ).told(now, f"begun by {me}")


def _unfinished(found: Kept | None, digest: str) -> bool:
    """Whether the service is that of a first deployment which never came to its end.

    One that passed, and only waits to be seen reached, is not replaced: to another model it is the stable one.
    """
    if found is None or found.record.stable is not None or found.record.state == State.DONE:
        return False
    record = found.record
    passed = State.VERIFY in {record.state, record.resume}
    return bool(record.wrote or record.intent) and not (passed and record.digest != digest)


def _hides(whole: Manifest, plan: Plan, service: Manifest | None) -> bool:
    """Whether the first model is hidden until it has passed; what its manifest hides stays so for ever."""
    wanted, live = (m["metadata"].get("labels") or {} for m in (whole, service or {"metadata": {}}))
    return not HIDDEN.keys() & wanted.keys() and (plan.bootstrap == "hidden" or bool(HIDDEN.keys() & live.keys()))


def _go_on(cluster: Cluster, records: Records, found: Kept, me: str, now: float, plan: Plan) -> Kept:
    """The same rollout again: at the same point, by us."""
    record = found.record
    undecided = record.state == State.HELD and record.outcome == "reported"  # by a person, who is not waited for
    if record.ended or undecided:
        return found
    changes: dict[str, Any] = {"owner": me, "deadline": now + plan.lease_seconds, "plan": plan.model_dump(mode="json")}
    if record.state == State.HELD and record.resume is not None:
        changes |= {"state": record.resume, "entered": now, "outcome": "", "reason": "", "resume": None}
        if record.resume == State.BAKE:
            changes |= {"baked_from": 0.0, "snapshot": None}
    told = record.model_copy(update=changes).told(now, f"{me} goes on")
    return cluster.attempt(lambda: records.write(told, found.version), "the record of the rollout")


def _refuse_while_going_on(record: Record, now: float) -> None:
    who = f"rollout {record.rollout_id} of model {record.digest[:12]} to {record.namespace}/{record.name}"
    if record.state == State.FAILED:
        raise PlatformError(
            f"the rollback of {who} failed ({record.reason}); run `kubeline rollout abort {record.name}`"
        )
    if record.state == State.HELD and record.stable is not None:
        raise PlatformError(
            f"{who} is held ({record.reason}); run `kubeline rollout promote` or `abort` for {record.name} first"
        )
    if not record.ended and record.state != State.HELD and record.deadline > now:
        raise PlatformError(
            f"{who} is in state {record.state}, driven by {record.owner} (its lease runs for "
            f"{record.deadline - now:.0f} more seconds); wait, or run `kubeline rollout abort {record.name}`"
        )


def abandoned(record: Record, rollout_id: str, now: float) -> bool:
    """Whether this is another rollout that nobody drives any more, whose candidate must leave first."""
    going_on = not record.ended and record.state != State.HELD
    return record.rollout_id != rollout_id and going_on and record.deadline <= now and record.stable is not None


def clear_abandoned(cluster: Cluster, manifest: Manifest, plan: Plan, answers: Answers, me: str, clock: Clock) -> None:
    """Take the candidate of an abandoned rollout away, by its own plan."""
    namespace, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
    records = Records(cluster, namespace, name)
    check_rights(cluster, namespace, name, plan)
    found = cluster.attempt(records.read, "the record of the rollout")
    if found is None or not abandoned(found.record, identity(manifest, plan), clock.now()):
        return
    theirs = Plan.read(found.record.plan)
    told = found.record.model_copy(update={"owner": me, "deadline": clock.now() + theirs.lease_seconds})
    told = told.told(clock.now(), f"{me} takes over from {found.record.owner}, whose lease is over")
    kept = cluster.attempt(lambda: records.write(told, found.version), "the record of the rollout")
    Driver(cluster=cluster, records=records, plan=theirs, answers=answers, clock=clock).run(
        kept.model_copy(update={"request": "abort"})
    )


def routes_of(cluster: Cluster, namespace: str, name: str, mode: str) -> list[Manifest] | None:
    if mode != "standard":
        return None
    try:
        route = cluster.attempt(lambda: cluster.read(namespace, name, HTTP_ROUTE), f"HTTPRoute {namespace}/{name}")
    except NotInstalledError:
        return None
    return [] if route is None else [route]


def _lock(cluster: Cluster, records: Records, record: Record, found: Kept | None, service: Manifest | None) -> Kept:
    """Write the record, unless somebody else has begun meanwhile."""

    def write() -> Kept:
        there = records.read()
        if there is not None and there.record == record:  # the answer of an earlier attempt was lost
            return there
        if (there and there.record) != (found and found.record):
            raise PlatformError(f"another rollout of {record.namespace}/{record.name} has begun at the same time")
        return records.write(record, there.version if there else "", service, heard=bool(there and there.request))

    return cluster.attempt(write, "the record of the rollout")
