"""The status of a rollout: what an interrupted one is continued from, and the lease that excludes others."""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal

from kubeline.kubernetes.resources import Manifest
from kubeline.rollout.spec import RolloutSpec

_MAX_EVENTS = 300
_MAX_SENTENCE = 1_000  # characters of a sentence in the timeline
_MAX_HISTORY = 5


class State(StrEnum):
    """Where a rollout is: an activity while it is in progress, a participle at its end (docs/rollout.md)."""

    INITIALIZING = "initializing"
    BOOTSTRAPPING = "bootstrapping"
    DEPLOYING = "deploying"
    AWAITING_READINESS = "awaiting_readiness"
    SMOKE_TESTING = "smoke_testing"
    EXPOSING = "exposing"
    SHADOWING = "shadowing"
    SCALING = "scaling"
    SHIFTING = "shifting"
    BAKING = "baking"
    ANALYZING = "analyzing"
    AWAITING_APPROVAL = "awaiting_approval"
    CUTTING_OVER = "cutting_over"
    REPLACING = "replacing"
    PROMOTING = "promoting"
    VERIFYING = "verifying"
    WITHDRAWING = "withdrawing"
    RESTORING = "restoring"
    SETTLING = "settling"
    COMPLETED = "completed"
    ROLLED_BACK = "rolled_back"
    HELD = "held"
    FAILED = "failed"


ENDS = frozenset({State.COMPLETED, State.ROLLED_BACK, State.FAILED})
# States of the way back to the stable model.
RETURNING = frozenset({State.WITHDRAWING, State.RESTORING, State.SETTLING})
# States in which the candidate may have a part of the traffic, beside the stable model.
SHARING = frozenset(
    {
        State.SCALING,
        State.SHIFTING,
        State.BAKING,
        State.ANALYZING,
        State.AWAITING_APPROVAL,
        State.CUTTING_OVER,
    }
)
# States from which a rollout can be aborted: the candidate has not taken the stable model's place.
ABORTABLE = frozenset(State) - ENDS - RETURNING - {State.REPLACING, State.PROMOTING, State.VERIFYING, State.HELD}
_WITH_TRAFFIC = (SHARING - {State.SCALING}) | {State.REPLACING, State.PROMOTING}


class Outcome(StrEnum):
    """How a rollout ended, or that it is held."""

    PROMOTED = "promoted"
    UNCHANGED = "unchanged"
    REPORTED = "reported"
    ROLLED_BACK = "rolled_back"
    HELD = "held"
    FAILED = "failed"


class AnalysisOutcome(StrEnum):
    """What one analysis of a step says; too few requests is no analysis yet."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"
    TOO_FEW_REQUESTS = "too_few_requests"


class DeploymentMode(StrEnum):
    """How traffic is split: by KServe, on OpenShift in Standard mode behind a Route, or by Vertex AI's endpoints."""

    KNATIVE = "knative"
    STANDARD = "standard"
    OPENSHIFT = "openshift"
    VERTEX = "vertex"


OperatorRequest = Literal["promote", "abort"]


@dataclass(frozen=True)
class TimelineEvent:
    """One line of the timeline: Unix seconds, the state, the observed weight in per cent, and what happened."""

    time: float
    state: State
    sentence: str
    share: int | None = None


@dataclass(frozen=True)
class PromotedModel:
    """A model that was promoted, with its full predictor, so that it can be brought back."""

    time: float
    rollout_id: str
    digest: str
    predictor: Manifest


@dataclass(frozen=True)
class Lease:
    """Who drives the rollout, and the Unix seconds after which another process may take over."""

    holder: str
    expires: float


@dataclass(frozen=True)
class DeployedModel:
    """One of the two models.

    Attributes:
        predictor: full, as in the InferenceService.
        digest: of its package; empty when it names none.
        revision: what runs it: a Knative revision or a Deployment; empty until it is known.
        name: Standard mode's name of the predictor.
    """

    predictor: Manifest = field(default_factory=dict)
    digest: str = ""
    revision: str = ""
    name: str = ""


