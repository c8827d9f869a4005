"""Plays the scenario of a recording on an embedded KServe: what was written into the real one is written into it.

Each specification is written when the embedded KServe shows what the real one showed just before it.
"""

import json
from collections.abc import Mapping
from typing import Any

from tests.embedded_kserve.differences import named
from tests.embedded_kserve.recorder import Recorder
from tests.embedded_kserve.shown import Facet, histories, shown
from tests.embedded_kserve.world import Json
from tests.embedded_kserve.world import World as Cluster
from tests.support.recordings import Recording, World

_RUNTIMES = "/apis/serving.kserve.io/v1alpha1/namespaces/{}/servingruntimes"
_SERVICES = "/apis/serving.kserve.io/v1beta1/namespaces/{}/inferenceservices"
_TOLD_LATE = 0.2  # seconds by which one watch of the real API server was behind another
_WAITED_FOR = {
    "Ready",
    "PredictorReady",
    "CanaryPredictorReady",
    "canaryStatuses",
    "traffic",
    "latestCreatedRevision",
    "latestReadyRevision",
    "url",
    "weights",
}


def play(cluster: Cluster, recording: Recording, models: Mapping[str, str]) -> Recording:
    """Play a scenario to its end.

    Args:
        cluster: the embedded KServe.
        recording: of the real one.
        models: what stands there in the real one's specifications, and what stands for it here.

    Returns:
        What the embedded one showed, from the first specification on.
    """
    namespace = recording.header["namespace"]
    _furnish(cluster, namespace)
    with Recorder(cluster.cluster, namespace).running() as recorder:
        began, *others = specifications(recording)
        _write(cluster, "POST", _SERVICES.format(namespace), _local(began[1], models))
        recorder.wait(_all_there, lambda world: f"the first model is never ready: {world.every('InferenceService')}")
        if not creates(recording):
            recorder.forget()
        for seconds, document in others:
            _await_recorded(recorder, recording.at(seconds - _TOLD_LATE))
            path = f"{_SERVICES.format(namespace)}/{recording.header['name']}"
            _write(cluster, "PUT", path, _local(document, models))
        _await_recorded(recorder, recording.at(float("inf")), at_the_end=True)
        recorder.catch_up()
        _write(cluster, "DELETE", f"{_SERVICES.format(namespace)}/{recording.header['name']}", None)
        return recorder.recording(recording.name)


def _furnish(cluster: Cluster, namespace: str) -> None:
    """The namespace, with the runtimes of the recordings: one of them has an image that is nowhere."""
    cluster.api.post("/api/v1/namespaces", {"metadata": {"name": namespace}})
    _, runtime = cluster.api.get(f"{_RUNTIMES.format('default')}/kubeline")
    for name, image in (("kubeline", ""), ("kubeline-broken", "registry.invalid/kubeline-python-serving:9.9.9")):
        spec = json.loads(json.dumps(runtime["spec"]))
        spec["containers"][0]["image"] = image or spec["containers"][0]["image"]
        _write(cluster, "POST", _RUNTIMES.format(namespace), {"metadata": {"name": name}, "spec": spec})


def creates(recording: Recording) -> bool:
    """Whether the first model was created by what was recorded, or was there before."""
    return specifications(recording)[0][0] > recording.lines[0].seconds


def specifications(recording: Recording) -> list[tuple[float, Json]]:
    """Each InferenceService as someone wrote it, with the time of its event."""
    found: list[tuple[float, Json]] = []
    for change in recording.of("InferenceService"):
        meta = change.object["metadata"]
        notes = {k: v for k, v in meta.get("annotations", {}).items() if k not in _KSERVES_OWN}
        kept = {"name": meta["name"], "namespace": meta["namespace"], "annotations": notes, "labels": meta["labels"]}
        written = {"metadata": kept, "spec": change.object["spec"]}
        if not found or found[-1][1] != written:
            found.append((change.seconds, written))
    return found


_KSERVES_OWN = {"modelFormat", "serving.kserve.io/deploymentMode"}


def _local(document: Json, models: Mapping[str, str]) -> Json:
    text = json.dumps(document)
    for remote, here in models.items():
        text = text.replace(f'"{remote}"', f'"{here}"')
    return {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", **json.loads(text)}


def _write(cluster: Cluster, method: str, path: str, document: Any) -> None:
    code, answer = cluster.api.call(method, path, document)
    assert code in {200, 201}, answer


def _all_there(world: World) -> bool:
    """The first model is ready, with all its pods."""
    reported = {facet.aspect: value for facet, value in shown(world).items() if facet.kind == "InferenceService"}
    minimum = [one["spec"]["predictor"]["minReplicas"] for one in world.every("InferenceService")]
    replicas = [one.get("status", {}).get("readyReplicas") for one in world.every("Deployment")]
    steady = reported.get("PredictorReady", ())[:2] in {("True", ""), ("True", "NewReplicaSetAvailable")}
    return steady and reported.get("Ready", ())[:1] == ("True",) and replicas == minimum


def _await_recorded(recorder: Recorder, recorded: World, at_the_end: bool = False) -> None:
    """Wait until the embedded KServe shows what was recorded, as far as anyone would have waited for it."""

    def reported(world: World) -> dict[Facet, Any]:
        return {facet: value for facet, value in shown(world).items() if _waited_for(facet, value, at_the_end)}

    wanted, behind = reported(recorded), _behind(recorded)

    def looked(world: World) -> dict[Facet, Any]:
        # An autoscaler looks from time to time: it may have looked here before it did there, and only the look that
        # was recorded is waited for.
        return {
            facet: v
            for facet, v in reported(world).items()
            if facet.kind != "HorizontalPodAutoscaler" or facet in wanted
        }

    recorder.wait(lambda world: looked(world) == wanted, lambda world: _difference(wanted, looked(world)))
    recorder.wait(lambda _: behind <= _met(recorder), lambda _: f"never shown: {behind - _met(recorder)}")


def _waited_for(facet: Facet, value: Any, at_the_end: bool) -> bool:
    """What a rollout reads; the stable model's replicas are another matter (see the named differences)."""
    if facet.kind == "Deployment":
        return "CANARY" in facet.name and facet.aspect in {"replicas", "Available"}
    if facet.kind == "HorizontalPodAutoscaler":
        looked = value[1:2] == ("SucceededGetScale",) and "CANARY" in facet.name
        return looked or (at_the_end and facet.aspect == "AbleToScale")
    return facet.kind in {"InferenceService", "HTTPRoute"} and facet.aspect in _WAITED_FOR


def _behind(world: World) -> set[tuple[Facet, Any]]:
    """What comes after all that is waited for: the next write must not forestall it. It may pass, and is met once."""
    there = {(facet, value) for facet, value in shown(world).items() if facet.aspect in {"model", "replicas"}}
    return {(facet, value) for facet, value in there if named(facet, value, "recorded") is None}


def _met(recorder: Recorder) -> set[tuple[Facet, Any]]:
    return {(facet, value) for facet, values in histories(recorder.recording("")).items() for value in values}


def _difference(wanted: Mapping[Facet, Any], found: Mapping[Facet, Any]) -> str:
    keys = sorted({*wanted, *found}, key=str)
    lines = [f"{key}: {wanted.get(key)} recorded, {found.get(key)} here" for key in keys]
    return "\n".join(line for key, line in zip(keys, lines, strict=True) if wanted.get(key) != found.get(key))
