"""Drives the state machine: reads, decides, records what is about to be written, writes it, and observes again."""

import logging
from dataclasses import dataclass, replace

from kubeline.errors import KubelineError, PlatformError, UserError
from kubeline.kubernetes.errors import ConflictError, RejectedError, UnavailableError
from kubeline.kubernetes.resources import Manifest
from kubeline.rollout import results
from kubeline.rollout.actions import Context, Patch, Probe, Transition, Wait
from kubeline.rollout.analysis.metrics import MetricsError
from kubeline.rollout.comparison import SpecChange, compare, intended, written
from kubeline.rollout.machine import decide
from kubeline.rollout.probes import Probes
from kubeline.rollout.routers import ClusterSnapshot, Observation, mode_of, router_of
from kubeline.rollout.snapshot import take_snapshot
from kubeline.rollout.status import RETURNING, SHARING, Outcome, RolloutStatus, State
from kubeline.rollout.store import StoredStatus
from kubeline.rollout.transitions import abort, on_error, withdraw
from kubeline.rollout.unexpected import as_kubeline_error
from kubeline.rollout.writer import MAX_UNCONFIRMED, TakenOverError, Writer

logger = logging.getLogger(__name__)

_MAX_PAUSE = 30.0  # seconds that a Retry-After is honoured at most
_EDITED = "the specification was edited from outside in the middle of the rollout"
_WITHDRAWN = "a step that was cancelled, or could store no status, gave the candidate 0 %"


class GoneError(PlatformError):
    """The InferenceService that is rolled out is not there any more, if the cluster is right: nothing is withdrawn."""


