"""What a rollout would have seen of each recorded cluster: ready or not, share, pods, and what was wrong."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from kubeline.deployment.inference_service import HIDDEN_BY
from kubeline.kubernetes.resources import Manifest
from kubeline.rollout.routers import Observation, StandardRouter, router_of
from kubeline.rollout.routers.diagnosis import unprogrammed
from kubeline.rollout.status import DeployedModel, DeploymentMode, Versions
from kubeline.serving_platform.endpoint_view import DIGEST_VARIABLE
from tests.recordings.rollouts import candidate_of, router, world
from tests.support import recordings as reader

standard = StandardRouter()


def seen(name: str) -> Iterator[tuple[float, Observation]]:
    """What is observed of each moment until the rollout has gone on from it, with its seconds."""
    recording = reader.read(name)
    mode = router(recording)
    sides = candidate_of(name)[1]
    for seconds, moment in recording.moments():
        if moment.find("InferenceService", recording.header["name"]) is not None:
            yield seconds, mode.observe(world(moment, recording), sides)


def at(name: str, text: str, seconds: float = 0.0) -> Observation:
    """What was observed when the rollout first said this, or so many seconds later."""
    recording = reader.read(name)
    moment = recording.at(recording.said(text) + seconds)
    return router(recording).observe(world(moment, recording), candidate_of(name)[1])


def changes(name: str, until: str) -> list[int]:
    """The shares that are known, each once, up to a line of the rollout."""
    end = reader.read(name).said(until)
    known = [one.share for seconds, one in seen(name) if seconds <= end and one.share is not None]
    return [share for number, share in enumerate(known) if number == 0 or known[number - 1] != share]


@pytest.mark.parametrize("name", ["standard-02-good", "knative-02-good"])
def test_the_shares_of_a_good_candidate_rise_as_planned(name: str) -> None:
    assert changes(name, "done: promoted") == [0, 5, 25, 50, 100]


@pytest.mark.parametrize("name", ["standard-03-bad", "knative-03-bad"])
def test_the_share_of_a_bad_candidate_falls_to_nothing(name: str) -> None:
    assert changes(name, "rolled_back: rolled back") == [0, 5, 0]
    last = at(name, "rolled_back: rolled back")
    assert (last.share, last.stable_share, last.restored) == (0, 100, True)


@pytest.mark.parametrize("name", [n for n in reader.NAMES if n.startswith("standard")])
def test_no_share_is_known_while_the_gateway_has_not_followed_the_route(name: str) -> None:
    recording = reader.read(name)
    sides = candidate_of(name)[1]
    known = 0
    for _, moment in recording.moments():
        found = world(moment, recording)
        behind = [why for route in found.routes or [] if (why := unprogrammed(route))]
        if found.service is not None and behind:
            observed = standard.observe(found, sides)
            assert observed.share is None
            assert behind[0] in observed.problem
            known += 1
    assert known or name in {"standard-09-quota", "standard-04-never-ready", "standard-10-bad-image"}


def test_a_gateway_that_programmed_nothing_gives_nobody_5_per_cent() -> None:
    name = "standard-05x-gateway-down"
    observed = at(name, "bake: 5 % are observed")
    assert (observed.ready, observed.share) == (True, None)
    assert "no gateway has taken up the HTTPRoute flights" in observed.problem
    assert {one.share for _, one in seen(name)} == {None}
    begun = reader.read(name).said("bake: 5 % are observed")
    assert 200 not in {user.code for user in reader.read(name).users if user.seconds > begun}


def test_of_four_pods_two_were_left_when_the_candidate_had_25_per_cent_in_the_specification() -> None:
    """What KServe makes of a stable predictor whose minReplicas stay as they are."""
    recording = reader.read("standard-07-four-replicas")
    fewest = [c.object["spec"]["minReplicas"] for c in recording.of("HorizontalPodAutoscaler", "flights-predictor")]
    assert [n for i, n in enumerate(fewest) if i == 0 or fewest[i - 1] != n] == [4, 3, 2, 1]
    before, sides = candidate_of("standard-07-four-replicas")
    live = before
    for share in (25, 50, 100):
        change = standard.add_candidate if share == 25 else standard.scale
        live = {**live, "spec": {**live["spec"], **_patched(live, change(live, sides, share, 4))}}
        canary = live["spec"]["canary"][0]["predictor"]["minReplicas"]
        assert max(live["spec"]["predictor"]["minReplicas"] - canary, 1) == 4
        assert canary >= 4 * share / 100


def _patched(live: Manifest, patch: Manifest) -> Manifest:
    predictor = {**live["spec"]["predictor"], **patch["spec"]["predictor"]}
    return {"predictor": predictor, "canary": patch["spec"]["canary"]}


def test_a_share_was_live_some_25_s_before_its_second_pod_and_is_not_taken_for_ready() -> None:
    name = "standard-07-four-replicas"
    first = at(name, "shift: the candidate is given 25 %", 2.0)
    assert (first.share, first.ready, first.ready_pods, first.wanted_pods) == (25, False, 1, 2)
    baked = at(name, "bake: 25 % are observed")
    assert (baked.share, baked.ready, baked.ready_pods, baked.stable_pods) == (25, True, 2, 4)
    half = at(name, "shift: the candidate is given 50 %", 2.0)
    assert (half.share, half.ready, half.ready_pods, half.wanted_pods) == (50, False, 2, 4)


def test_a_slow_second_pod_is_what_is_missing_and_not_the_share() -> None:
    observed = at("standard-08b-slow-second-pod", "withdraw: back to the stable model")
    assert (observed.share, observed.ready, observed.ready_pods, observed.wanted_pods) == (50, False, 1, 2)


NEVER_READY = {
    "standard-04-never-ready": "Storage initialization failed: Failed to fetch model. No model found in none.",
    "knative-04-never-ready": "Storage initialization failed: Failed to fetch model. No model found in none.",
    "standard-09-quota": "exceeded quota: pods, requested: pods=1, used: pods=2, limited: pods=2",
    "knative-09-quota": "exceeded quota: pods, requested: pods=1, used: pods=2, limited: pods=2",
    "standard-10-bad-image": "kubeline-python-serving:9.9.9",
    "knative-10-bad-image": "unexpected status code 404 Not Found",
}


@pytest.mark.parametrize("name", NEVER_READY)
def test_a_candidate_that_is_never_ready_is_never_taken_for_ready_and_its_reason_is_reported(name: str) -> None:
    end = reader.read(name).said("withdraw: back to the stable model")
    until = [one for seconds, one in seen(name) if seconds <= end]
    assert not any(one.ready for one in until)
    assert {one.share for one in until} <= {0, None}
    observed = at(name, "withdraw: back to the stable model")
    assert NEVER_READY[name] in observed.problem
    assert observed.stable_pods == 2


EVENTS = {
    "standard-04-never-ready": "event of Pod flights-v78464fc-predictor-7fd4fc9658-nvxl8: BackOff (2 times): Back-off",
    "knative-04-never-ready": "event of Pod flights-predictor-00002-deployment-6c65d66c48-26jgf: BackOff (2 times)",
    "standard-09-quota": "event of ReplicaSet flights-vf743eb8-predictor-85b644fd88: FailedCreate (5 times): ",
    "standard-10-bad-image": "event of Pod flights-va5d5b67-predictor-8999bd799-9j2wc: Failed (3 times): Failed to",
    "knative-10-bad-image": "event of Revision flights-predictor-00002: InternalError (6 times): Unable to fetch image",
}


@pytest.mark.parametrize("name", EVENTS)
def test_of_all_events_those_of_the_candidate_that_is_not_ready_are_reported(name: str) -> None:
    recording = reader.read(name)
    moment = recording.at(recording.said("withdraw: back to the stable model"))
    warnings = [event for event in moment.every("Event") if event.get("type") == "Warning"]
    assert len(warnings) > 5
    found = replace(world(moment, recording), events=warnings, service=moment.find("InferenceService", "flights"))
    observed = router(recording).observe(found, candidate_of(name)[1])
    assert EVENTS[name] in observed.problem
    assert observed.problem.count("event of ") == 1


def test_in_standard_mode_a_failing_init_container_says_how_often_it_has_ended() -> None:
    reported = at("standard-04-never-ready", "withdraw: back to the stable model").problem
    assert "storage-initializer ended with exit code 1 (restarts: 3): " in reported


def test_a_quota_in_knative_mode_is_seen_by_kserve_and_not_waited_for() -> None:
    observed = at("knative-09-quota", "withdraw: back to the stable model")
    assert (observed.current, observed.share, observed.stable_share, observed.revision) == (True, 0, 100, "")


def test_the_first_knative_model_is_asked_only_once_it_has_an_address() -> None:
    name = "knative-01-bootstrap-hidden"
    recording = reader.read(name)
    services = (moment.find("InferenceService", recording.header["name"]) for _, moment in recording.moments())
    first = Versions(DeployedModel(next(service for service in services if service is not None)["spec"]["predictor"]))
    found = [
        (seconds, router_of(DeploymentMode.KNATIVE).observe(world(moment, recording), first))
        for seconds, moment in recording.moments()
        if moment.find("InferenceService", recording.header["name"]) is not None
    ]
    asked = [one for _, one in found if one.ready and one.candidate_url]
    assert asked[0].candidate_url == "http://flights-predictor.k01-bootstrap-hidden.svc.cluster.local"
    assert asked[0].share == 100
    assert all(one.share == 100 for one in asked)
    assert not any(one.candidate_url for seconds, one in found if not one.ready and seconds < recording.said("smoke:"))


def test_a_share_edited_from_outside_is_seen_as_it_is() -> None:
    for name in ("standard-11a-edit-percent", "knative-11a-edit-percent"):
        held = reader.read(name).said("held")
        before = [one.share for seconds, one in seen(name) if seconds <= held + 5 and one.share is not None]
        assert before[-1] not in {0, 5, 25, 100}, name


def test_a_revision_whose_pods_serve_another_package_is_not_the_candidates() -> None:
    recording = reader.read("knative-02-good")
    moment = world(recording.at(recording.said("smoke:")), recording)
    known = candidate_of("knative-02-good")[1]
    ours = replace(known, candidate=replace(known.candidate, revision=""))
    other = replace(ours, candidate=DeployedModel({"model": {"env": [{"name": DIGEST_VARIABLE, "value": "0" * 64}]}}))
    observe = router_of(DeploymentMode.KNATIVE).observe
    assert observe(moment, ours).revision == known.candidate.revision
    assert (observe(moment, other).revision, observe(moment, other).ready) == ("", False)


@pytest.mark.parametrize(
    ("name", "mode"), [("standard-01-bootstrap-hidden", "Standard"), ("knative-01-bootstrap-hidden", None)]
)
def test_the_webhook_names_the_mode_of_a_new_service_where_that_is_standard_mode(name: str, mode: str | None) -> None:
    first = reader.read(name).of("InferenceService", "flights")[0]
    assert (first.type, "deploymentMode" in first.object.get("status", {})) == ("ADDED", False)
    assert first.object["metadata"]["annotations"].get("serving.kserve.io/deploymentMode") == mode


def test_only_the_label_of_standard_mode_made_a_second_revision_of_an_exposed_first_model() -> None:
    made = reader.read("knative-01-bootstrap-hidden").of("Revision")
    first, second = (next(c.object for c in made if c.key[2] == f"flights-predictor-0000{number}") for number in (1, 2))
    assert first["spec"] == second["spec"]
    own = [
        {key: value for key, value in one["metadata"]["labels"].items() if not key.startswith("serving.knative.dev/")}
        for one in (first, second)
    ]
    assert own[0].items() - own[1].items() == {(HIDDEN_BY["standard"], "cluster-local")}
    assert own[1].items() <= own[0].items()
    assert HIDDEN_BY["knative"] not in own[0]
