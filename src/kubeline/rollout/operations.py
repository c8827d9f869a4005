"""What an operator does with a rollout: show its status, promote, abort, roll back."""

import datetime
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

from kubeline.errors import KubelineError, NotKnownError, PlatformError, UserError
from kubeline.kubernetes.errors import UnavailableError
from kubeline.kubernetes.resources import GROUP, KIND, VERSION, Manifest
from kubeline.rollout.clock import Clock
from kubeline.rollout.driver import Driver
from kubeline.rollout.lease import settled
from kubeline.rollout.probes.cluster import ClusterProbes
from kubeline.rollout.routers import predictor_digest, router_of
from kubeline.rollout.snapshot import take_snapshot
from kubeline.rollout.spec import RolloutSpec
from kubeline.rollout.start import plain, process_name, start
from kubeline.rollout.status import Lease, OperatorRequest, PromotedModel, RolloutStatus, State
from kubeline.rollout.store import StatusStore, StoredStatus
from kubeline.rollout.unexpected import only_kubeline_errors
from kubeline.serving_platform.interface import ServingPlatform

T = TypeVar("T")

_EVENTS_SHOWN = 12

Print = Callable[[str], None]


def describe(cluster: ServingPlatform, namespace: str, name: str, now: datetime.datetime) -> Iterator[str]:
    """Lines about the rollout: what is recorded, and what the cluster does now.

    Raises:
        NotKnownError: after the lines that are known, when something could not be read.
    """
    status = _stored(cluster, namespace, name).status
    with known(f"what the record of the rollout of {namespace}/{name} says"):
        yield from _recorded(status, now)
    with known(f"what the cluster does with {namespace}/{name} now", "the lines above are what was recorded"):
        yield from _observed(cluster, status)


def _recorded(status: RolloutStatus, now: datetime.datetime) -> Iterator[str]:
    share = next((event.share for event in reversed(status.timeline) if event.share is not None), None)
    stable = status.stable_digest[:12] or "none"
    yield f"{status.where}: {status.state}" + (f" ({status.reason})" if status.reason else "")
    yield f"candidate {status.candidate.digest[:12]}, stable {stable}, rollout {status.rollout_id}"
    steps = status.spec.shares
    if steps and not status.ended:
        yield f"step {status.step.index + 1} of {len(steps)}; last observed share {share} %"
    if not status.ended and status.state is not State.HELD:
        holder, left = status.lease.holder, status.lease.expires - now.timestamp()
        yield f"driven by {holder}" if left > 0 else f"the lease of {holder} expired {-left:.0f} s ago"
    for event in status.timeline[-_EVENTS_SHOWN:]:
        clock = datetime.datetime.fromtimestamp(event.time, datetime.UTC).strftime("%H:%M:%S")
        yield f"  {clock}  {event.state.value:18}  {event.sentence}"
    for past in status.history:
        day = datetime.datetime.fromtimestamp(past.time, datetime.UTC).strftime("%Y-%m-%d %H:%M")
        yield f"promoted {day}: {past.digest[:12]}"


def _observed(cluster: ServingPlatform, status: RolloutStatus) -> Iterator[str]:
    snapshot = take_snapshot(cluster, status, explain=True)
    if snapshot.service is None:
        yield "now there is no such InferenceService"
        return
    served = predictor_digest(snapshot.service["spec"]["predictor"], snapshot.service)
    yield f"now its specification is of {served[:12] or 'a model without a package digest'}"
    if status.mode is None or status.stable is None or status.ended:
        return
    observed = router_of(status.mode).observe(snapshot, status.versions)
    if observed.share is None:
        raise PlatformError("the cluster does not report which share the candidate has")
    yield f"now the candidate has {observed.share} % of the traffic, and is {'' if observed.ready else 'not '}ready"
    if observed.problem and not observed.ready:
        yield f"now the cluster reports: {observed.problem}"


@contextmanager
def known(what: str, instead: str = "") -> Iterator[None]:
    """Within it, every error leaves something unknown."""
    try:
        with only_kubeline_errors(what):
            yield
    except KubelineError as error:
        raise NotKnownError(f"{what} is not known: {error}" + (f" ({instead})" if instead else "")) from error


