"""What a person does with a rollout: look, promote, abort, roll back."""

import datetime
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from kubeline.errors import KubelineError, NotKnownError, PlatformError, UserError
from kubeline.kubernetes.cluster import Cluster
from kubeline.kubernetes.errors import UnavailableError
from kubeline.kubernetes.resources import GROUP, KIND, VERSION, Manifest
from kubeline.rollout import routers as modes
from kubeline.rollout.actions import sides
from kubeline.rollout.clock import Clock
from kubeline.rollout.driver import Driver
from kubeline.rollout.probes.cluster import WorldAnswers
from kubeline.rollout.routers import predictor_digest
from kubeline.rollout.snapshot import look
from kubeline.rollout.spec import Plan
from kubeline.rollout.start import begin, owner, plain
from kubeline.rollout.status import Promoted, Record, Request, State
from kubeline.rollout.store import Kept, Records
from kubeline.rollout.unexpected import understood

T = TypeVar("T")

_SHOWN = 12  # lines of the timeline

_BACK = {
    "strategy": "blue-green",
    "metrics": None,
    "smoke": {"rows": 0},
    "verify_seconds": 2,
    "drain_seconds": 10,
    "poll_seconds": 0.5,
}

Tell = Callable[[str], None]


def describe(cluster: Cluster, namespace: str, name: str, now: datetime.datetime) -> Iterator[str]:
    """Lines about the rollout: what is recorded, and what the cluster does now.

    Raises:
        NotKnownError: after the lines that are known, when something could not be learnt.
    """
    record = _kept(cluster, namespace, name).record
    with known(f"what the record of the rollout of {namespace}/{name} says"):
        yield from _recorded(record, now)
    with known(f"what the cluster does with {namespace}/{name} now", "the lines above are what was recorded"):
        yield from _observed(cluster, record)


def _recorded(record: Record, now: datetime.datetime) -> Iterator[str]:
    share = next((event.share for event in reversed(record.timeline) if event.share is not None), None)
    yield f"{record.namespace}/{record.name}: {record.state}" + (f" ({record.reason})" if record.reason else "")
    yield f"candidate {record.digest[:12]}, stable {record.stable_digest[:12] or 'none'}, rollout {record.rollout_id}"
    steps = Plan.read(record.plan).shares
    if steps and not record.ended:
        yield f"step {record.step + 1} of {len(steps)}; last observed share {share} %"
    if not record.ended and record.state != State.HELD:
        left = record.deadline - now.timestamp()
        yield (
            f"driven by {record.owner}"
            if left > 0
            else f"{record.owner} has not been heard of for {-left:.0f} s or more"
        )
    for event in record.timeline[-_SHOWN:]:
        clock = datetime.datetime.fromtimestamp(event.time, datetime.UTC).strftime("%H:%M:%S")
        yield f"  {clock}  {event.state.value:12}  {event.sentence}"
    for past in record.history:
        day = datetime.datetime.fromtimestamp(past.time, datetime.UTC).strftime("%Y-%m-%d %H:%M")
        yield f"promoted {day}: {past.digest[:12]}"


def _observed(cluster: Cluster, record: Record) -> Iterator[str]:
    world = look(cluster, record)
    if world.service is None:
        yield "now there is no such InferenceService"
        return
    served = predictor_digest(world.service["spec"]["predictor"], world.service)
    yield f"now its specification is of {served[:12] or 'a model without a package digest'}"
    if not record.mode or record.stable is None or record.ended:
        return
    observed = modes.module(record.mode).observe(world, sides(record))
    if observed.share is None:
        raise PlatformError("nothing tells which share the candidate has")
    yield f"now the candidate has {observed.share} % of the traffic, and is {'' if observed.ready else 'not '}ready"


@contextmanager
def known(what: str, instead: str = "") -> Iterator[None]:
    """Within it, whatever goes wrong leaves something unknown."""
    try:
        with understood(what):
            yield
    except KubelineError as error:
        raise NotKnownError(f"{what} is not known: {error}" + (f" ({instead})" if instead else "")) from error


def request(cluster: Cluster, namespace: str, name: str, what: Request, tell: Tell = lambda line: None) -> str:
    """Leave a request for whoever drives the rollout; drive it from here when nobody does.

    Returns:
        One sentence about what follows.

    Raises:
        UserError: when there is nothing to promote or abort.
        NotKnownError: when the record cannot be read, so that nothing was asked, or whether it was is not known.
    """
    kept = _kept(cluster, namespace, name)
    record, clock = kept.record, Clock(cluster.time())
    if record.ended and not (record.state == State.FAILED and what == "abort"):
        back = "; `kubeline rollout rollback` brings the model before it back" if record.state == State.DONE else ""
        raise UserError(
            f"the rollout of {namespace}/{name} has ended ({record.state}); there is nothing to {what}{back}"
        )
    records = Records(cluster, namespace, name)
    if record.state not in {State.HELD, State.FAILED} and record.deadline > clock.now():
        _sent(cluster, lambda: records.ask(what), f"{record.owner} was asked to {what} {namespace}/{name}")
        return f"asked {record.owner} to {what}"
    if record.state == State.HELD and record.stable is None:
        if record.resume == State.VERIFY:
            raise UserError(f"the first model of {namespace}/{name} is held ({record.reason}); run its rollout again")
        raise UserError(f"the first model of {namespace}/{name} is held and was never exposed; deploy another one")
    changes = {"owner": owner(), "deadline": clock.now() + Plan.read(record.plan).lease_seconds}
    if record.state == State.FAILED:
        changes |= {"state": State.HELD, "resume": record.resume or State.WITHDRAW}
    mine = record.model_copy(update=changes)
    written = f"the rollout of {namespace}/{name} was taken up to {what} it"
    kept = _sent(cluster, lambda: records.write(mine, kept.version), written)
    done = _driver(cluster, mine, clock, tell).run(kept.model_copy(update={"request": what}))
    return f"{done.outcome or done.state}: {done.reason}"


