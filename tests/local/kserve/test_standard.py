"""Standard mode: Deployments, canaries and HTTPRoutes, under real requests through Envoy."""

import json
import time
from typing import Any

import pytest

from kubeline.local.kserve.standard import ROUTE_LAG_SECONDS
from kubeline.model_package import ModelPackage
from tests.local.kserve.conftest import Packages
from tests.local.kserve.world import DEPLOYMENTS, PODS, ROUTES, Json, Service, World, condition, version

pytestmark = pytest.mark.slow


def canary(package: ModelPackage | str, percent: int, name: str = "v2", **predictor: Any) -> Json:
    uri = package if isinstance(package, str) else package.path.as_uri()
    model = {"name": "", "modelFormat": {"name": "kubeline"}, "storageUri": uri}
    return {"spec": {"canary": [{"trafficPercent": percent, "predictor": {"name": name, "model": model, **predictor}}]}}


def promotion(package: ModelPackage, name: str = "v2") -> Json:
    return {"spec": {"canary": [], "predictor": {"name": name, "model": {"storageUri": package.path.as_uri()}}}}


def weights(service: Service, route: str = "") -> dict[str, int]:
    found = service.object(ROUTES, route or service.name)
    assert found is not None
    return {backend["name"]: backend["weight"] for backend in found["spec"]["rules"][0]["backendRefs"]}


def test_a_canary_gets_its_percentage_then_everything_and_is_promoted_without_a_failed_request(
    standard: World, packages: Packages
) -> None:
    old, new = version(packages.first), version(packages.second)
    with standard.service("life", packages.first) as service:
        service.wait_ready()
        assert weights(service) == {"life-predictor": 1}
        with service.traffic(service.host) as always:
            service.change(canary(packages.second, 20, minReplicas=1))
            service.wait(lambda _: weights(service) == {"life-predictor": 80, "life-v2-predictor": 20}, "20 percent")
            assert weights(service, "life-predictor") == weights(service)
            service.wait(lambda _: service.ask_many(service.host, 40).answers[new], "split")
            split = service.ask_many(service.host, 400)
            assert 40 < split.answers[new] < 130  # binomial: 80 expected, 5 standard deviations are 40
            service.change(canary(packages.second, 100, minReplicas=1))
            service.wait(lambda _: set(service.ask_many(service.host, 30).answers) == {new}, "all of it")
            before = {pod["metadata"]["uid"] for pod in pods(service, "life-v2-predictor")}
            service.change(promotion(packages.second))
            service.wait(lambda _: weights(service) == {"life-v2-predictor": 1}, "promoted")
            assert {pod["metadata"]["uid"] for pod in pods(service, "life-v2-predictor")} == before  # the same pods
            assert service.object(DEPLOYMENTS, "life-predictor") is None
            document = service.wait_ready()
            assert condition(document, "CanaryPredictorReady") == "absent"
            assert "canaryStatuses" not in document["status"]
        assert always.failures == []
        assert set(always.answers) == {old, new}


def test_dropping_the_canary_gives_everything_back_to_the_stable_model(standard: World, packages: Packages) -> None:
    with standard.service("back", packages.first) as service:
        service.wait_ready()
        with service.traffic(service.host) as always:
            service.change(canary(packages.second, 50))
            service.wait(lambda _: weights(service).get("back-v2-predictor") == 50, "split")
            service.change(canary(packages.second, 0, minReplicas=1))
            service.wait(lambda _: weights(service).get("back-v2-predictor") == 0, "nothing")
            service.change({"spec": {"canary": None}})
            service.wait(lambda _: weights(service) == {"back-predictor": 1}, "dropped")
            assert set(service.ask_many(service.host, 20).answers) == {version(packages.first)}
        assert always.failures == []


def test_the_release_0_20_0_claims_a_split_and_makes_none(unsplit: World, packages: Packages) -> None:
    with unsplit.service("claim", packages.first) as service:
        service.wait_ready()
        service.change(canary(packages.second, 50, minReplicas=1))
        document = service.wait(lambda d: condition(d, "CanaryPredictorReady") == "True", "claimed")
        assert document["status"]["canaryStatuses"] == [{"name": "v2", "ready": True, "trafficPercent": 50}]
        assert weights(service) == {"claim-predictor": 1}
        assert set(service.ask_many(service.host, 40).answers) == {version(packages.first)}