def request(
    cluster: ServingPlatform, namespace: str, name: str, what: OperatorRequest, output: Print = lambda line: None
) -> str:
    """Leave a request for the process that drives the rollout; drive it from here when there is none.

    Returns:
        One sentence about what follows.

    Raises:
        UserError: when there is nothing to promote or abort.
        NotKnownError: when the status cannot be read, so that nothing was asked, or whether it was is not known.
    """
    stored = _stored(cluster, namespace, name)
    status, clock = stored.status, Clock(cluster.time())
    if status.ended and not (status.state is State.FAILED and what == "abort"):
        completed = status.state is State.COMPLETED
        back = "; `kubeline rollout rollback` brings the model before it back" if completed else ""
        raise UserError(
            f"the rollout of {namespace}/{name} has ended ({status.state}); there is nothing to {what}{back}"
        )
    store = StatusStore(cluster, namespace, name)
    with known(f"whether {status.lease.holder} still drives the rollout of {namespace}/{name}"):
        stored = settled(cluster, store, stored, clock)
    status = stored.status
    if status.state not in {State.HELD, State.FAILED} and status.lease.expires > clock.now():
        _sent(cluster, lambda: store.request(what), f"{status.lease.holder} was asked to {what} {namespace}/{name}")
        return f"asked {status.lease.holder} to {what}"
    if status.state is State.HELD and status.stable is None:
        if status.resume is State.VERIFYING:
            raise UserError(f"the first model of {namespace}/{name} is held ({status.reason}); run its rollout again")
        raise UserError(f"the first model of {namespace}/{name} is held and was never exposed; deploy another one")
    mine = replace(status, lease=Lease(process_name(), clock.now() + status.spec.lease_seconds))
    if status.state is State.FAILED:
        mine = replace(mine, state=State.HELD, resume=status.resume or State.WITHDRAWING)
    taken_over = f"the rollout of {namespace}/{name} was taken over to {what} it"
    stored = _sent(cluster, lambda: store.write(mine, stored.version), taken_over)
    done = _driver(cluster, mine, clock, output).run(replace(stored, request=what))
    return f"{done.outcome or done.state}: {done.reason}"


def roll_back(
    cluster: ServingPlatform, namespace: str, name: str, digest: str, output: Print = lambda line: None
) -> str:
    """Bring back a model that was promoted earlier, blue-green: its pods are ready before it has traffic.

    Where that has been begun already, it continues at the same point; any other rollout in progress is aborted.

    Args:
        cluster: where.
        namespace: of the InferenceService.
        name: of the InferenceService.
        digest: the beginning of the package digest; empty for the model before the one that is promoted.
        output: called with each line about what happens.

    Raises:
        UserError: when there is no such model.
        NotKnownError: when the status, or which model is served, cannot be read; nothing was changed.
    """
    status = _stored(cluster, namespace, name).status
    if not status.ended:
        if not (status.spec.rollback and status.candidate.digest.startswith(digest)):
            return request(cluster, namespace, name, "abort", output)
        target = _target(status, status.candidate.digest, "")
        return _bring_back(cluster, status, status.spec, target, output)
    served = serving(cluster, namespace, name)
    if digest and served.startswith(digest):
        return f"unchanged: {name} serves {served[:12]} already"
    spec = RolloutSpec.for_rollback(int(time.time()), status.spec)
    return _bring_back(cluster, status, spec, _target(status, digest, served), output)


def serving(cluster: ServingPlatform, namespace: str, name: str) -> str:
    """Digest of the package that the service is specified to serve; empty when it names none."""
    with known(f"which model {namespace}/{name} serves"):
        service = cluster.attempt(lambda: cluster.read(namespace, name), f"InferenceService {namespace}/{name}")
    if service is None:
        raise UserError(f"there is no InferenceService {namespace}/{name}; deploy it first")
    return predictor_digest(service["spec"]["predictor"], service)


def _bring_back(
    cluster: ServingPlatform, status: RolloutStatus, spec: RolloutSpec, target: PromotedModel, output: Print
) -> str:
    clock = Clock(cluster.time())
    manifest: Manifest = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "metadata": {"name": status.name, "namespace": status.namespace},
        "spec": {"predictor": plain(target.predictor)},
    }
    with only_kubeline_errors(f"the rollback of {status.name}"):
        started = start(cluster, manifest, spec, process_name(), clock.now())
    done = started.stored.status
    if not done.ended:
        driver = _driver(cluster, done, clock, output)
        driver.manifest = started.manifest
        done = driver.run(started.stored)
    return f"{done.outcome}: {status.name} serves {target.digest[:12]} again"


def _driver(cluster: ServingPlatform, status: RolloutStatus, clock: Clock, output: Print) -> Driver:
    def on_change(changed: RolloutStatus) -> None:
        if changed.timeline:
            output(f"{changed.state}: {changed.timeline[-1].sentence}")

    return Driver(
        cluster=cluster,
        store=StatusStore(cluster, status.namespace, status.name),
        spec=status.spec,
        probes=ClusterProbes(cluster, status.spec, None),
        clock=clock,
        on_change=on_change,
    )


def _stored(cluster: ServingPlatform, namespace: str, name: str) -> StoredStatus:
    with known(f"what the rollout of {namespace}/{name} does"):
        stored = cluster.attempt(StatusStore(cluster, namespace, name).read, "the record of the rollout")
    if stored is None:
        raise UserError(f"there never was a rollout of {namespace}/{name}; check the name and the namespace")
    return stored


def _sent(cluster: ServingPlatform, write: Callable[[], T], done: str) -> T:
    """Write to the status; an answer that was lost leaves open whether it was written."""
    try:
        return cluster.attempt(write, "the record of the rollout")
    except UnavailableError as error:
        raise NotKnownError(f"whether {done} is not known: {error}; see `kubeline rollout status`") from error


def _target(status: RolloutStatus, digest: str, serving: str) -> PromotedModel:
    """The model to bring back."""
    others = [past for past in status.history if past.digest != serving]
    found = [past for past in others if past.digest.startswith(digest)]
    if not found:
        available = ", ".join(past.digest[:12] for past in others) or "none"
        raise UserError(
            f"no model {digest or 'before this one'} was promoted by a rollout of {status.name}; there are: {available}"
        )
    return found[-1]
