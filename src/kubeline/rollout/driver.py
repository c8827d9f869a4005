"""Drives the state machine: reads, decides, writes down what is about to be done, does it, and looks again."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from kubeline.errors import KubelineError, PlatformError, UserError
from kubeline.rollout import machine, modes
from kubeline.rollout.client import (
    HTTP_ROUTE,
    INGRESS,
    POD,
    Cluster,
    ConflictError,
    NotInstalledError,
    UnavailableError,
)
from kubeline.rollout.inference_service import HIDDEN, Manifest, merge
from kubeline.rollout.modes import Observed, World
from kubeline.rollout.moves import Ask, Change, Go, Question, Situation, Wait, sides
from kubeline.rollout.plan import Plan, fingerprint
from kubeline.rollout.record import Kept, Record, Records, State, Written

T = TypeVar("T")

_MOST_DOUBTS = 8  # writes in a row of which none is known to have succeeded
_LONGEST_PAUSE = 30.0  # seconds that a Retry-After is honoured at most


class Clock:
    """Time, and waiting that a cancelled pipeline ends."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()

    def now(self) -> float:
        """Unix seconds."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait, or until :attr:`cancelled`."""
        self.cancelled.wait(seconds)


class Answers(Protocol):
    """What the machine asks of the world beside the cluster."""

    def ask(self, question: Question, record: Record, observed: Observed, service: Manifest) -> Mapping[str, Any]:
        """The answer, as :func:`kubeline.rollout.machine.answered` takes it."""


def compare(record: Record, service: Manifest | None, request: str) -> tuple[Written, str]:
    """What the live specification is, and what follows when it is compared with our last write.

    Returns:
        ``same``; ``done``: the write under way took effect; ``stale``: an older one was read; ``adopt``: take it as it
        is; ``edited`` or ``deleted`` from outside.
    """
    if service is None:
        gone = (record.written.spec or record.stable is not None) and record.state != State.HELD
        return Written(), "deleted" if gone else "same"
    found = Written(generation=service["metadata"].get("generation", 0), spec=fingerprint(service["spec"]))
    if record.intent and intended(service) == record.intent:
        return found, "done"
    if found.spec == record.written.spec:
        return found, "same"
    if found.generation < record.written.generation:
        return found, "stale"
    if record.state == State.HELD:  # a person has looked at it, or has not yet
        return found, "adopt" if request else "same"
    return found, "edited"


def intended(service: Manifest) -> str:
    """Fingerprint of all that a rollout writes: the specification, and whether the service is hidden."""
    return fingerprint(service["spec"], sorted(HIDDEN.keys() & (service["metadata"].get("labels") or {}).keys()))


def _still_asked(found: Kept, before: Kept) -> Kept:
    """What a person asked for counts until it was heard."""
    return found if found.request else found.model_copy(update={"request": before.request})


class TakenOverError(PlatformError):
    """Another process drives this rollout now."""