def test_with_an_ingress_instead_of_the_gateway_api_nothing_is_split(standard: World, packages: Packages) -> None:
    config = "/api/v1/namespaces/kserve/configmaps/inferenceservice-config"
    _, before = standard.api.get(config)
    ingress = {**json.loads(before["data"]["ingress"]), "enableGatewayApi": False}
    assert standard.api.patch(config, {"data": {"ingress": json.dumps(ingress)}})[0] == 200
    try:
        with standard.service("plain", packages.first) as service:
            service.wait_ready()
            service.change(canary(packages.second, 50, minReplicas=1))
            service.wait(lambda d: condition(d, "CanaryPredictorReady") == "True", "claimed")
            assert service.object(ROUTES, "plain") is None
            assert set(service.ask_many(service.host, 40).answers) == {version(packages.first)}
    finally:
        standard.api.patch(config, {"data": before["data"]})


def test_the_canary_percentage_of_the_other_mode_is_ignored_without_a_word(standard: World, packages: Packages) -> None:
    with standard.service("ignored", packages.first) as service:
        service.wait_ready()
        service.model(packages.second, canaryTrafficPercent=10)
        service.wait(lambda _: set(service.ask_many(service.host, 10).answers) == {version(packages.second)}, "all")
        assert weights(service) == {"ignored-predictor": 1}


def test_a_canary_of_no_traffic_and_no_replicas_of_its_own_is_never_ready(standard: World, packages: Packages) -> None:
    with standard.service("none", packages.first) as service:
        service.wait_ready()
        service.change(canary(packages.second, 0))
        document = service.wait(lambda d: condition(d, "CanaryPredictorReady") != "absent", "told")
        assert document["status"]["canaryStatuses"][0]["ready"] is False
        deployment = service.object(DEPLOYMENTS, "none-v2-predictor")
        assert deployment is not None
        assert deployment["spec"]["replicas"] == 0
        assert pods(service, "none-v2-predictor") == []


def test_a_promotion_below_100_percent_fails_requests_until_the_route_follows(
    standard: World, packages: Packages
) -> None:
    with standard.service("hasty", packages.first) as service:
        service.wait_ready()
        service.change(canary(packages.second, 50))
        service.wait(lambda _: weights(service).get("hasty-v2-predictor") == 50, "split")
        with service.traffic(service.host) as always:
            service.change(promotion(packages.second))
            service.wait(lambda _: weights(service) == {"hasty-v2-predictor": 1}, "followed")
        assert set(always.failures) == {"503"}
        assert service.ask_many(service.host, 20).failures == []


def test_a_promotion_with_fewer_replicas_than_the_stable_model_holds_the_route_back(
    standard: World, packages: Packages
) -> None:
    with standard.service("thin", packages.first, minReplicas=2) as service:
        service.wait_ready()
        service.change(canary(packages.second, 50, minReplicas=1))
        service.wait(lambda _: weights(service).get("thin-v2-predictor") == 50, "split")
        standard.cluster.faults.pods("quota", "thin-v2-predictor")
        service.change(promotion(packages.second))
        service.wait(lambda d: condition(d, "PredictorReady") == "False", "not available")
        time.sleep(2 * ROUTE_LAG_SECONDS)
        assert service.object(DEPLOYMENTS, "thin-predictor") is None
        assert "thin-predictor" in weights(service)
        assert service.ask_many(service.host, 30).failures
        standard.cluster.faults.clear()
        service.wait(lambda _: weights(service) == {"thin-v2-predictor": 1}, "followed")


def test_the_canary_status_repeats_the_spec_while_the_route_does_not_follow(
    standard: World, packages: Packages
) -> None:
    with standard.service("claimed", packages.first) as service:
        service.wait_ready()
        standard.cluster.faults.pods("never-ready", "claimed-v2")
        service.change(canary(packages.second, 40, minReplicas=1))
        document = service.wait(lambda d: d["status"].get("canaryStatuses"), "told")
        assert document["status"]["canaryStatuses"] == [{"name": "v2", "ready": False, "trafficPercent": 40}]
        assert weights(service) == {"claimed-predictor": 1}
        assert condition(document, "Ready") == "True"  # which leaves the canary out


