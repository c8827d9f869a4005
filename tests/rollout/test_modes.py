"""What the traps of KServe's two modes look like, and that none of them is believed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubeline.kubernetes.merge import merge, replacing
from kubeline.rollout.routers import ClusterSnapshot, KnativeRouter, StandardRouter
from kubeline.rollout.status import DeployedModel, Versions
from kubeline.serving_platform.endpoint_view import DIGEST_VARIABLE
from tests.rollout.house import House
from tests.support.kserve_objects import CANDIDATE, STABLE, VERSIONS, pods, route, service

KEDA = Path(__file__).parents[2] / "manifests" / "autoscaling" / "keda.yaml"
knative, standard = KnativeRouter(), StandardRouter()


def revisions(created: str, ready: str, *traffic: tuple[str, int]) -> ClusterSnapshot:
    targets = [
        {"revisionName": name, "percent": percent, "latestRevision": n == 0}
        for n, (name, percent) in enumerate(traffic)
    ]
    component = {"latestCreatedRevision": created, "latestReadyRevision": ready, "traffic": targets}
    return ClusterSnapshot(service(status={"components": {"predictor": component}}))


def test_while_a_revision_is_not_ready_ten_per_cent_of_the_latest_are_the_stable_one_s() -> None:
    seen = knative.observe(revisions("f-2", "f-1", ("f-1", 10), ("f-1", 90)), VERSIONS)
    assert (seen.ready, seen.share, seen.stable_share) == (False, 0, 100)


def test_a_ready_revision_has_the_share_that_the_route_reports() -> None:
    seen = knative.observe(revisions("f-2", "f-2", ("f-2", 10), ("f-1", 90)), VERSIONS)
    assert (seen.ready, seen.share, seen.revision) == (True, 10, "f-2")


def test_the_stable_revision_is_never_taken_for_a_ready_candidate() -> None:
    seen = knative.observe(revisions("f-1", "f-1", ("f-1", 100)), VERSIONS)
    assert (seen.ready, seen.revision) == (False, "")


def test_a_share_that_does_not_add_up_is_not_known() -> None:
    assert knative.observe(revisions("f-2", "f-2", ("f-2", 10)), VERSIONS).share is None


def test_a_knative_service_is_reached_at_an_address_outside_once_kserve_is_ready() -> None:
    def unreached(url: str, ready: str) -> str:
        conditions = [{"type": "Ready", "status": ready}]
        return knative.observe(
            ClusterSnapshot(service(status={"url": url, "conditions": conditions})), VERSIONS
        ).unreachable

    assert unreached("http://f.n.example.com", "True") == ""
    assert "not say that it is ready at f.n.example.com" in unreached("http://f.n.example.com", "Unknown")
    assert "f.n.svc.cluster.local is one inside" in unreached("http://f.n.svc.cluster.local", "True")
    assert unreached("", "True") == "it has no address"


def test_a_standard_service_is_reached_by_its_own_route_once_the_gateway_has_accepted_it() -> None:
    def named(name: str, *accepted: str) -> dict[str, Any]:
        parents = [{"conditions": [{"type": "Accepted", "status": status}]} for status in accepted]
        return {**route(f_predictor=1), "metadata": {"name": name}, "status": {"parents": parents}}

    def unreached(*routes: dict[str, Any]) -> str:
        return standard.observe(ClusterSnapshot(service(), routes), VERSIONS).unreachable

    assert unreached(named("f", "True")) == ""
    for routes in ((), (named("f-predictor", "True"),)):
        assert unreached(*routes) == "there is no HTTPRoute f, nor an Ingress that this service account may get"
    assert unreached(named("f")) == "no gateway has taken up the HTTPRoute f"
    for parents in (("False",), ("True", "False")):
        assert unreached(named("f", *parents)) == "the gateway has not accepted the HTTPRoute f (it says nothing)"


def test_where_there_is_only_an_ingress_nothing_else_is_asked_for() -> None:
    assert standard.observe(ClusterSnapshot(service(), None), VERSIONS).unreachable == ""
    with_ingress = ClusterSnapshot(service(), [], ingress={"metadata": {"name": "f"}})
    assert standard.observe(with_ingress, VERSIONS).unreachable == ""


def test_a_canary_status_that_claims_twenty_is_not_believed_over_the_route() -> None:
    status = {"canaryStatuses": [{"name": "v2", "ready": True, "trafficPercent": 20}]}
    world = ClusterSnapshot(
        service(status=status, canary=[{"predictor": {"name": "v2"}, "trafficPercent": 20}]), [route(f_predictor=1)]
    )
    assert standard.observe(world, VERSIONS).share == 0


def test_weights_are_shares_of_their_sum_and_routes_must_agree() -> None:
    weighted = route(f_predictor=3, f_v2_predictor=1)
    assert standard.observe(ClusterSnapshot(service(), [weighted]), VERSIONS).share == 25
    assert standard.observe(ClusterSnapshot(service(), [weighted, route(f_predictor=1)]), VERSIONS).share is None
    assert standard.observe(ClusterSnapshot(service(), []), VERSIONS).share is None


def test_a_route_that_no_gateway_follows_gives_nobody_a_share() -> None:
    weighted = route(f_predictor=75, f_v2_predictor=25)
    assert standard.observe(ClusterSnapshot(service(), [{**weighted, "status": {}}]), VERSIONS).share is None
    behind = merge(weighted, {"metadata": {"generation": 2}})
    behind["status"]["parents"][0]["conditions"][0]["observedGeneration"] = 1
    seen = standard.observe(ClusterSnapshot(service(), [behind]), VERSIONS)
    assert (seen.share, seen.problem) == (None, "the gateway has not reconciled the HTTPRoute f as it is now")
    refs = {"type": "ResolvedRefs", "status": "False", "reason": "BackendNotFound", "message": "service f not found"}
    lost = {**weighted, "status": {"parents": [{"conditions": [{"type": "Accepted", "status": "True"}, refs]}]}}
    assert (
        "not resolved the HTTPRoute f (BackendNotFound: service f"
        in standard.observe(ClusterSnapshot(service(), [lost]), VERSIONS).problem
    )


def test_a_canary_has_pods_before_it_has_traffic_and_no_autoscaling() -> None:
    entry = standard.add_candidate(service(), VERSIONS, 5, 4)["spec"]["canary"][0]
    assert entry["trafficPercent"] == 0
    assert entry["predictor"]["minReplicas"] == 1
    assert "maxReplicas" not in entry["predictor"]
    assert entry["predictor"]["model"]["name"] == ""  # the CRD wants it


def kserve_runs(spec: dict[str, Any]) -> tuple[int, int]:
    """Pods of the stable model and of the canary, as KServe reckons them while the canary is ready."""
    canary = spec["canary"][0]["predictor"]["minReplicas"]
    return max(spec["predictor"].get("minReplicas", 1) - canary, 1), canary


def test_of_four_pods_the_stable_model_keeps_four_at_every_share_and_the_candidate_has_enough_before_its_own() -> None:
    live, seen = merge(service(), standard.add_candidate(service(), VERSIONS, 25, 4)), []
    for share in (25, 50, 100):
        live = merge(live, standard.scale(live, VERSIONS, share, 4))
        before = live["spec"]["canary"][0]["trafficPercent"]
        seen.append((before, *kserve_runs(live["spec"])))
        live = merge(live, standard.shift(live, VERSIONS, share))
        assert kserve_runs(live["spec"]) == seen[-1][1:]  # the share moves without a pod
    assert seen == [(0, 4, 1), (25, 4, 2), (50, 4, 4)]


def test_of_two_pods_the_stable_model_keeps_both_at_five_per_cent() -> None:
    before = {**STABLE, "minReplicas": 2}
    two = replace(VERSIONS, stable=DeployedModel(before, revision="f-1"))
    started = merge(service(before), standard.add_candidate(service(before), two, 5, 2))
    assert kserve_runs(started["spec"]) == (2, 1)


def test_pods_that_an_autoscaler_has_added_count_and_those_that_the_rollout_asked_for_do_not() -> None:
    live = merge(
        service(), standard.add_candidate(service(), VERSIONS, 25, 4)
    )  # minReplicas are 5 now, and for a while pods too
    assert kserve_runs(merge(live, standard.scale(live, VERSIONS, 50, 5))["spec"]) == (4, 2)
    assert kserve_runs(merge(live, standard.scale(live, VERSIONS, 50, 10))["spec"]) == (4, 5)
    assert kserve_runs(merge(live, standard.scale(live, replace(VERSIONS, stable_pods=8), 50, 0))["spec"]) == (4, 4)


def test_the_most_replicas_make_room_for_the_fewest_and_all_of_it_comes_back() -> None:
    for before in ({"minReplicas": 2, "maxReplicas": 2}, {"minReplicas": 2}, {"maxReplicas": 9}, {}):
        predictor = {"model": STABLE["model"], **before}
        who = replace(VERSIONS, stable=DeployedModel(predictor, revision="f-1"))
        beside = merge(service(predictor), standard.add_candidate(service(predictor), who, 50, 0))
        raised = beside["spec"]["predictor"]
        assert raised["minReplicas"] <= raised.get("maxReplicas", 99)
        assert ("maxReplicas" in raised) == ("maxReplicas" in before)
        assert merge(beside, standard.restore(beside, who))["spec"] == {"predictor": predictor}


def test_the_ready_pods_of_both_sides_are_counted_and_those_of_another_package_are_not() -> None:
    candidate = {**CANDIDATE, "model": {**CANDIDATE["model"], "env": [{"name": DIGEST_VARIABLE, "value": "new"}]}}
    who = Versions(DeployedModel(candidate, name="v2"), DeployedModel(STABLE, revision="f-predictor"))
    there = [*pods("f-predictor", 4, "old"), *pods("f-v2-predictor", 2, "new"), *pods("f-v2-predictor", 1, "old")]
    status = {"canaryStatuses": [{"name": "v2", "ready": True, "trafficPercent": 0}]}
    beside = service(status=status, canary=[{"predictor": {"name": "v2", "minReplicas": 3}, "trafficPercent": 0}])
    seen = standard.observe(ClusterSnapshot(beside, [], there), who)
    assert (seen.ready, seen.ready_pods, seen.wanted_pods, seen.stable_pods) == (False, 2, 3, 4)


def test_the_first_knative_model_has_an_address_only_when_all_of_the_route_leads_to_it() -> None:
    first = Versions(DeployedModel(CANDIDATE))

    def address(url: str, *traffic: tuple[str, int]) -> str:
        found = revisions("f-1", "f-1", *traffic)
        assert found.service is not None
        return knative.observe(ClusterSnapshot(merge(found.service, {"status": {"url": url}})), first).candidate_url

    assert address("", ("f-1", 100)) == ""
    assert address("http://f.example.com") == ""
    assert address("http://f.example.com", ("f-1", 0), ("f-0", 100)) == ""
    assert address("http://f.example.com", ("f-1", 100)) == "http://f.example.com"


def test_a_quota_that_refuses_the_candidate_for_ever_has_been_seen_by_kserve() -> None:
    refused = [{"type": "PredictorReady", "status": "False", "reason": "ReconcileFailed", "message": "exceeded quota"}]
    found = revisions("f-1", "f-1", ("f-1", 100)).service
    assert found is not None
    found["spec"]["predictor"]["canaryTrafficPercent"] = 0
    who = Versions(DeployedModel(CANDIDATE), DeployedModel(STABLE, revision="f-1"))
    assert not knative.observe(ClusterSnapshot(found), who).current
    seen = knative.observe(ClusterSnapshot(merge(found, {"status": {"conditions": refused}})), who)
    assert (seen.current, seen.share, seen.stable_share) == (True, 0, 100)


def test_promotion_in_standard_mode_is_one_patch_of_name_model_and_canary() -> None:
    promoted = merge(service(canary=[{}]), standard.promote(service(canary=[{}]), VERSIONS))
    assert promoted["spec"] == {"predictor": {**CANDIDATE, "name": "v2"}}


def test_the_stable_predictor_comes_back_without_traffic_until_it_is_ready() -> None:
    patched = merge(service(CANDIDATE), knative.restore(service(CANDIDATE), VERSIONS))
    assert patched["spec"]["predictor"] == {**STABLE, "canaryTrafficPercent": 0}


def test_a_cluster_that_cannot_split_is_reported_why() -> None:
    routes = [route(f_predictor=1)]
    assert standard.refusal(ClusterSnapshot(service(), routes), VERSIONS) == ""
    assert "no Gateway API" in standard.refusal(ClusterSnapshot(service(), None), VERSIONS)
    assert "enableGatewayApi" in standard.refusal(ClusterSnapshot(service(), []), VERSIONS)
    assert "minReplicas 0" in standard.refusal(ClusterSnapshot(service({**STABLE, "minReplicas": 0}), routes), VERSIONS)
    assert "storage URI" in standard.refusal(ClusterSnapshot(service(CANDIDATE), routes), VERSIONS)
    foreign = service(canary=[{"predictor": {"name": "theirs"}}])
    assert "theirs" in standard.refusal(ClusterSnapshot(foreign, routes), VERSIONS)


def test_a_replacing_patch_leaves_exactly_what_is_wanted() -> None:
    live = {"a": 1, "b": {"c": 2, "d": 3}, "e": [1]}
    wanted = {"b": {"c": 4}, "e": [2], "f": {}}
    assert merge(live, replacing(live, wanted)) == wanted


def test_a_canary_of_a_service_that_keda_scales_has_no_autoscaler_of_its_own() -> None:
    live = service()
    assert "annotations" not in standard.add_candidate(live, VERSIONS, 5, 4)["spec"]["canary"][0]["predictor"]
    live["metadata"]["annotations"] = {"serving.kserve.io/autoscalerClass": "keda"}
    patch = standard.add_candidate(live, VERSIONS, 5, 4)
    (canary,) = patch["spec"]["canary"]
    assert canary["predictor"]["annotations"] == {"serving.kserve.io/autoscalerClass": "none"}
    assert "annotations" not in standard.promote(merge(live, patch), VERSIONS)["spec"]["predictor"]


@pytest.mark.parametrize("house", ["standard"], indirect=True)
def test_a_service_that_keda_scales_gets_its_candidate_promoted(house: House) -> None:
    parameters = yaml.safe_load(KEDA.read_text(encoding="utf-8"))["service"]["overrides"]
    first = house.roll_out(house.package("first"), overrides=parameters, bootstrap="direct")
    assert first.outcome == "promoted", first.reason
    record = house.roll_out(house.package("second"), overrides=parameters, steps=[50])
    assert (record.outcome, house.serving()) == ("promoted", house.package("second").digest), record.reason
    assert house.service()["spec"]["predictor"]["autoScaling"] == parameters["spec"]["predictor"]["autoScaling"]