@dataclass(kw_only=True)
class Driver(Writer):
    """Drives one rollout to an end, or until it is held.

    Attributes:
        probes: of the candidate and the metrics.
    """

    probes: Probes
    _unconfirmed: int = 0
    _failing_since: float | None = None
    _current: StoredStatus | None = None

    def run(self, stored: StoredStatus) -> RolloutStatus:
        """Continue from a status whose lease is ours.

        Raises:
            PlatformError: when the cluster cannot be used; a repeated call continues at the same point. When a
                rollback failed, in capitals: the candidate may still have traffic.
            TakenOverError: when another process took over.
        """
        self.clock.on_cancel = self._withdraw_at_once
        try:
            while not stored.status.ended and not _resting(stored):
                self._current = stored
                stored = self._turn(stored)
        finally:
            self.clock.on_cancel = lambda: None
        if stored.status.state is State.FAILED:
            raise self._rollback_failed(stored, stored.status.reason)
        return stored.status

    def _turn(self, stored: StoredStatus) -> StoredStatus:
        try:
            stored = self._advance(stored)
        except TakenOverError:
            raise
        except Exception as error:  # whatever it is: users may be on the candidate
            return self._after_error(stored, error)
        self._failing_since = None
        return stored

    def _advance(self, stored: StoredStatus) -> StoredStatus:
        if self.clock.cancelled.is_set():
            if stored.status.state not in RETURNING:
                stored = self._cancel(stored)
            self.clock.cancelled.clear()
            return stored
        self.cluster.reconcile(stored.status.namespace, stored.status.name)
        late = self.clock.now() - stored.status.entered > self.spec.ready_seconds
        snapshot = take_snapshot(self.cluster, stored.status, explain=late)
        stored = self._reconcile(stored, snapshot.service)
        return stored if _resting(stored) else self._act(stored, snapshot)

    def _after_error(self, stored: StoredStatus, cause: Exception) -> StoredStatus:
        """Try again for as long as the spec says, and then do what it says."""
        error = as_kubeline_error(cause, f"the rollout of {stored.status.name}")
        conflict = isinstance(error, ConflictError)
        now = self.clock.now()
        self._failing_since = now if self._failing_since is None else self._failing_since
        seconds = now - self._failing_since
        over = seconds >= self.spec.outage_seconds and not conflict
        if not over and not conflict:
            logger.warning("%s; it is tried again", error)
            self.clock.sleep(self.spec.poll_seconds)
        try:
            stored = self._reread(stored)
            if not over:
                return self._renew(stored)
            final = self._final_error(stored, error)
            if final is None:
                return self._give_up(stored, error)
        except TakenOverError:
            raise
        except KubelineError as second:
            return self._unrecorded(stored, error, second, seconds) if over else stored
        raise final from error

    def _final_error(self, stored: StoredStatus, error: KubelineError) -> KubelineError | None:
        """The error that the rollout ends with where `on_error` does not apply; None where it does."""
        if isinstance(error, GoneError):
            return None
        if stored.status.state in RETURNING:
            return self._rollback_failed(stored, str(error))
        return error if stored.status.untouched else None

    def _give_up(self, stored: StoredStatus, error: KubelineError) -> StoredStatus:
        """Do what `on_error` says."""
        if isinstance(error, GoneError):
            stored = self._hold(stored, str(error), None)
        else:
            transition = on_error(stored.status, self.spec, str(error))
            stored = self._enter(stored, transition, Observation(), None)
        self._failing_since = None
        return stored

    def _unrecorded(
        self, stored: StoredStatus, error: KubelineError, second: KubelineError, seconds: float
    ) -> StoredStatus:
        """What `on_error` says cannot be recorded: the traffic is withdrawn all the same, or it is tried again."""
        status, rolls_back = stored.status, self.spec.on_error == "rollback"
        if isinstance(error, GoneError):
            raise PlatformError(
                f"the rollout of {status.where} ended in state {status.state}: {error}, and that cannot be recorded "
                f"({second}); nothing is left of the rollout, start another one"
            ) from second
        if rolls_back and status.state in SHARING and self._withdraw_unrecorded(status):
            left = "the candidate has been given 0 %; run the rollout again, or abort it"
        elif seconds < self.spec.outage_seconds + self.spec.ready_seconds:
            logger.warning("%s, and what follows cannot be recorded (%s); it is tried again", error, second)
            self.clock.sleep(self.spec.poll_seconds)
            return stored
        elif status.state in RETURNING or (status.state in SHARING and rolls_back):
            raise self._rollback_failed(stored, str(error)) from second
        else:
            left = "everything is left as it is; run the rollout again, or abort it"
        raise PlatformError(
            f"the rollout of {status.where} ended in state {status.state} ({error}), which cannot be recorded "
            f"({second}); {left}"
        ) from second

    def _withdraw_at_once(self) -> None:
        """A pipeline that is cancelled leaves a step about a second: the traffic is withdrawn before all else."""
        stored = self._current
        if stored is not None and self.spec.on_cancel == "abort" and stored.status.state in SHARING:
            self._withdraw_unrecorded(stored.status)

    def _act(self, stored: StoredStatus, snapshot: ClusterSnapshot) -> StoredStatus:
        status, service = stored.status, snapshot.service
        observed = router_of(status.mode).observe(snapshot, status.versions) if status.mode else Observation()
        now = Context(status, self.spec, service, observed, self.clock.now(), stored.request)
        action = decide(now)
        if isinstance(action, Probe):
            stored = self._renew(stored)
            try:
                action = self._probe(now, action)
            except RejectedError:
                raise
            except UserError as error:  # no repetition helps until an operator changes something
                return self._hold(stored, str(error), service)
        if isinstance(action, Transition):
            return self._enter(stored, action, observed, service)
        if isinstance(action, Patch):
            return self._patch(stored, action, observed, service)
        if stored.request:
            ignored = status.with_event(self.clock.now(), f"'{stored.request}' has no effect in this state")
            return self._write(stored, ignored, service, clear_request=True)
        self.clock.sleep(self.spec.poll_seconds)
        return self._renew(self._reread(stored))

    def _probe(self, now: Context, probe: Probe) -> Transition | Wait:
        """The result of a probe, which takes its time, and what follows from it."""
        match probe:
            case Probe.SMOKE_TEST:
                result = self.probes.smoke_test(now)
                return results.after_smoke_test(self._later(now), result)
            case Probe.SHADOW:
                comparison = self.probes.compare_shadow(now)
                return results.after_shadow(self._later(now), comparison)
            case Probe.METRICS_SNAPSHOT:
                try:
                    metrics = self.probes.snapshot_metrics(now)
                except MetricsError as error:
                    return results.without_metrics_snapshot(self._later(now), str(error))
                return results.after_metrics_snapshot(self._later(now), metrics)
            case Probe.ANALYSIS:
                analysis = self.probes.analyze(now)
                return results.after_analysis(self._later(now), analysis)
            case Probe.REQUEST_COUNTS:
                counts = self.probes.count_requests(now)
                return results.after_request_counts(self._later(now), counts)

    def _later(self, now: Context) -> Context:
        return replace(now, time=self.clock.now())

    def _reconcile(self, stored: StoredStatus, service: Manifest | None) -> StoredStatus:
        """Compare the live specification with the last write, and record what differs."""
        if service is not None and stored.status.mode is None and (mode := mode_of(service)):
            stored = self._write(stored, replace(stored.status, mode=mode), service)
        change = compare(stored.status, service, stored.request)
        if change is SpecChange.DELETED:
            raise GoneError("the InferenceService was deleted")
        if change is SpecChange.RECREATED:
            raise GoneError("the InferenceService was deleted, and created anew by someone else")
        if change is SpecChange.STALE:
            raise PlatformError("the InferenceService is read as it was before the last write to it")
        if change is SpecChange.EDITED:
            return self._hold(stored, _EDITED, service)
        if service is None or change is SpecChange.UNCHANGED:
            return stored
        if change is SpecChange.APPLIED:
            return self._confirm(stored, service)
        if change is SpecChange.WITHDRAWN:
            return self._adopt_withdrawal(stored, service)
        write = replace(written(stored.status.write, service), intent="")
        return self._write(stored, replace(stored.status, write=write), service)

    def _adopt_withdrawal(self, stored: StoredStatus, service: Manifest) -> StoredStatus:
        """A step that was cancelled, or could store no status, has given the candidate 0 %."""
        status = stored.status
        if status.state is not State.WITHDRAWING:
            transition, now = withdraw(status, _WITHDRAWN), self.clock.now()
            status = replace(transition.status, entered=now).with_event(now, transition.sentence)
        return self._confirm(stored, service, status)

    def _patch(
        self, stored: StoredStatus, patch: Patch, observed: Observation, service: Manifest | None
    ) -> StoredStatus:
        """Record what will be, write it fenced by the version that was read, and record that it was done."""
        status = stored.status
        try:
            expected = self._send(status, patch, service, dry_run=True)
            intent = replace(status, write=replace(status.write, intent=intended(expected)))
            intent = intent.with_event(self.clock.now(), patch.sentence, observed.share)
            stored = self._write(stored, intent, service)
            done = self._send_fenced(status, patch, service)
        except (ConflictError, UnavailableError) as error:
            return self._after_unconfirmed(stored, error)
        self._unconfirmed = 0
        return self._confirm(stored, done)

    def _after_unconfirmed(self, stored: StoredStatus, error: ConflictError | UnavailableError) -> StoredStatus:
        """A write was refused as stale, or its answer is not known: read before it is repeated."""
        self._unconfirmed += 1
        if self._unconfirmed > MAX_UNCONFIRMED:
            raise PlatformError(f"writing to {stored.status.where} does not succeed: {error}")
        pause = 0.0
        if isinstance(error, UnavailableError):
            pause = max(min(2.0 ** (self._unconfirmed - 3), 8.0), min(error.retry_after, _MAX_PAUSE))
        self.clock.sleep(pause)
        return self._reread(stored)

    def _confirm(self, stored: StoredStatus, service: Manifest, status: RolloutStatus | None = None) -> StoredStatus:
        """Record that the write took effect."""
        status = status or stored.status
        write = replace(written(status.write, service), intent="", completed=status.key)
        return self._write(stored, replace(status, write=write), service)

    def _enter(
        self, stored: StoredStatus, transition: Transition, observed: Observation, service: Manifest | None
    ) -> StoredStatus:
        before, status, now = stored.status, transition.status, self.clock.now()
        entered = before.entered if status.state is before.state else now
        status = replace(status, entered=entered, write=replace(status.write, intent=""))
        status = status.with_event(now, transition.sentence, observed.share)
        if status.state is State.COMPLETED:
            status = status.with_promotion(now)
        return self._write(stored, status, service, clear_request=bool(stored.request))

    def _hold(self, stored: StoredStatus, reason: str, service: Manifest | None) -> StoredStatus:
        status = stored.status
        resume = status.resume if status.state is State.HELD else status.state
        held = replace(status, state=State.HELD, resume=resume, reason=reason, outcome=Outcome.HELD)
        return self._write(stored, held.with_event(self.clock.now(), f"held: {reason}"), service)

    def _cancel(self, stored: StoredStatus) -> StoredStatus:
        """The pipeline was cancelled."""
        transition = abort(stored.status, "cancelled") if self.spec.on_cancel == "abort" else None
        if transition is not None:
            return self._enter(stored, transition, Observation(), None)
        return self._hold(stored, "cancelled; the same rollout continues where it is, or abort it", None)


def _resting(stored: StoredStatus) -> bool:
    """Whether the rollout is held, and no operator has asked for anything."""
    return stored.status.state is State.HELD and not stored.request
