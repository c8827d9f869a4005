"""What a rollout knows and reads of a recorded cluster: its router, the two versions, the objects of a moment."""

import functools
from typing import Any

from kubeline.kubernetes.resources import Manifest
from kubeline.rollout.routers import ClusterSnapshot, TrafficRouter, router_of
from kubeline.rollout.routers.standard import workload_name
from kubeline.rollout.status import DeployedModel, DeploymentMode, Versions
from tests.support import recordings as reader


def router(recording: reader.Recording) -> TrafficRouter:
    return router_of(DeploymentMode(recording.header["mode"]))


@functools.cache
def candidate_of(name: str) -> tuple[Manifest, Versions]:
    """The service before the rollout, and who is who in it."""
    recording = reader.read(name)
    versions = [change.object for change in recording.of("InferenceService", recording.header["name"])]
    before = versions[0]
    mode = router(recording)
    stable = DeployedModel(before["spec"]["predictor"], revision=mode.stable_revision(before))
    if recording.header["mode"] == "standard":
        entries = (entry for one in versions for entry in one["spec"].get("canary") or [])
        entry: dict[str, Any] = next(entries, {"predictor": {}})["predictor"]
        return before, Versions(DeployedModel(entry, name=entry.get("name", "")), stable)
    others = (one["spec"]["predictor"] for one in versions if "canaryTrafficPercent" in one["spec"]["predictor"])
    revisions = (
        revision for one in versions if (revision := mode.newest_revision(one)) != mode.newest_revision(before)
    )
    return before, Versions(DeployedModel(next(others, {}), revision=next(revisions, "")), stable)


def world(found: reader.World, recording: reader.Recording) -> ClusterSnapshot:
    """What a rollout reads of a moment."""
    name = recording.header["name"]
    routes = [route for route in found.every("HTTPRoute") if route["metadata"]["name"] in {name, f"{name}-predictor"}]
    workload = workload_name(name, candidate_of(recording.name)[1].candidate.name)
    return ClusterSnapshot(
        found.find("InferenceService", name),
        routes,
        found.every("Pod"),
        deployment=found.find("Deployment", workload),
    )
