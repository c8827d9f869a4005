"""The embedded KServe plays what was recorded of a real one, and shows the same: kinds, order, conditions, weights."""

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from kubeline.model_package import ModelPackage
from tests.embedded_kserve.differences import DIFFERENCES, Difference, named
from tests.embedded_kserve.play import creates, play, specifications
from tests.embedded_kserve.shown import Facet, first_shown, histories, since
from tests.embedded_kserve.world import World
from tests.support.packages import write_tiny_package
from tests.support.recordings import NAMES, Recording, read

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parents[2] / "docs" / "embedded-kserve.md"
SCENARIOS = (
    "knative-01-bootstrap-hidden",
    "knative-02-good",
    "knative-03-bad",
    "knative-04-never-ready",
    "knative-09-quota",
    "knative-10-bad-image",
    "standard-01-bootstrap-hidden",
    "standard-02-good",
    "standard-03-bad",
    "standard-04-never-ready",
    "standard-07-four-replicas",
    "standard-09-quota",
    "standard-10-bad-image",
)
# Here it is chance what comes first: how long a download takes, and which of two controllers writes last.
RACES = {("InferenceService", "model"), ("KnativeService", "Ready")}
ORDER = {
    "standard-02-good": (
        ("Deployment", "flights-CANARY-predictor", "replicas", "(1,)"),
        ("HTTPRoute", "flights", "weights", "(('flights-predictor', 100),),)"),
        ("Deployment", "flights-CANARY-predictor", "Available", "True"),
        ("HTTPRoute", "flights", "weights", "('flights-CANARY-predictor', 0)"),
        ("InferenceService", "flights", "CanaryPredictorReady", "True"),
        ("HTTPRoute", "flights", "weights", "('flights-predictor', 95), ('flights-CANARY-predictor', 5)"),
        ("InferenceService", "flights", "canaryStatuses", "('CANARY', True, 5)"),
        ("HTTPRoute", "flights", "weights", "('flights-predictor', 75), ('flights-CANARY-predictor', 25)"),
        ("InferenceService", "flights", "canaryStatuses", "('CANARY', True, 25)"),
        ("HorizontalPodAutoscaler", "flights-CANARY-predictor", "bounds", "(2, 2)"),
        ("HTTPRoute", "flights", "weights", "('flights-predictor', 50), ('flights-CANARY-predictor', 50)"),
        ("Deployment", "flights-CANARY-predictor", "replicas", "(2,)"),
        ("HTTPRoute", "flights", "weights", "('flights-predictor', 0), ('flights-CANARY-predictor', 100)"),
        ("HTTPRoute", "flights", "ResolvedRefs", "BackendNotFound"),
        ("HTTPRoute", "flights", "weights", "(('flights-CANARY-predictor', 1),)"),
        ("InferenceService", "flights", "IngressReady", "BackendNotFound"),
        ("InferenceService", "flights", "address", "flights-CANARY-predictor"),
    ),
    "standard-03-bad": (
        ("HTTPRoute", "flights", "weights", "('flights-predictor', 95), ('flights-CANARY-predictor', 5)"),
        ("HTTPRoute", "flights", "ResolvedRefs", "BackendNotFound"),
        ("InferenceService", "flights", "IngressReady", "BackendNotFound"),
    ),
    "knative-02-good": (
        ("KnativeService", "flights-predictor", "wanted", "('', 0, 'latest')"),
        ("Configuration", "flights-predictor", "latestCreatedRevisionName", "00002"),
        ("Revision", "flights-predictor-00002", "Ready", "Deploying"),
        ("Deployment", "flights-predictor-00002-deployment", "replicas", "(2,)"),
        ("Configuration", "flights-predictor", "latestReadyRevisionName", "00002"),
        ("KnativeService", "flights-predictor", "RoutesReady", "TrafficNotMigrated"),
        ("InferenceService", "flights", "latestReadyRevision", "00002"),
        ("InferenceService", "flights", "traffic", "('flights-predictor-00002', 0, 'latest'"),
        ("KnativeService", "flights-predictor", "wanted", "('', 5, 'latest')"),
        ("Route", "flights-predictor", "wanted", "('', 5, 'latest')"),
        ("Ingress", "flights-predictor", "hosts", "('flights-predictor-00002', 5)"),
        ("Route", "flights-predictor", "traffic", "('flights-predictor-00002', 5, 'latest'"),
        ("KnativeService", "flights-predictor", "traffic", "('flights-predictor-00002', 5, 'latest'"),
        ("InferenceService", "flights", "traffic", "('flights-predictor-00002', 5, 'latest'"),
        ("KnativeService", "flights-predictor", "wanted", "(('', 100, 'latest'),)"),
        (
            "Ingress",
            "flights-predictor",
            "hosts",
            "('flights-predictor-00002', 100),))), ('flights-predictor.NAMESPACE.e",
        ),
        ("Route", "flights-predictor", "traffic", "('flights-predictor-00002', 100, 'latest'"),
        ("InferenceService", "flights", "latestRolledoutRevision", "00002"),
    ),
    "knative-10-bad-image": (
        ("Configuration", "flights-predictor", "latestCreatedRevisionName", "00002"),
        ("Revision", "flights-predictor-00002", "Ready", "ContainerMissing"),
        ("Configuration", "flights-predictor", "Ready", "RevisionFailed"),
        ("KnativeService", "flights-predictor", "Ready", "RevisionFailed"),
        ("InferenceService", "flights", "PredictorReady", "RevisionFailed"),
    ),
}
_WITHOUT_PODS = {"knative-09-quota": "k09-quota/flights-predictor-00002", "standard-09-quota": "s09-quota/flights-v"}
_AT_ONCE = 3  # scenarios that are played beside each other
_BEFORE = 0.3  # seconds before the first specification that was written

