"""Knative mode: one predictor, whose newest revision gets `canaryTrafficPercent` and the last promoted one the rest.

Read in KServe's source (ksvc_reconciler.go, PropagateStatus): the rest goes to `latestRolledoutRevision`, which moves
to the newest revision as soon as that is ready at 100 %, and back to `previousRolledoutRevision` when a promoted
revision is set below 100 again. While the newest revision is not ready, "the latest" is the one before.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from kubeline.kubernetes.merge import replacing
from kubeline.kubernetes.resources import Manifest
from kubeline.rollout.routers.diagnosis import problem
from kubeline.rollout.routers.interface import LiveService, TrafficRouter
from kubeline.rollout.routers.observation import ClusterSnapshot, Observation, pod_ready, serves
from kubeline.rollout.status import Versions

_PERCENT = "canaryTrafficPercent"
_REVISION = "serving.knative.dev/revision"
_ALL = 100
_TAGS = "serving.kserve.io/enable-tag-routing"


class KnativeRouter(TrafficRouter):
    """Routes by `canaryTrafficPercent`; the autoscaler of each revision sees to its pods."""

    needs_routes = False
    scales = False
    routes_lag = False  # a share is in the status only once the gateway has it

    def observe(self, snapshot: ClusterSnapshot, versions: Versions) -> Observation:
        """What the Knative route does, whatever the specification says."""
        service = snapshot.service or {}
        status = (service.get("status") or {}).get("components", {}).get("predictor") or {}
        spec = (service.get("spec") or {}).get("predictor") or {}
        created, newest = status.get("latestCreatedRevision", ""), status.get("latestReadyRevision", "")
        revision = versions.candidate.revision or (
            created if _is_candidate(snapshot, versions, created, newest) else ""
        )
        targets = status.get("traffic") or []
        total = sum(_percent(target) for target in targets)
        share = sum(_percent(target) for target in targets if revision and target.get("revisionName") == revision)
        latest = [target for target in targets if target.get("latestRevision")]
        restored = bool(created) and created == newest and created != revision
        return Observation(
            ready=bool(revision) and revision == created == newest,
            share=share if total == 100 else None,
            stable_share=total - share if total == 100 else None,
            ready_pods=_ready_pods(snapshot, revision),
            wanted_pods=int(spec.get("minReplicas", 1)),
            stable_pods=_ready_pods(snapshot, versions.before.revision),
            revision=revision,
            restored=restored,
            candidate_url=_address(service, targets, revision, versions),
            problem=problem(snapshot, revision),
            current=sum(map(_percent, latest)) == spec.get(_PERCENT, 100) or (not revision and _refused(service)),
            unreachable=_unreachable(service),
        )

    def stable_revision(self, service: LiveService) -> str:
        """The revision that serves now: the last one that was promoted."""
        status = (service.get("status") or {}).get("components", {}).get("predictor") or {}
        return str(status.get("latestRolledoutRevision") or status.get("latestReadyRevision") or "")

    def newest_revision(self, service: LiveService) -> str:
        """The revision that was made last, whether it serves or not."""
        status = (service.get("status") or {}).get("components", {}).get("predictor") or {}
        return str(status.get("latestCreatedRevision") or "")

    def add_candidate(self, service: LiveService, versions: Versions, share: int, stable_pods: int) -> Manifest:
        """The candidate beside the stable one, without traffic, and with an address of its own."""
        del share, stable_pods
        wanted = {**_plain(versions.candidate.predictor), _PERCENT: 0}
        return {
            "metadata": {"annotations": {_TAGS: "true"}},
            "spec": {"predictor": replacing(service["spec"]["predictor"], wanted)},
        }

    def shift(self, service: LiveService, versions: Versions, share: int) -> Manifest:
        """Give the candidate this share."""
        del service, versions
        return {"spec": {"predictor": {_PERCENT: share}}}

    def specified(self, service: LiveService, versions: Versions) -> int | None:
        """Per cent that the specification gives the candidate; None when it is not beside the stable model."""
        del versions
        share = service["spec"]["predictor"].get(_PERCENT)
        return None if share is None else int(share)

    def promote(self, service: LiveService, versions: Versions) -> Manifest:
        """Leave the share out, after 100 % has been observed."""
        del service, versions
        return {"spec": {"predictor": {_PERCENT: None}}}

    def restore(self, service: LiveService, versions: Versions) -> Manifest:
        """The stable predictor again, as a new revision without traffic, while the revision before serves.

        Its share stays 0 until it is ready, because "the latest" would else be the candidate.
        """
        wanted = {**_plain(versions.before.predictor), _PERCENT: 0}
        return {"spec": {"predictor": replacing(service["spec"]["predictor"], wanted)}}

    def settle(self, service: LiveService, versions: Versions) -> Manifest:
        """The restored revision takes over from the equal one before."""
        del service, versions
        return {"spec": {"predictor": {_PERCENT: None}}}

    def refusal(self, snapshot: ClusterSnapshot, versions: Versions) -> str:
        """Why traffic cannot be split here; empty when it can."""
        del snapshot
        if versions.before.revision:
            return ""
        return "its model has never been ready, so that a candidate would get everything at once; deploy one that works"


def _is_candidate(snapshot: ClusterSnapshot, versions: Versions, created: str, newest: str) -> bool:
    """Whether the revision made last is the candidate's, and not one of what stood in the service just before.

    KServe may still have made a revision of that when the rollout began; its pods name the package that they serve.
    """
    if created in {versions.before.revision, versions.replaced_revision}:
        return False
    pods = _pods(snapshot, created)
    if snapshot.pods is None or created == newest or pods:
        return all(serves(pod, versions.candidate.predictor) for pod in pods)
    return bool(problem(snapshot, created))  # what cannot start may never have a pod


def _address(service: LiveService, targets: Sequence[Mapping[str, Any]], revision: str, versions: Versions) -> str:
    """Of the candidate alone: its tag's, or the service's where all of that is the candidate.

    A revision is ready some two seconds before the route leads to it and the service has an address.
    """
    mine = [target for target in targets if revision and target.get("revisionName") == revision]
    if versions.stable is not None:
        return next((str(target.get("url", "")) for target in mine if target.get("tag") == "latest"), "")
    alone = sum(map(_percent, mine)) == sum(map(_percent, targets)) == _ALL
    return str((service.get("status") or {}).get("url", "")) if alone else ""


def _refused(service: LiveService) -> bool:
    """Whether KServe cannot do what the specification says, such as when a quota's dry run refuses the pods.

    Its status then says nothing else of that specification, ever.
    """
    conditions = (service.get("status") or {}).get("conditions") or []
    said: Mapping[str, Any] = next((c for c in conditions if c.get("type") == "PredictorReady"), {})
    return said.get("status") == "False" and said.get("reason") == "ReconcileFailed"


def _ready_pods(snapshot: ClusterSnapshot, revision: str) -> int | None:
    return None if snapshot.pods is None else sum(map(pod_ready, _pods(snapshot, revision)))


def _pods(snapshot: ClusterSnapshot, revision: str) -> list[Manifest]:
    labelled = ((pod, (pod["metadata"].get("labels") or {}).get(_REVISION)) for pod in snapshot.pods or [])
    return [pod for pod, name in labelled if revision and name == revision]


def _unreachable(service: LiveService) -> str:
    """Knative gives what is hidden an address inside the cluster only, and takes a moment to route another one."""
    status = service.get("status") or {}
    host = urlsplit(str(status.get("url", ""))).hostname or ""
    if not host:
        return "it has no address"
    if host.endswith(".svc.cluster.local"):
        return f"its address {host} is one inside the cluster"
    ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in status.get("conditions") or [])
    return "" if ready else f"KServe does not say that it is ready at {host}"


def _percent(target: Mapping[str, Any]) -> int:
    return int(target.get("percent") or 0)


def _plain(predictor: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in predictor.items() if key != _PERCENT}