@dataclass(frozen=True)
class Versions:
    """The candidate and the stable model.

    Attributes:
        candidate: the model that is rolled out.
        stable: the model that served before; None at a first deployment.
        replaced_revision: Knative revision that was the newest one before the candidate's; empty when the candidate is
            in it.
        stable_pods: pods that the stable model had when the rollout began, in Standard mode; 0 where it is not known.
    """

    candidate: DeployedModel
    stable: DeployedModel | None = None
    replaced_revision: str = ""
    stable_pods: int = 0

    @property
    def before(self) -> DeployedModel:
        """The stable model; one without a predictor at a first deployment."""
        return self.stable or DeployedModel()


@dataclass(frozen=True)
class WriteStatus:
    """The last write to the InferenceService, by which an edit from outside is recognized.

    Attributes:
        generation: of the InferenceService after it.
        spec: SHA-256 of the specification after it.
        uid: of the InferenceService; empty where it is not known. One that is created anew has another.
        intent: fingerprint of what the write under way will leave; empty when none is.
        completed: key of the state and step whose write was completed (:attr:`RolloutStatus.key`).
    """

    generation: int = 0
    spec: str = ""
    uid: str = ""
    intent: str = ""
    completed: str = ""


@dataclass(frozen=True)
class RequestCounts:
    """Requests that each model's pods have counted so far; `error` says why they are not known."""

    candidate: float = 0.0
    stable: float = 0.0
    error: str = ""


@dataclass(frozen=True)
class DrainStatus:
    """Requests counted at a model that has 0 %, and must not be removed while some arrive.

    Attributes:
        counts: when a request last arrived there.
        first: Unix seconds of the first count.
        since: Unix seconds since which no request has arrived.
    """

    counts: RequestCounts
    first: float
    since: float


@dataclass(frozen=True)
class StepStatus:
    """One step of the spec.

    Attributes:
        index: of the spec's weights; their number once the candidate is to get everything.
        observed_since: Unix seconds since which its traffic is observed; 0 before.
        metrics: snapshot of the metrics of that time.
        drain: of the model that has 0 %.
    """

    index: int = 0
    observed_since: float = 0.0
    metrics: dict[str, Any] | None = None
    drain: DrainStatus | None = None


@dataclass(frozen=True)
class Analysis:
    """One judgement of a step, with its evidence.

    Attributes:
        step: index of the step.
        share: per cent of the traffic that was observed.
        outcome: of all its checks.
        sentence: why.
        level: of significance of each check; None when nothing was tested.
        findings: of the single checks; left out of old analyses where the status grows too large.
        evidence: that it was judged by; left out likewise.
    """

    step: int
    share: int | None
    outcome: AnalysisOutcome
    sentence: str
    level: float | None = None
    findings: tuple[dict[str, Any], ...] = ()
    evidence: dict[str, Any] | None = None


@dataclass(frozen=True)
class SmokeTestResult:
    """What the smoke test found: golden rows, largest difference of an answer, 95th percentile of single rows."""

    passed: bool
    sentence: str
    rows: int = 0
    max_difference: float | None = None
    p95_ms: float | None = None