Played = Mapping[str, Future[Recording]]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Addresses and digests of the recorded packages, and what stands for them."""
    folder = tmp_path_factory.mktemp("models")
    digests = {"stable": "3f31abddd360", "good": "8a0b23676596", "wrong": "ff17b893ebe6"}
    text = json.dumps([change.object for name in SCENARIOS for change in read(name).of("InferenceService")])
    found = {}
    for name, short in digests.items():
        package: ModelPackage = write_tiny_package(folder / name, reference={"made for": name})
        found[f"s3://models/{name}"] = package.path.as_uri()
        found |= dict.fromkeys(re.findall(rf"\b{short}[0-9a-f]{{52}}\b", text), package.digest)
    return found


@pytest.fixture(scope="module")
def played(knative: World, standard: World, models: dict[str, str]) -> Played:
    """Every scenario, played once; an error of one is raised to whoever asks for it."""
    worlds = {"knative": knative, "standard": standard}
    for name, component in _WITHOUT_PODS.items():
        worlds[name.partition("-")[0]].cluster.faults.pods("quota", component)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return {n: pool.submit(play, worlds[n.partition("-")[0]], read(n), models) for n in SCENARIOS}


@pytest.mark.parametrize("name", SCENARIOS)
def test_everything_that_was_recorded_is_shown(played: Played, name: str) -> None:
    here = {facet: set(values) for facet, values in histories(played[name].result()).items()}
    missing = [
        (facet, value)
        for facet, values in histories(recorded(name)).items()
        for value in dict.fromkeys(values)
        if value is not None and value not in here.get(facet, ()) and named(facet, value, "recorded") is None
    ]
    assert missing == []


@pytest.mark.parametrize("name", SCENARIOS)
def test_nothing_is_shown_that_was_never_recorded(played: Played, name: str) -> None:
    known = ever_recorded(name.partition("-")[0])
    new = [
        (facet, value)
        for facet, values in histories(played[name].result()).items()
        for value in dict.fromkeys(values)
        if value is not None
        and nameless(value) not in known[facet.kind, facet.aspect]
        and named(facet, value, "embedded") is None
    ]
    assert new == []


@pytest.mark.parametrize("name", SCENARIOS)
def test_each_aspect_changes_in_the_recorded_order(played: Played, name: str) -> None:
    here = histories(played[name].result())
    wrong = []
    for facet, values in histories(recorded(name)).items():
        if facet[::2] in RACES:
            continue
        both = [value for value in dict.fromkeys(values) if value in here.get(facet, ()) and not chance(facet, value)]
        ours = [value for value in dict.fromkeys(here.get(facet, ())) if value in both]
        if once(both, values) != once(ours, values):
            wrong.append((facet, both, ours))
    assert wrong == []


@pytest.mark.parametrize("name", ORDER)
def test_one_object_follows_another_as_recorded(played: Played, name: str) -> None:
    for recording in (recorded(name), played[name].result()):
        shown = first_shown(recording)
        times = [
            min((seconds for item, seconds in shown.items() if reported(item, step)), default=None)
            for step in ORDER[name]
        ]
        assert None not in times, ORDER[name][times.index(None)]
        assert times == sorted(times, key=lambda seconds: seconds or 0.0), [*zip(ORDER[name], times, strict=True)]


def test_every_difference_has_its_reason_in_the_documentation() -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert [one.name for one in DIFFERENCES if f"**{one.name}.**" not in text] == []


def test_every_difference_is_one(played: Played) -> None:
    met: set[Difference | None] = set()
    for name in SCENARIOS:
        here, there = histories(played[name].result()), histories(recorded(name))
        for facet in {*here, *there}:
            ours, theirs = set(here.get(facet, ())), set(there.get(facet, ()))
            met |= {named(facet, value, "recorded") for value in theirs - ours}
            met |= {named(facet, value, "embedded") for value in ours - theirs}
    assert [one for one in DIFFERENCES if one not in met and not one.chance] == []


@cache
def recorded(name: str) -> Recording:
    """The recording from its first change of a specification on, or whole where it begins with the creation."""
    whole = read(name)
    return whole if creates(whole) or len(specifications(whole)) == 1 else since(whole, began(whole))


def began(recording: Recording) -> float:
    return specifications(recording)[1][0] - _BEFORE


@cache
def ever_recorded(mode: str) -> dict[tuple[str, str], set[Any]]:
    """The values of each aspect of each kind, in all recordings of a mode."""
    found: dict[tuple[str, str], set[Any]] = defaultdict(set)
    for name in NAMES:
        if name.startswith(mode):
            for facet, values in histories(read(name)).items():
                found[facet.kind, facet.aspect] |= set(map(nameless, values))
    return found


def nameless(value: Any) -> Any:
    """Without the number of a revision."""
    if isinstance(value, tuple):
        return tuple(map(nameless, value))
    return re.sub(r"-0000\d", "-NUMBER", value) if isinstance(value, str) else value


def chance(facet: Facet, value: Any) -> bool:
    """Whether it is chance that this is shown at all; that nothing is there is no value."""
    difference = named(facet, value, "embedded")
    return value is None or (difference is not None and difference.chance)


def once(values: list[Any], history: list[Any]) -> list[Any]:
    """Without what was shown several times: which of them came first says little."""
    return [value for value in values if history.count(value) == 1]


def reported(item: tuple[Facet, Any], step: tuple[str, str, str, str]) -> bool:
    """Whether this is what a step of `ORDER` speaks of."""
    (kind, name, aspect), value = item
    return (kind, name, aspect) == step[:3] and step[3] in str(value)
