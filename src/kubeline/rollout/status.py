"""The record of a rollout: what a killed one is continued from, and the lock that keeps others out.

It lives in the ConfigMap ``NAME-kubeline-rollout`` beside the InferenceService, and not in the annotations of the
latter: KServe copies those to the pods, so that each write would start new ones.
"""

from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

FORMAT = 1  # raised when an older process could not go on with a record
_MOST_EVENTS = 300
_MOST_LETTERS = 1_000  # of a sentence in the timeline
_MOST_HISTORY = 5


class State(StrEnum):
    """Where a rollout is; the table of docs/rollout.md."""

    LOCKED = "locked"
    BOOTSTRAP = "bootstrap"
    START = "start"
    READY = "ready"
    SMOKE = "smoke"
    EXPOSE = "expose"
    SHADOW = "shadow"
    SCALE = "scale"
    SHIFT = "shift"
    BAKE = "bake"
    JUDGE = "judge"
    APPROVAL = "approval"
    FILL = "fill"
    PROMOTE = "promote"
    VERIFY = "verify"
    DONE = "done"
    WITHDRAW = "withdraw"
    RESTORE = "restore"
    SETTLE = "settle"
    ROLLED_BACK = "rolled_back"
    HELD = "held"
    FAILED = "failed"


ENDS = frozenset({State.DONE, State.ROLLED_BACK, State.FAILED})
_WITH_TRAFFIC = frozenset({State.SHIFT, State.BAKE, State.JUDGE, State.APPROVAL, State.FILL, State.PROMOTE})
Request = Literal["promote", "abort"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Event(_Part):
    """One line of the timeline: Unix seconds, the state, the observed share in per cent, and what happened."""

    time: float
    state: State
    share: int | None = None
    sentence: str


class Promoted(_Part):
    """A model that was promoted, with its full predictor, so that it can be brought back."""

    time: float
    rollout_id: str
    digest: str
    predictor: dict[str, Any]


class Written(_Part):
    """The specification as it was after our last write, by which an edit from outside is told."""

    generation: int = 0
    spec: str = ""  # SHA-256


class Record(_Part):
    """Everything about one rollout.

    Attributes:
        format: of the record itself.
        rollout_id: hash of package digest, predictor and plan.
        owner: who drives it.
        deadline: Unix seconds after which another rollout may take over.
        mode: ``knative`` or ``standard``; empty until known.
        state: where it is.
        step: index of the plan's shares; their number once the candidate is to get everything.
        entered: Unix seconds since which it is in this state.
        resume: where a held rollout goes on.
        plan: as given.
        digest: of the candidate's package.
        candidate: full predictor.
        candidate_name: Standard mode's name of it.
        candidate_revision: what runs it; empty until known.
        stable: full predictor before; None at a first deployment.
        stable_digest: of its package.
        stable_revision: what runs it.
        replaced: Knative revision that was the newest one before the candidate's.
        busy: pods that the stable model had when the rollout began, in Standard mode.
        hidden: the service is hidden by the rollout, until its first model has passed.
        written: our last write.
        intent: fingerprint of what the write under way will leave; empty when none is.
        wrote: state and step whose write to the InferenceService has been done.
        snapshot: of the metrics when the step began.
        baked_from: Unix seconds since which the step is watched; 0 before.
        arrivals: requests that each side had been asked, when one last arrived where none is to arrive any more.
        looks: the judgements, with their evidence.
        smoke: what the smoke test found.
        shadow: what the comparison of answers found.
        timeline: what happened.
        reason: why it ended, or is held.
        outcome: promoted, unchanged, reported, rolled_back, held or failed; empty while it goes on.
        history: models promoted, the newest last.
    """

    format: int = FORMAT
    rollout_id: str
    name: str
    namespace: str
    owner: str
    deadline: float
    mode: str = ""
    state: State = State.LOCKED
    step: int = 0
    entered: float = 0.0
    resume: State | None = None
    plan: dict[str, Any] = {}
    digest: str = ""
    candidate: dict[str, Any] = {}
    candidate_name: str = ""
    candidate_revision: str = ""
    stable: dict[str, Any] | None = None
    stable_digest: str = ""
    stable_revision: str = ""
    replaced: str = ""
    busy: int = 0
    hidden: bool = False
    written: Written = Written()
    intent: str = ""
    wrote: str = ""
    snapshot: dict[str, Any] | None = None
    baked_from: float = 0.0
    arrivals: dict[str, Any] | None = None
    looks: tuple[dict[str, Any], ...] = ()
    smoke: dict[str, Any] | None = None
    shadow: dict[str, Any] | None = None
    timeline: tuple[Event, ...] = ()
    reason: str = ""
    outcome: str = ""
    history: tuple[Promoted, ...] = ()

    @property
    def key(self) -> str:
        """Names the write of this state."""
        return f"{self.state}/{self.step}"

    @property
    def ended(self) -> bool:
        """Whether nothing is left to do."""
        return self.state in ENDS

    @property
    def exposed(self) -> bool:
        """Whether the candidate may have had traffic."""
        return any(event.state in _WITH_TRAFFIC for event in self.timeline)

    def told(self, time: float, sentence: str, share: int | None = None) -> "Record":
        """The record with one more line in its timeline."""
        event = Event(time=time, state=self.state, share=share, sentence=sentence[:_MOST_LETTERS])
        return self.model_copy(update={"timeline": (*self.timeline, event)[-_MOST_EVENTS:]})

    def promoted(self, time: float) -> "Record":
        """The record with its candidate, and the stable model before it, in the history."""
        entry = Promoted(time=time, rollout_id=self.rollout_id, digest=self.digest, predictor=self.candidate)
        before = [past for past in self.history if past.digest != self.digest]
        if self.stable is not None and self.stable_digest not in {"", *(past.digest for past in self.history)}:
            before.append(Promoted(time=self.entered, rollout_id="", digest=self.stable_digest, predictor=self.stable))
        return self.model_copy(update={"history": (*before, entry)[-_MOST_HISTORY:]})