@dataclass(frozen=True)
class ShadowResult:
    """How the candidate's answers to logged requests compare with the logged ones.

    Attributes:
        passed: nothing speaks against the candidate.
        sentence: why.
        rows: logged rows asked.
        alike: of them, answered as logged.
        agreement: their share.
        max_difference: largest difference of an answer.
        refused: rows that were not answered.
        undecided: labels are to decide, and too few have come, they cannot be read, or chance explains the difference.
        label_loss: the finding by labels; None where the plan names no outcomes.
    """

    passed: bool
    sentence: str
    rows: int = 0
    alike: int = 0
    agreement: float | None = None
    max_difference: float | None = None
    refused: int = 0
    undecided: bool = False
    label_loss: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class RolloutStatus:
    """Everything about one rollout.

    Attributes:
        rollout_id: hash of package digest, specification and spec.
        name: of the InferenceService.
        namespace: of the InferenceService.
        lease: of the process that drives it.
        spec: what is done.
        versions: candidate and stable model.
        mode: of KServe; None until it is known.
        state: where it is.
        entered: Unix seconds since which it is in this state.
        resume: state in which a held rollout goes on.
        step: of the spec.
        hidden: the service is hidden by the rollout, until its first model has passed.
        write: the last write to the InferenceService.
        analyses: of all steps, the newest last.
        smoke: result of the smoke test.
        shadow: result of the shadow comparison.
        timeline: what happened.
        reason: why it ended, or is held.
        outcome: None while it is in progress.
        history: models promoted, the newest last.
    """

    rollout_id: str
    name: str
    namespace: str
    lease: Lease
    spec: RolloutSpec = field(default_factory=RolloutSpec)
    versions: Versions = field(default_factory=lambda: Versions(DeployedModel()))
    mode: DeploymentMode | None = None
    state: State = State.INITIALIZING
    entered: float = 0.0
    resume: State | None = None
    step: StepStatus = StepStatus()
    hidden: bool = False
    write: WriteStatus = WriteStatus()
    analyses: tuple[Analysis, ...] = ()
    smoke: SmokeTestResult | None = None
    shadow: ShadowResult | None = None
    timeline: tuple[TimelineEvent, ...] = ()
    reason: str = ""
    outcome: Outcome | None = None
    history: tuple[PromotedModel, ...] = ()

    @property
    def where(self) -> str:
        """Namespace and name, for messages."""
        return f"{self.namespace}/{self.name}"

    @property
    def candidate(self) -> DeployedModel:
        """The model that is rolled out."""
        return self.versions.candidate

    @property
    def stable(self) -> DeployedModel | None:
        """The model that served before; None at a first deployment."""
        return self.versions.stable

    @property
    def stable_digest(self) -> str:
        """Of the stable model's package; empty when there is none."""
        return self.stable.digest if self.stable else ""

    @property
    def key(self) -> str:
        """Names the write of this state."""
        return f"{self.state}/{self.step.index}"

    @property
    def ended(self) -> bool:
        """Whether nothing is left to do."""
        return self.state in ENDS

    @property
    def untouched(self) -> bool:
        """Whether nothing was written to the InferenceService yet."""
        return not self.write.completed and not self.write.intent

    @property
    def exposed(self) -> bool:
        """Whether the candidate may have had traffic."""
        return any(event.state in _WITH_TRAFFIC for event in self.timeline)

    def with_event(self, time: float, sentence: str, share: int | None = None) -> "RolloutStatus":
        """The status with one more line in its timeline."""
        event = TimelineEvent(time, self.state, sentence[:_MAX_SENTENCE], share)
        return replace(self, timeline=(*self.timeline, event)[-_MAX_EVENTS:])

    def with_promotion(self, time: float) -> "RolloutStatus":
        """The status with its candidate, and the stable model before it, in the history."""
        candidate, stable = self.candidate, self.stable
        entry = PromotedModel(time, self.rollout_id, candidate.digest, candidate.predictor)
        before = [past for past in self.history if past.digest != candidate.digest]
        if stable is not None and stable.digest not in {"", *(past.digest for past in self.history)}:
            before.append(PromotedModel(self.entered, "", stable.digest, stable.predictor))
        return replace(self, history=(*before, entry)[-_MAX_HISTORY:])

    def with_revision(self, revision: str) -> "RolloutStatus":
        """The status with what runs the candidate."""
        candidate = replace(self.candidate, revision=revision)
        return replace(self, versions=replace(self.versions, candidate=candidate))
