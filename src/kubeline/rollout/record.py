"""The record of a rollout: what a killed one is continued from, and the lock that keeps others out.

It lives in the ConfigMap ``NAME-kubeline-rollout`` beside the InferenceService, and not in the annotations of the
latter: KServe copies those to the pods, so that each write would start new ones.
"""

from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from kubeline.errors import PlatformError
from kubeline.rollout.client import Cluster
from kubeline.rollout.inference_service import Manifest
from kubeline.rollout.resources import CONFIG_MAP, INFERENCE_SERVICE

REQUEST = "kubeline.dev/request"  # annotation of the ConfigMap: promote or abort
FORMAT = 1  # raised when an older process could not go on with a record
_MOST_BYTES = 900_000  # an object of Kubernetes may have 1 MiB with all else in it
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


def fitted(record: Record) -> Record:
    """The record, small enough for a ConfigMap: the evidence of its oldest looks is left out first, then their checks.

    Raises:
        PlatformError: when it is too large all the same.
    """
    for part in ("evidence", "findings"):
        for number in range(len(record.looks)):
            if _size(record) <= _MOST_BYTES:
                return record
            look = {key: value for key, value in record.looks[number].items() if key != part}
            looks = (*record.looks[:number], look, *record.looks[number + 1 :])
            record = record.model_copy(update={"looks": looks})
    if _size(record) > _MOST_BYTES:
        raise PlatformError(
            f"the record of the rollout of {record.namespace}/{record.name} would have {_size(record):,} bytes, but a "
            f"ConfigMap holds {_MOST_BYTES:,}; shorten the predictor or the plan"
        )
    return record


def _size(record: Record) -> int:
    return len(record.model_dump_json().encode())


class Kept(BaseModel):
    """A record as it is kept, with the version that fences the next write, and what a person asked for."""

    model_config = ConfigDict(frozen=True)

    record: Record
    version: str
    request: str = ""


def record_name(name: str) -> str:
    """Of the ConfigMap."""
    return f"{name}-kubeline-rollout"


class Records:
    """The record of one InferenceService in a cluster."""

    def __init__(self, cluster: Cluster, namespace: str, name: str) -> None:
        self._cluster, self._namespace, self._name = cluster, namespace, name

    def read(self) -> Kept | None:
        """The record, or None when there never was a rollout.

        Raises:
            PlatformError: when the ConfigMap holds something else.
        """
        found = self._cluster.read(self._namespace, record_name(self._name), CONFIG_MAP)
        return None if found is None else self._kept(found)

    def write(self, record: Record, version: str, service: Manifest | None = None, heard: bool = False) -> Kept:
        """Replace the record; ConflictError when somebody else has.

        Args:
            record: the new one.
            version: resource version that was read; empty creates it.
            service: the InferenceService it goes with, when that is known.
            heard: the request of a person has been followed.
        """
        meta: Manifest = {"name": record_name(self._name), "namespace": self._namespace}
        meta["labels"] = {"app.kubernetes.io/managed-by": "kubeline"}
        if service is not None:
            meta["ownerReferences"] = [_owner(service)]
        if heard:
            meta["annotations"] = {REQUEST: None}
        body: Manifest = {"metadata": meta, "data": {"record": fitted(record).model_dump_json()}}
        if not version:
            body |= {"apiVersion": CONFIG_MAP.api_version, "kind": CONFIG_MAP.kind}
            return self._kept(self._cluster.create(body, CONFIG_MAP))
        meta["resourceVersion"] = version
        return self._kept(self._cluster.patch(self._namespace, record_name(self._name), body, CONFIG_MAP))

    def ask(self, request: Request) -> None:
        """Leave a request for whoever drives the rollout."""
        body = {"metadata": {"annotations": {REQUEST: request}}}
        self._cluster.patch(self._namespace, record_name(self._name), body, CONFIG_MAP)

    def _kept(self, found: Manifest) -> Kept:
        try:
            record = Record.model_validate_json((found.get("data") or {}).get("record", ""))
        except ValidationError as error:
            where = f"ConfigMap {self._namespace}/{record_name(self._name)}"
            raise PlatformError(
                f"{where} holds no record of a rollout; delete it when no rollout is going on"
            ) from error
        if record.format > FORMAT:
            raise PlatformError(
                f"the rollout of {self._namespace}/{self._name} was begun by a newer Kubeline, whose record this one "
                "cannot keep; use that version, here and wherever it is driven"
            )
        meta = found["metadata"]
        return Kept(
            record=record,
            version=meta["resourceVersion"],
            request=(meta.get("annotations") or {}).get(REQUEST, ""),
        )


def _owner(service: Manifest) -> Manifest:
    """The record goes with its InferenceService."""
    meta = service["metadata"]
    return {
        "apiVersion": INFERENCE_SERVICE.api_version,
        "kind": INFERENCE_SERVICE.kind,
        "name": meta["name"],
        "uid": meta["uid"],
    }
