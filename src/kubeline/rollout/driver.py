"""Drives the state machine: reads, decides, writes down what is about to be done, does it, and looks again."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from kubeline.errors import KubelineError, PlatformError, UserError
from kubeline.kubernetes.errors import ConflictError, RejectedError, UnavailableError
from kubeline.kubernetes.resources import Manifest
from kubeline.rollout import machine
from kubeline.rollout import routers as modes
from kubeline.rollout import transitions as ways
from kubeline.rollout.actions import Ask, Change, Go, Question, Situation, Wait, sides
from kubeline.rollout.comparison import compare, intended
from kubeline.rollout.results import answered
from kubeline.rollout.routers import Observed, World
from kubeline.rollout.snapshot import look
from kubeline.rollout.spec import fingerprint
from kubeline.rollout.status import Record, State, Written
from kubeline.rollout.store import Kept
from kubeline.rollout.unexpected import expected
from kubeline.rollout.writer import MOST_DOUBTS, TakenOverError, Writer

logger = logging.getLogger(__name__)

_LONGEST_PAUSE = 30.0  # seconds that a Retry-After is honoured at most


class Answers(Protocol):
    """What the machine asks of the world beside the cluster."""

    def ask(self, question: Question, record: Record, observed: Observed, service: Manifest) -> Mapping[str, Any]:
        """The answer, as :func:`kubeline.rollout.machine.answered` takes it."""


class DeletedError(PlatformError):
    """There is no InferenceService any more, if one that says so is right: where nothing is, nothing is taken back."""


@dataclass(kw_only=True)
class Driver(Writer):
    """Drives one rollout to an end, or until it is held.

    Attributes:
        answers: to the machine's questions.
    """

    answers: Answers
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
        self.clock.at_cancel = self._withdraw_at_once
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
        world = look(self.cluster, kept.record)
        kept = self._settled(kept, world)
        if kept.record.state == State.HELD and not kept.request:
            return kept
        return self._move(kept, world)

    def _wrong(self, kept: Kept, error: Exception) -> Kept:
        """Something went wrong: try again for as long as the plan says, and then do what it says."""
        error = expected(error, f"the rollout of {kept.record.name}")
        now = self.clock.now()
        self._wrong_since = now if self._wrong_since is None else self._wrong_since
        seconds = now - self._wrong_since
        over = seconds >= self.plan.outage_seconds and not isinstance(error, ConflictError)
        if not over and not isinstance(error, ConflictError):
            logger.warning("%s; it is tried again", error)
            self.clock.sleep(self.plan.poll_seconds)
        try:
            kept = self._again(kept)
            if not over:
                return self._alive(kept)
            last = self._last_word(kept, error)
            if last is None:
                return self._give_up(kept, error)
        except TakenOverError:
            raise
        except KubelineError as second:
            return self._unwritten(kept, error, second, seconds) if over else kept
        raise last from error

    def _last_word(self, kept: Kept, error: KubelineError) -> KubelineError | None:
        """How the rollout ends where `on_error` has nothing to say; None where it has."""
        if isinstance(error, DeletedError):
            return None
        if kept.record.state in machine.RETURNING:
            return self._loudest(kept, str(error))
        nothing_changed = not kept.record.wrote and not kept.record.intent
        return error if nothing_changed else None

    def _give_up(self, kept: Kept, error: KubelineError) -> Kept:
        """Do what `on_error` says."""
        if isinstance(error, DeletedError):
            kept = self._hold(kept, str(error), None)
        else:
            kept = self._go(kept, machine.gone_wrong(kept.record, self.plan, str(error)), Observed(), None)
        self._wrong_since = None
        return kept

    def _unwritten(self, kept: Kept, error: KubelineError, second: KubelineError, seconds: float) -> Kept:
        """What `on_error` says cannot be written down: the traffic is taken back all the same, or it is tried on."""
        record, name = kept.record, f"{kept.record.namespace}/{kept.record.name}"
        back = self.plan.on_error == "rollback" and record.state in machine.SHARING and self._take_back(record)
        if back:
            told = "the candidate has been given 0 %; run the rollout again, or abort it"
        elif seconds < self.plan.outage_seconds + self.plan.ready_seconds:
            logger.warning("%s, and what follows cannot be written down (%s); it is tried again", error, second)
            self.clock.sleep(self.plan.poll_seconds)
            return kept
        elif record.state in machine.RETURNING or (record.state in machine.SHARING and self.plan.on_error != "hold"):
            raise self._loudest(kept, str(error)) from second
        else:
            told = "everything is left as it is; run the rollout again, or abort it"
        raise PlatformError(
            f"the rollout of {name} ended in state {record.state} ({error}), which cannot be written down ({second}); "
            f"{told}"
        ) from second

    def _withdraw_at_once(self) -> None:
        """A pipeline that is cancelled leaves a step about a second: the traffic goes back before all else."""
        kept = self._known
        if kept is not None and self.plan.on_cancel == "abort" and kept.record.state in machine.SHARING:
            self._take_back(kept.record)

    def _move(self, kept: Kept, world: World) -> Kept:
        record = kept.record
        observed = modes.module(record.mode).observe(world, sides(record)) if record.mode else Observed()
        now = Situation(record, self.plan, world.service, observed, self.clock.now(), kept.request)
        move = machine.decide(now)
        if isinstance(move, Ask):
            kept = self._alive(kept)
            try:
                move = self._asked(now, move)
            except RejectedError:
                raise
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

    def _settled(self, kept: Kept, world: World) -> Kept:
        """Compare the live specification with our last write, and take note of what differs."""
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
            case "stale":
                raise PlatformError("the InferenceService is read as it was before the last write to it")
            case "deleted":
                raise DeletedError("the InferenceService was deleted")
            case "edited":
                reason = "the specification was edited from outside in the middle of the rollout"
                kept = self._hold(kept, reason, service)
        return kept

    def _withdrawn(self, kept: Kept, found: Written, service: Manifest | None) -> Kept:
        """A step that was cancelled, or could write nothing down, has given the candidate 0 %."""
        record = kept.record
        if record.state != State.WITHDRAW:
            go = ways.withdraw("a step that was cancelled, or could write nothing down, gave the candidate 0 %")
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

    def _doubtful(self, kept: Kept, error: KubelineError) -> Kept:
        """A write was refused as stale, or its answer is not known: read before it is repeated."""
        self._doubts += 1
        if self._doubts > MOST_DOUBTS:
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

    def _asked(self, now: Situation, move: Ask) -> Go | Wait:
        answer = self.answers.ask(move.question, now.record, now.observed, now.service or {})
        later = Situation(now.record, now.plan, now.service, now.observed, self.clock.now(), now.request)
        return answered(later, move.question, answer)

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
