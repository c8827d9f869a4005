"""Endpoints of Vertex AI: two deployed models, among which the endpoint's traffic_split divides the requests.

What is observed is that traffic_split, which is what routes: a deployed model that it does not name gets nothing. A
change of it takes a moment to be followed, and nothing says when it has been.
"""

from collections.abc import Mapping
from typing import Any

from kubeline.kubernetes.merge import replacing
from kubeline.kubernetes.resources import Manifest
from kubeline.rollout.routers.interface import LiveService, TrafficRouter
from kubeline.rollout.routers.observation import ClusterSnapshot, Observation, canary_of
from kubeline.rollout.status import Versions
from kubeline.serving_platform.endpoint_view import VISIBILITY

_ALL = 100


class VertexRouter(TrafficRouter):
    """Routes by the traffic_split; each deployed model has machines of its own, and scales by itself."""

    needs_routes = False
    scales = False
    routes_lag = True

    def observe(self, snapshot: ClusterSnapshot, versions: Versions) -> Observation:
        """What the traffic_split says, and which models are deployed.

        A rollout has ended only when nothing is deployed any more that it does not need.
        """
        service = snapshot.service or {}
        spec, status = service.get("spec") or {}, service.get("status") or {}
        placed = _is_candidate(spec.get("predictor") or {}, versions)
        hidden = VISIBILITY in ((service.get("metadata") or {}).get("labels") or {})
        mine = status.get("stable" if placed else "candidate") or {}
        other = {} if placed else status.get("stable") or {}
        asked = bool(mine.get("tested")) if hidden or not placed else bool(mine.get("deployed"))
        tidy = not status.get("leftover")
        ready = bool(mine.get("deployed")) and asked and (tidy or hidden or not placed)
        whole, ended = status.get("total") == _ALL, not placed and not spec.get("canary")
        name = str((service.get("metadata") or {}).get("name", ""))
        return Observation(
            ready=ready,
            share=int(mine.get("share", 0)) if whole else None,
            stable_share=int(other.get("share", 0)) if whole and (tidy or not ended) else None,
            revision=str(mine.get("id", "")),
            restored=ended and tidy and bool(other.get("deployed")),
            candidate_url=(f"{name}-candidate" if hidden or not placed else name) if ready else "",
            problem=str(status.get("problem") or status.get("leftover") or ""),
        )

    def stable_revision(self, service: LiveService) -> str:
        """The id of the stable deployed model."""
        return str(((service.get("status") or {}).get("stable") or {}).get("id", ""))

    def refusal(self, snapshot: ClusterSnapshot, versions: Versions) -> str:
        """Why traffic cannot be split here; empty when it can."""
        service = snapshot.service or {}
        spec, status = service.get("spec") or {}, service.get("status") or {}
        if others := [*(spec.get("others") or {})]:
            return (
                f"the deployed model {others[0]} has a part of the traffic that no rollout gave it; take it away first"
            )
        if spec.get("stopped"):
            return "the endpoint answers nobody: its traffic_split is empty; give its model 100 % first"
        beside = [str(c["predictor"].get("name", "")) for c in spec.get("canary") or []]
        if beside and beside != [versions.candidate.name]:
            return f"there is a candidate already ({beside[0]}) that is not ours; abort its rollout first"
        return "" if (status.get("stable") or {}).get("deployed") else "its model is not deployed yet; try later"

    def add_candidate(self, service: LiveService, versions: Versions, share: int, stable_pods: int) -> Manifest:
        """The candidate beside the stable one, without traffic, and with all the machines that it will ever have."""
        del service, share, stable_pods
        return _beside(_predictor(versions), 0)

    def shift(self, service: LiveService, versions: Versions, share: int) -> Manifest:
        """Give the candidate this share, and the stable model the rest."""
        return _beside(canary_of(service, versions)["predictor"] or _predictor(versions), share)

    def promote(self, service: LiveService, versions: Versions) -> Manifest:
        """The candidate is the stable model, and the one before is undeployed."""
        return {
            "spec": {"canary": None, "predictor": replacing(service["spec"]["predictor"], _predictor(versions))},
        }

    def restore(self, service: LiveService, versions: Versions) -> Manifest:
        """The candidate is undeployed."""
        del service, versions
        return {"spec": {"canary": None}}


def _predictor(versions: Versions) -> Manifest:
    """The candidate's, with the name that makes its deployed model another one than that of an earlier rollout."""
    return {**versions.candidate.predictor, "name": versions.candidate.name}


def _is_candidate(predictor: Mapping[str, Any], versions: Versions) -> bool:
    return bool(predictor) and predictor.get("name", "") == versions.candidate.name


def _beside(predictor: Mapping[str, Any], share: int) -> Manifest:
    return {"spec": {"canary": [{"predictor": dict(predictor), "trafficPercent": share}]}}