def test_a_canary_that_changes_its_model_under_the_same_name_stays_ready_with_the_old_one(
    standard: World, packages: Packages
) -> None:
    with standard.service("named", packages.first) as service:
        service.wait_ready()
        service.change(canary(packages.second, 50, minReplicas=1))
        service.wait(lambda _: weights(service).get("named-v2-predictor") == 50, "split")
        service.change(canary(packages.broken.as_uri(), 50, minReplicas=1))
        service.wait(lambda _: any(_restarts(pod) for pod in pods(service, "named-v2-predictor")), "failing")
        document = service.read()
        assert document["status"]["canaryStatuses"][0]["ready"] is True
        assert service.ask_many(service.host, 60).answers[version(packages.second)] > 0  # the model before


def test_an_annotation_restarts_every_pod_and_ready_is_unknown_meanwhile_although_all_requests_are_answered(
    standard: World, packages: Packages
) -> None:
    with standard.service("noted", packages.first) as service:
        service.wait_ready()
        before = {pod["metadata"]["uid"] for pod in pods(service, "noted-predictor")}
        with service.traffic(service.host) as always:
            service.change({"metadata": {"annotations": {"example.com/note": "x"}}})
            service.wait(lambda d: condition(d, "Ready") in {"Unknown", "False"}, "unsure")
            service.wait_ready()
        assert always.failures == []
        assert before.isdisjoint(pod["metadata"]["uid"] for pod in pods(service, "noted-predictor"))


def test_the_observed_generation_is_that_of_the_stable_deployment(standard: World, packages: Packages) -> None:
    with standard.service("seen", packages.first) as service:
        service.wait_ready()
        for percent in (10, 20, 30):
            service.change(canary(packages.second, percent, minReplicas=1))
        document = service.wait(lambda d: condition(d, "CanaryPredictorReady") == "True", "ready")
        assert document["metadata"]["generation"] == 4
        assert document["status"]["observedGeneration"] == 1


def test_a_failing_canary_shows_in_no_model_status(standard: World, packages: Packages) -> None:
    with standard.service("quiet", packages.first) as service:
        service.wait_ready()
        service.change(canary(packages.broken.as_uri(), 10, minReplicas=1))
        service.wait(lambda _: any(_restarts(pod) for pod in pods(service, "quiet-v2-predictor")), "failing")
        document = service.read()
        assert document["status"]["modelStatus"]["transitionStatus"] == "UpToDate"
        assert condition(document, "CanaryPredictorReady") == "False"


def test_a_canary_is_reached_inside_the_cluster_before_it_takes_traffic(standard: World, packages: Packages) -> None:
    with standard.service("inner", packages.first) as service:
        service.wait_ready()
        service.change(canary(packages.second, 0, minReplicas=1))
        service.wait(lambda d: condition(d, "CanaryPredictorReady") == "True", "ready")
        host = "inner-v2-predictor.default.svc.cluster.local"
        service.wait(lambda _: service.ask(host) == (200, version(packages.second)), "reached")
        assert set(service.ask_many(service.host, 20).answers) == {version(packages.first)}


def test_a_deleted_service_takes_its_pods_and_routes_along(standard: World, packages: Packages) -> None:
    with standard.service("gone", packages.first) as service:
        host = service.wait_ready()["status"]["url"].removeprefix("http://")
    deadline = time.monotonic() + 20
    while service.ask(host)[0] != 404 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert service.ask(host)[0] == 404
    assert pods(service, "gone-predictor") == []
    assert service.object(ROUTES, "gone") is None


def pods(service: Service, deployment: str) -> list[Json]:
    _, found = service.api.get(f"{PODS}?labelSelector=app=isvc.{deployment}")
    return list(found["items"])


def _restarts(pod: Json) -> bool:
    return bool(pod["status"]["containerStatuses"][0]["restartCount"])
