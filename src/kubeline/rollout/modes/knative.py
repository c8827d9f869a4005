"""Knative mode: one predictor, whose newest revision gets `canaryTrafficPercent` and the last promoted one the rest.

Read in KServe's source (ksvc_reconciler.go, PropagateStatus): the rest goes to `latestRolledoutRevision`, which moves
to the newest revision as soon as that is ready at 100 %, and back to `previousRolledoutRevision` when a promoted
revision is set below 100 again. While the newest revision is not ready, "the latest" is the one before.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from kubeline.rollout.inference_service import Manifest
from kubeline.rollout.modes.observed import Observed, Sides, World, replacing, trouble

NEEDS_ROUTES = False
_PERCENT = "canaryTrafficPercent"
_TAGS = "serving.kserve.io/enable-tag-routing"


def observe(world: World, sides: Sides) -> Observed:
    """What the Knative route does; the specification is not looked at."""
    status = ((world.service or {}).get("status") or {}).get("components", {}).get("predictor") or {}
    spec = ((world.service or {}).get("spec") or {}).get("predictor") or {}
    created, newest = status.get("latestCreatedRevision", ""), status.get("latestReadyRevision", "")
    revision = sides.candidate_revision or (created if created not in {sides.stable_revision, sides.replaced} else "")
    targets = status.get("traffic") or []
    total = sum(_percent(target) for target in targets)
    share = sum(_percent(target) for target in targets if revision and target.get("revisionName") == revision)
    latest = [target for target in targets if target.get("latestRevision")]
    urls = [str(t.get("url", "")) for t in targets if t.get("tag") == "latest" and t.get("revisionName") == revision]
    restored = bool(created) and created == newest and created != revision
    return Observed(
        ready=bool(revision) and revision == created == newest,
        share=share if total == 100 else None,
        stable_share=total - share if total == 100 else None,
        revision=revision,
        restored=restored,
        candidate_url=urls[0] if urls else "",
        trouble=trouble(world),
        current=sum(map(_percent, latest)) == spec.get(_PERCENT, 100),
        unreached=_unreached(world.service or {}),
    )


def stable_revision(service: Mapping[str, Any]) -> str:
    """The revision that serves now: the last one that was promoted."""
    status = (service.get("status") or {}).get("components", {}).get("predictor") or {}
    return str(status.get("latestRolledoutRevision") or status.get("latestReadyRevision") or "")


def newest_revision(service: Mapping[str, Any]) -> str:
    """The revision that was made last, whether it serves or not."""
    status = (service.get("status") or {}).get("components", {}).get("predictor") or {}
    return str(status.get("latestCreatedRevision") or "")


def start(service: Mapping[str, Any], sides: Sides, ahead: int) -> Manifest:
    """The candidate beside the stable one, without traffic, and with an address of its own."""
    del ahead
    wanted = {**_plain(sides.candidate), _PERCENT: 0}
    return {
        "metadata": {"annotations": {_TAGS: "true"}},
        "spec": {"predictor": replacing(service["spec"]["predictor"], wanted)},
    }


def shift(service: Mapping[str, Any], sides: Sides, share: int, ahead: int) -> Manifest:
    """Give the candidate this share."""
    del service, sides, ahead
    return {"spec": {"predictor": {_PERCENT: share}}}


def promote(service: Mapping[str, Any], sides: Sides) -> Manifest:
    """After 100 % has been seen: the share is no longer told."""
    del service, sides
    return {"spec": {"predictor": {_PERCENT: None}}}


def restore(service: Mapping[str, Any], sides: Sides) -> Manifest:
    """The stable predictor again, as a new revision without traffic: the revision that serves goes on serving.

    Its share stays 0 until it is ready, because "the latest" would else be the candidate.
    """
    wanted = {**_plain(sides.stable or {}), _PERCENT: 0}
    return {"spec": {"predictor": replacing(service["spec"]["predictor"], wanted)}}


def settle(service: Mapping[str, Any], sides: Sides) -> Manifest:
    """The restored revision takes over from the equal one before."""
    del service, sides
    return {"spec": {"predictor": {_PERCENT: None}}}


def refusal(world: World, sides: Sides) -> str:
    """Why traffic cannot be split here; empty when it can."""
    del world
    if sides.stable_revision:
        return ""
    return "its model has never been ready, so that a candidate would get everything at once; deploy one that works"


def _unreached(service: Mapping[str, Any]) -> str:
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
