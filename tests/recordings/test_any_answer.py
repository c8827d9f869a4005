"""Recorded objects with one field that lies: an answer is refused at the boundary, or can be observed."""

import copy
import functools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from kubeline.kubernetes.replies import without_nulls
from kubeline.kubernetes.resources import DEPLOYMENT, EVENT, HTTP_ROUTE, INFERENCE_SERVICE, POD, Resource
from kubeline.kubernetes.schemas import misshapen
from kubeline.rollout.analysis.pages import addresses
from kubeline.rollout.comparison import compare, written
from kubeline.rollout.routers import ClusterSnapshot, mode_of, predictor_digest
from kubeline.rollout.status import Lease, RolloutStatus, State, WriteStatus
from tests.recordings.rollouts import candidate_of, router, world
from tests.support import recordings as reader

GONE = object()
VALUES: list[Any] = [GONE, "", "x", -1, 10**30, 1.5, True, [], {}, [{}], ["x"], {"x": "y"}]
RECORDED = {"standard-09-quota": 0.6, "knative-10-bad-image": 0.6}  # names, and which part of it was over
Path = tuple[str | int, ...]


@functools.cache
def moment(name: str) -> tuple[ClusterSnapshot, dict[Resource, list[Any]]]:
    """A moment in the middle of a rollout, and what is read of it by kind."""
    recording = reader.read(name)
    now = recording.at(RECORDED[name] * recording.changes[-1].seconds)
    found = world(now, recording)
    snapshot = replace(found, events=now.every("Event")[:20])
    objects: dict[Resource, list[Any]] = {
        INFERENCE_SERVICE: [found.service],
        HTTP_ROUTE: list(found.routes or [])[:1],
        POD: list(found.pods or [])[:2],
        DEPLOYMENT: [found.deployment] if found.deployment else [],
        EVENT: list(snapshot.events)[:1],
    }
    return snapshot, objects


def paths(document: Any, above: Path = ()) -> Iterator[Path]:
    """Where the values of a document are, without what the server keeps for itself."""
    children: Any = document.items() if isinstance(document, dict) else []
    if isinstance(document, list):
        children = enumerate(document[:2])
    for key, value in children:
        if key not in {"managedFields", "volumes", "resources", "affinity"}:
            yield (*above, key)
            yield from paths(value, (*above, key))


def lying(document: Any, path: Path, value: Any) -> Any:
    """The document with one value that is another one."""
    made = copy.deepcopy(document)
    parent = functools.reduce(lambda found, key: found[key], path[:-1], made)
    if value is GONE:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return without_nulls(made)


def lies(objects: dict[Resource, list[Any]]) -> Iterator[tuple[Resource, Any, Any]]:
    """Kind, object, and the object with a lie: of each value a few, and in all of them every one."""
    for kind, documents in objects.items():
        for document in documents:
            for number, path in enumerate(paths(document)):
                for value in VALUES[number % 4 :: 4]:
                    yield kind, document, lying(document, path, value)


def with_lie(snapshot: ClusterSnapshot, kind: Resource, old: Any, new: Any) -> ClusterSnapshot:
    def put(objects: Any) -> list[Any]:
        return [new if one is old else one for one in objects or []]

    if kind is INFERENCE_SERVICE:
        return replace(snapshot, service=new)
    if kind is DEPLOYMENT:
        return replace(snapshot, deployment=new)
    if kind is HTTP_ROUTE:
        return replace(snapshot, routes=put(snapshot.routes))
    if kind is POD:
        return replace(snapshot, pods=put(snapshot.pods))
    return replace(snapshot, events=put(snapshot.events))


@pytest.mark.parametrize("name", RECORDED)
def test_an_answer_with_one_field_that_lies_is_refused_or_observed(name: str) -> None:
    recording = reader.read(name)
    snapshot, objects = moment(name)
    versions, mode = candidate_of(name)[1], router(recording)
    status = RolloutStatus(
        rollout_id="r", name=recording.header["name"], namespace="models", lease=Lease("me", 0), versions=versions,
        mode=mode_of(snapshot.service or {}), state=State.BAKING, write=WriteStatus(),
    )  # fmt: skip
    believed = 0
    for kind, document, found in lies(objects):
        if misshapen(found, kind, document["metadata"]["namespace"], ""):
            continue
        believed += 1
        seen = with_lie(snapshot, kind, document, found)
        observed = mode.observe(seen, versions)
        assert observed.share is None or 0 <= observed.share <= 100
        addresses(seen.pods or [], "models", observed.revision, "")
        if kind is INFERENCE_SERVICE:
            predictor_digest(found["spec"]["predictor"], found)
            compare(replace(status, write=written(status.write, found)), found, "")
            mode.refusal(seen, versions)
            for patch in (
                mode.shift(found, versions, 50),
                mode.restore(found, versions),
                mode.promote(found, versions),
            ):
                assert patch
    assert believed > 100
