"""Drives the state machine: reads, decides, writes down what is about to be done, does it, and looks again."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from kubeline.errors import KubelineError, PlatformError, UserError
from kubeline.rollout import machine, modes, ways
from kubeline.rollout.answering import answered
from kubeline.rollout.client import (
    DEPLOYMENT,
    HTTP_ROUTE,
    INGRESS,
    POD,
    Cluster,
    ConflictError,
    NotInstalledError,
    UnavailableError,
)
from kubeline.rollout.clock import Clock
from kubeline.rollout.comparison import compare, intended
from kubeline.rollout.inference_service import HIDDEN, Manifest, merge
from kubeline.rollout.modes import Observed, World
from kubeline.rollout.moves import Ask, Change, Go, Question, Situation, Wait, sides
from kubeline.rollout.plan import Plan, fingerprint
from kubeline.rollout.record import Kept, Record, Records, State, Written

logger = logging.getLogger(__name__)

T = TypeVar("T")

_MOST_DOUBTS = 8  # writes in a row of which none is known to have succeeded
_LONGEST_PAUSE = 30.0  # seconds that a Retry-After is honoured at most


class Answers(Protocol):
    """What the machine asks of the world beside the cluster."""

    def ask(self, question: Question, record: Record, observed: Observed, service: Manifest) -> Mapping[str, Any]:
        """The answer, as :func:`kubeline.rollout.machine.answered` takes it."""


def _still_asked(found: Kept, before: Kept) -> Kept:
    """What a person asked for counts until it was heard."""
    return found if found.request else found.model_copy(update={"request": before.request})


class TakenOverError(PlatformError):
    """Another process drives this rollout now, or nobody can any more."""


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
    _wrong_since: float | None = None
    _known: Kept | None = None

    def run(self, kept: Kept) -> Record:
        """Go on from a record that is ours.

        Raises:
            PlatformError: when the cluster cannot be used; a repeated call goes on at the same point. When a rollback
                failed, the loudest of all: the candidate may still have traffic.
            TakenOverError: when another process took over.
        """
        self.clock.at_cancel = self._take_back
        try:
            while not kept.record.ended and not (kept.record.state == State.HELD and not kept.request):
                self._known = kept
                kept = self._tried_turn(kept)
        finally:
            self.clock.at_cancel = lambda: None
        if kept.record.state == State.FAILED:
            raise self._loudest(kept, kept.record.reason)
        return kept.record

    def _tried_turn(self, kept: Kept) -> Kept:
        try:
            kept = self._turn(kept)
        except TakenOverError:
            raise
        except Exception as error:  # whatever it is: users may be on the candidate
            return self._wrong(kept, error)
        self._wrong_since = None
        return kept

    def _turn(self, kept: Kept) -> Kept:
        if self.clock.cancelled.is_set():
            if kept.record.state not in machine.RETURNING:
                kept = self._cancel(kept)
            self.clock.cancelled.clear()
            return kept
        world = self._look(kept.record)
        kept, stale = self._settled(kept, world)
        if stale:
            return self._rest(kept)
        if kept.record.state == State.HELD and not kept.request:
            return kept
        return self._move(kept, world)

    def _wrong(self, kept: Kept, error: Exception) -> Kept:
        """Something went wrong: try again for as long as the plan says, and then do what it says."""
        if not isinstance(error, KubelineError):
            logger.error("the rollout of %s met something unexpected", kept.record.name, exc_info=error)
            error = PlatformError(f"unexpectedly, {type(error).__name__}: {' '.join(str(error).split())[:300]}")
        now = self.clock.now()
        self._wrong_since = now if self._wrong_since is None else self._wrong_since
        over = now - self._wrong_since >= self.plan.outage_seconds and not isinstance(error, ConflictError)
        try:
            if over:
                return self._give_up(self._again(kept), error)
            if not isinstance(error, ConflictError):
                logger.warning("%s; it is tried again", error)
                self.clock.sleep(self.plan.poll_seconds)
            return self._alive(self._again(kept))
        except TakenOverError:
            raise
        except (ConflictError, UnavailableError):
            return kept

    def _give_up(self, kept: Kept, error: KubelineError) -> Kept:
        """Do what `on_error` says."""
        record = kept.record
        if record.state in machine.RETURNING:
            raise self._loudest(kept, str(error)) from error
        if not record.wrote and not record.intent:  # there is nothing to go back from
            raise error
        self._wrong_since = None
        return self._go(kept, machine.gone_wrong(record, self.plan, str(error)), Observed(), None)

    def _take_back(self) -> None:
        """The one patch of an abort, before all else: a pipeline that is cancelled leaves a step about a second.

        It is fenced; what it leaves is known again by :func:`kubeline.rollout.comparison.compare`.
        """
        kept = self._known
        if kept is None or self.plan.on_cancel != "abort" or kept.record.state not in machine.SHARING:
            return
        record, mode = kept.record, modes.module(kept.record.mode)
        for _ in range(_MOST_DOUBTS):
            try:
                service = self.cluster.read(record.namespace, record.name)
                if service is None or not mode.specified(service, sides(record)):
                    return
                self._send(record, Change(mode.shift(service, sides(record), 0), ""), service)
            except KubelineError as error:
                logger.warning("taking the traffic back at once: %s", error)
            else:
                return

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
            if not record.mode:
                return World(service)
            if not modes.module(record.mode).NEEDS_ROUTES:  # which revision is the candidate's, its pods tell
                return World(service, pods=None if record.candidate_revision else self._pods(namespace, name))
            routes = self._routes(namespace, name)
            alone = routes == [] and record.hidden and record.state == State.VERIFY
            ingress = self._ingress(namespace, name) if alone else None
            return World(service, routes, self._pods(namespace, name), ingress, self._deployment(record))

        return self._tried(read, record)

    def _deployment(self, record: Record) -> Manifest | None:
        """The candidate's, where its pods are waited for: of some troubles nothing else tells."""
        if record.state not in {State.BOOTSTRAP, State.READY, State.SCALE}:
            return None
        name = modes.standard.workload_name(record.name, record.candidate_name)
        return self.cluster.read(record.namespace, name, DEPLOYMENT)

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
            case "withdrawn":
                kept = self._withdrawn(kept, found, service)
            case "adopt":
                kept = self._write(kept, kept.record.model_copy(update={"written": found, "intent": ""}), service)
            case "deleted":
                kept = self._hold(kept, "the InferenceService was deleted", None)
            case "edited":
                reason = "the specification was edited from outside in the middle of the rollout"
                kept = self._hold(kept, reason, service)
        return kept, verdict == "stale"

    def _withdrawn(self, kept: Kept, found: Written, service: Manifest | None) -> Kept:
        """A step that was cancelled has given the candidate 0 %, and may not have come to say so."""
        record = kept.record
        if record.state != State.WITHDRAW:
            go = ways.withdraw("a step that was cancelled gave the candidate 0 %")
            record = record.model_copy(update={**go.changes, "state": go.state, "entered": self.clock.now()})
            record = record.told(self.clock.now(), go.sentence)
        done = record.model_copy(update={"written": found, "intent": "", "wrote": record.key})
        return self._write(kept, done, service)

    def _change(self, kept: Kept, move: Change, observed: Observed, service: Manifest | None) -> Kept:
        """Write down what will be, do it fenced by the version that was read, and write down that it was done."""
        try:
            expected = self._send(kept.record, move, service, dry_run=True)
            intent = kept.record.model_copy(update={"intent": intended(expected)})
            kept = self._write(kept, intent.told(self.clock.now(), move.sentence, observed.share), service)
            done = self._fenced(kept.record, move, service)
        except (ConflictError, UnavailableError) as error:
            return self._doubtful(kept, error)
        self._doubts = 0
        return self._written(kept, done)

    def _fenced(self, record: Record, move: Change, service: Manifest | None) -> Manifest:
        """Write over the specification that the move was chosen for, however often its status is written meanwhile."""
        until = self.clock.now() + self.plan.settle_seconds
        while True:
            try:
                return self._send(record, move, service)
            except ConflictError:
                found = self.cluster.read(record.namespace, record.name)
                same = service is not None and found is not None and intended(found) == intended(service)
                if not same or self.clock.now() > until:
                    raise
                service = found

    def _send(self, record: Record, move: Change, service: Manifest | None, dry_run: bool = False) -> Manifest:
        if service is None:
            hidden = HIDDEN if record.hidden else {}
            whole = merge(merge(self.manifest, {"metadata": {"labels": hidden}}), move.body)
            return self.cluster.create(whole, dry_run=dry_run)
        fence = {} if dry_run else {"resourceVersion": service["metadata"]["resourceVersion"]}
        body = {**move.body, "metadata": {**move.body.get("metadata", {}), **fence}}
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
        return answered(later, move.question, answer), kept

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
            raise TakenOverError(
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