def roll_back(cluster: Cluster, namespace: str, name: str, digest: str, tell: Tell = lambda line: None) -> str:
    """Bring back a model that was promoted earlier, blue-green: its pods are ready before it has traffic.

    Where that has been begun already, it goes on at the same point; any other rollout that is going on is aborted.

    Args:
        cluster: where.
        namespace: of the InferenceService.
        name: of the InferenceService.
        digest: the beginning of the package digest; empty for the model before the one that is promoted.
        tell: called with what happens.

    Raises:
        UserError: when there is no such model.
        NotKnownError: when the record, or which model is served, cannot be read; nothing was changed.
    """
    record = _kept(cluster, namespace, name).record
    if not record.ended:
        if not _goes_back(record, digest):
            return request(cluster, namespace, name, "abort", tell)
        return _bring_back(cluster, record, Plan.read(record.plan), _target(record, record.digest, ""), tell)
    served = serving(cluster, namespace, name)
    if digest and served.startswith(digest):
        return f"unchanged: {name} serves {served[:12]} already"
    plan = Plan.read(_BACK, attempt=int(time.time()))
    return _bring_back(cluster, record, plan, _target(record, digest, served), tell)


def serving(cluster: Cluster, namespace: str, name: str) -> str:
    """Digest of the package that the service is specified to serve; empty when nothing tells."""
    with known(f"which model {namespace}/{name} serves"):
        service = cluster.attempt(lambda: cluster.read(namespace, name), f"InferenceService {namespace}/{name}")
    if service is None:
        raise UserError(f"there is no InferenceService {namespace}/{name}; deploy it first")
    return predictor_digest(service["spec"]["predictor"], service)


def _goes_back(record: Record, digest: str) -> bool:
    """Whether the rollout that is going on is such a rollback, to a model whose digest begins so."""
    ours = Plan.read(_BACK, attempt=record.plan.get("attempt", 1)).model_dump(mode="json")
    return record.plan == ours and record.digest.startswith(digest)


def _bring_back(cluster: Cluster, record: Record, plan: Plan, target: Promoted, tell: Tell) -> str:
    clock = Clock(cluster.time())
    manifest: Manifest = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "metadata": {"name": record.name, "namespace": record.namespace},
        "spec": {"predictor": plain(target.predictor)},
    }
    with understood(f"the rollback of {record.name}"):
        kept, whole = begin(cluster, manifest, plan, owner(), clock.now())
    driver = _driver(cluster, kept.record, clock, tell)
    driver.manifest = whole
    done = driver.run(kept) if not kept.record.ended else kept.record
    return f"{done.outcome}: {record.name} serves {target.digest[:12]} again"


def _driver(cluster: Cluster, record: Record, clock: Clock, tell: Tell) -> Driver:
    plan = Plan.read(record.plan)

    def listen(changed: Record) -> None:
        if changed.timeline:
            tell(f"{changed.state}: {changed.timeline[-1].sentence}")

    records = Records(cluster, record.namespace, record.name)
    answers = WorldAnswers(cluster, plan, None)
    return Driver(cluster=cluster, records=records, plan=plan, answers=answers, clock=clock, listen=listen)


def _kept(cluster: Cluster, namespace: str, name: str) -> Kept:
    with known(f"what the rollout of {namespace}/{name} does"):
        kept = cluster.attempt(Records(cluster, namespace, name).read, "the record of the rollout")
    if kept is None:
        raise UserError(f"there never was a rollout of {namespace}/{name}; look at the name and the namespace")
    return kept


def _sent(cluster: Cluster, write: Callable[[], T], done: str) -> T:
    """Write to the record; an answer that was lost leaves open whether it was."""
    try:
        return cluster.attempt(write, "the record of the rollout")
    except UnavailableError as error:
        raise NotKnownError(f"whether {done} is not known: {error}; see `kubeline rollout status`") from error


def _target(record: Record, digest: str, serving: str) -> Promoted:
    """The model to bring back."""
    others = [past for past in record.history if past.digest != serving]
    found = [past for past in others if past.digest.startswith(digest)]
    if not found:
        known = ", ".join(past.digest[:12] for past in others) or "none"
        raise UserError(
            f"no model {digest or 'before this one'} was promoted by a rollout of {record.name}; there are: {known}"
        )
    return found[-1]