@dataclass
class Driver:
    """Drives one rollout to an end, or until it is held.

    Attributes:
        cluster: where.
        records: of the InferenceService.
        plan: of the rollout.
        answers: to the machine's questions.
        manifest: the whole InferenceService, for a first deployment.
        clock: time.
        listen: called with the record after each change of it.
    """

    cluster: Cluster
    records: Records
    plan: Plan
    answers: Answers
    manifest: Manifest = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)
    listen: Callable[[Record], None] = lambda record: None
    _doubts: int = 0

    def run(self, kept: Kept) -> Record:
        """Go on from a record that is ours.

        Raises:
            PlatformError: when the cluster cannot be used; a repeated call goes on at the same point. When a rollback
                failed, the loudest of all: the candidate may still have traffic.
            TakenOverError: when another process took over.
        """
        while not kept.record.ended and not (kept.record.state == State.HELD and not kept.request):
            try:
                kept = self._turn(kept)
            except ConflictError:
                kept = self._again(kept)
            except TakenOverError:
                raise
            except KubelineError as error:
                if kept.record.state in machine.RETURNING:
                    raise self._loudest(kept, str(error)) from error
                raise
        if kept.record.state == State.FAILED:
            raise self._loudest(kept, kept.record.reason)
        return kept.record

    def _turn(self, kept: Kept) -> Kept:
        if self.clock.cancelled.is_set():
            self.clock.cancelled.clear()
            if kept.record.state not in machine.RETURNING:
                return self._cancel(kept)
        world = self._look(kept.record)
        kept, stale = self._settled(kept, world)
        if stale:
            return self._rest(kept)
        if kept.record.state == State.HELD and not kept.request:
            return kept
        return self._move(kept, world)

    def _move(self, kept: Kept, world: World) -> Kept:
        record = kept.record
        observed = modes.module(record.mode).observe(world, sides(record)) if record.mode else Observed()
        now = Situation(record, self.plan, world.service, observed, self.clock.now(), kept.request)
        move = machine.decide(now)
        if isinstance(move, Ask):
            try:
                move, kept = self._asked(now, move, kept)
            except UserError as error:  # the same question can never be answered until someone changes something
                return self._hold(kept, str(error), world.service)
        if isinstance(move, Go):
            return self._go(kept, move, observed, world.service)
        if isinstance(move, Change):
            return self._change(kept, move, observed, world.service)
        if kept.request:
            told = record.told(self.clock.now(), f"'{kept.request}' has no effect in this state")
            return self._write(kept, told, world.service, heard=True)
        return self._rest(kept)

    def _rest(self, kept: Kept) -> Kept:
        self.clock.sleep(self.plan.poll_seconds)
        return self._alive(self._again(kept))

    def _look(self, record: Record) -> World:
        namespace, name = record.namespace, record.name

        def read() -> World:
            service = self.cluster.read(namespace, name)
            if not record.mode or not modes.module(record.mode).NEEDS_ROUTES:
                return World(service)
            routes = self._routes(namespace, name)
            alone = routes == [] and record.hidden and record.state == State.VERIFY
            ingress = self._ingress(namespace, name) if alone else None
            return World(service, routes, self._pods(namespace, name), ingress)

        return self._tried(read, record)

    def _routes(self, namespace: str, name: str) -> list[Manifest] | None:
        try:
            found = [self.cluster.read(namespace, route, HTTP_ROUTE) for route in (name, f"{name}-predictor")]
        except NotInstalledError:
            return None
        return [route for route in found if route is not None]

    def _ingress(self, namespace: str, name: str) -> Manifest | None:
        """Where KServe makes these instead of HTTPRoutes. The right to look is asked for nowhere else."""
        if not self.cluster.may("get", INGRESS, namespace, name):
            return None
        return self.cluster.read(namespace, name, INGRESS)

    def _pods(self, namespace: str, name: str) -> list[Manifest]:
        return self.cluster.find(namespace, POD, f"serving.kserve.io/inferenceservice={name}")

    def _settled(self, kept: Kept, world: World) -> tuple[Kept, bool]:
        """Compare the live specification with our last write; whether the read is older than that."""
        service = world.service
        if service is not None and not kept.record.mode and (mode := modes.mode_of(service)):
            kept = self._write(kept, kept.record.model_copy(update={"mode": mode}), service)
        found, verdict = compare(kept.record, service, kept.request)
        match verdict:
            case "done" if service is not None:
                kept = self._written(kept, service)
            case "adopt":
                kept = self._write(kept, kept.record.model_copy(update={"written": found, "intent": ""}), service)
            case "deleted":
                kept = self._hold(kept, "the InferenceService was deleted", None)
            case "edited":
                reason = "the specification was edited from outside in the middle of the rollout"
                kept = self._hold(kept, reason, service)
        return kept, verdict == "stale"

    def _change(self, kept: Kept, move: Change, observed: Observed, service: Manifest | None) -> Kept:
        """Write down what will be, do it fenced by the version that was read, and write down that it was done."""
        try:
            expected = self._send(kept.record, move, service, dry_run=True)
            intent = kept.record.model_copy(update={"intent": intended(expected)})
            kept = self._write(kept, intent.told(self.clock.now(), move.sentence, observed.share), service)
            done = self._send(kept.record, move, service)
        except (ConflictError, UnavailableError) as error:
            return self._doubtful(kept, error)
        self._doubts = 0
        return self._written(kept, done)

    def _send(self, record: Record, move: Change, service: Manifest | None, dry_run: bool = False) -> Manifest:
        if service is None:
            hidden = HIDDEN if record.hidden else {}
            whole = merge(merge(self.manifest, {"metadata": {"labels": hidden}}), move.body)
            return self.cluster.create(whole, dry_run=dry_run)
        fence = {"metadata": {"resourceVersion": service["metadata"]["resourceVersion"]}}
        body = {**move.body, "metadata": {**move.body.get("metadata", {}), **fence["metadata"]}}
        return self.cluster.patch(record.namespace, record.name, body, dry_run=dry_run)

    def _doubtful(self, kept: Kept, error: KubelineError) -> Kept:
        """A write was refused as stale, or its answer is not known: read before it is repeated."""
        self._doubts += 1
        if self._doubts > _MOST_DOUBTS:
            raise PlatformError(f"writing to {kept.record.namespace}/{kept.record.name} does not succeed: {error}")
        pause = 0.0 if isinstance(error, ConflictError) else min(2.0 ** (self._doubts - 3), 8.0)
        self.clock.sleep(max(pause, min(getattr(error, "retry_after", 0.0), _LONGEST_PAUSE)))
        return self._again(kept)

    def _written(self, kept: Kept, service: Manifest) -> Kept:
        """The write took effect."""
        record = kept.record
        written = Written(generation=service["metadata"].get("generation", 0), spec=fingerprint(service["spec"]))
        done = record.model_copy(update={"written": written, "intent": "", "wrote": record.key})
        return self._write(kept, done, service)

    def _asked(self, now: Situation, move: Ask, kept: Kept) -> tuple[Go | Wait, Kept]:
        kept = self._alive(kept)
        answer = self.answers.ask(move.question, now.record, now.observed, now.service or {})
        later = Situation(now.record, now.plan, now.service, now.observed, self.clock.now(), now.request)
        return machine.answered(later, move.question, answer), kept

    def _go(self, kept: Kept, move: Go, observed: Observed, service: Manifest | None) -> Kept:
        record, now = kept.record, self.clock.now()
        entered = record.entered if move.state == record.state else now
        changes = {**move.changes, "state": move.state, "entered": entered, "intent": ""}
        record = record.model_copy(update=changes).told(now, move.sentence, observed.share)
        if move.state == State.DONE:
            record = record.promoted(now)
        return self._write(kept, record, service, heard=bool(kept.request))

    def _hold(self, kept: Kept, reason: str, service: Manifest | None) -> Kept:
        resume = kept.record.resume if kept.record.state == State.HELD else kept.record.state
        changes = {"state": State.HELD, "resume": resume, "reason": reason, "outcome": "held"}
        record = kept.record.model_copy(update=changes).told(self.clock.now(), f"held: {reason}")
        return self._write(kept, record, service)

    def _cancel(self, kept: Kept) -> Kept:
        """The pipeline was cancelled."""
        move = machine.aborted(kept.record, "cancelled") if self.plan.on_cancel == "abort" else None
        if move is not None:
            return self._go(kept, move, Observed(), None)
        return self._hold(kept, "cancelled; the same rollout goes on where it is, or abort it", None)

    def _write(self, kept: Kept, record: Record, service: Manifest | None, heard: bool = False) -> Kept:
        """Write the record; when only a request was added meanwhile, write over that version."""
        record = record.model_copy(update={"deadline": self.clock.now() + self.plan.lease_seconds})

        def write() -> Kept:
            try:
                return self.records.write(record, kept.version, service, heard)
            except ConflictError:
                found = self._ours(kept)
                if found.record == record:  # the answer of an earlier attempt was lost
                    return found
                if found.record != kept.record:
                    raise
                return self.records.write(record, found.version, service, heard)

        written = self._tried(write, kept.record)
        if written.record.state != kept.record.state or len(written.record.timeline) != len(kept.record.timeline):
            self.listen(written.record)
        return written if heard else _still_asked(written, kept)

    def _alive(self, kept: Kept) -> Kept:
        """Renew the lease when a third of it is over."""
        left = kept.record.deadline - self.clock.now()
        return kept if left > self.plan.lease_seconds * 2 / 3 else self._write(kept, kept.record, None)

    def _again(self, kept: Kept) -> Kept:
        return self._tried(lambda: self._ours(kept), kept.record)

    def _ours(self, kept: Kept) -> Kept:
        found = self.records.read()
        if found is None:
            raise PlatformError(
                f"the record of the rollout of {kept.record.namespace}/{kept.record.name} was deleted; start it again"
            )
        if (found.record.owner, found.record.rollout_id) != (kept.record.owner, kept.record.rollout_id):
            raise TakenOverError(f"{found.record.owner} has taken over the rollout of {kept.record.name}")
        return _still_asked(found, kept)

    def _tried(self, work: Callable[[], T], record: Record) -> T:
        return self.cluster.attempt(work, f"InferenceService {record.namespace}/{record.name}")

    def _loudest(self, kept: Kept, reason: str) -> PlatformError:
        record = kept.record
        if record.state != State.FAILED:
            try:
                changes = {"state": State.FAILED, "outcome": "failed", "reason": reason, "resume": record.state}
                self._write(kept, record.model_copy(update=changes).told(self.clock.now(), reason), None)
            except KubelineError:
                pass  # the sentence below says it all the same
        return PlatformError(
            f"THE ROLLBACK OF {record.namespace}/{record.name} FAILED and the candidate {record.digest[:12]} may still "
            f"have traffic: {reason}. Act now: look at the service, then `kubeline rollout abort {record.name}`"
        )
