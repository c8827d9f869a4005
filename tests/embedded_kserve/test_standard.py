"""Standard mode: Deployments, canaries and HTTPRoutes, under real requests through Envoy."""

import json
import time
from collections import Counter
from typing import Any

import pytest

from embedded_kserve.delays import DEFAULT_FACTOR, Pace
from kubeline.model_package import ModelPackage
from tests.embedded_kserve.packages import Packages
from tests.embedded_kserve.world import DEPLOYMENTS, PODS, ROUTES, Asked, Json, Service, World, condition, version
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow

PACE = Pace.of(DEFAULT_FACTOR)


def canary(package: ModelPackage | str, percent: int, name: str = "v2", **predictor: Any) -> Json:
    uri = package if isinstance(package, str) else package.path.as_uri()
    model = {"name": "", "modelFormat": {"name": "kubeline"}, "storageUri": uri}
    return {"spec": {"canary": [{"trafficPercent": percent, "predictor": {"name": name, "model": model, **predictor}}]}}


def promotion(package: ModelPackage, name: str = "v2") -> Json:
    return {"spec": {"canary": [], "predictor": {"name": name, "model": {"storageUri": package.path.as_uri()}}}}


def reported(name: str, ready: bool, percent: int) -> Json:
    """One of the `canaryStatuses`."""
    return {"name": name, "ready": ready, "trafficPercent": percent, "modelStatus": {"transitionStatus": ""}}


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
            old = {version(packages.first)}
            service.wait(lambda _: set(service.ask_many(service.host, 20).answers) == old, "followed by the gateway")
        assert always.failures == []


def test_the_release_0_20_0_claims_a_split_and_makes_none(unsplit: World, packages: Packages) -> None:
    with unsplit.service("claim", packages.first) as service:
        service.wait_ready()
        service.change(canary(packages.second, 50, minReplicas=1))
        document = service.wait(lambda d: condition(d, "CanaryPredictorReady") == "True", "claimed")
        assert document["status"]["canaryStatuses"] == [reported("v2", True, 50)]
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
        document = service.wait(lambda d: condition(d, "CanaryPredictorReady") != "absent", "reported")
        assert document["status"]["canaryStatuses"][0]["ready"] is False
        deployment = service.object(DEPLOYMENTS, "none-v2-predictor")
        assert deployment is not None
        assert deployment["spec"]["replicas"] == 0
        assert pods(service, "none-v2-predictor") == []


def test_a_promotion_below_100_percent_fails_requests_until_the_route_follows(
    unhurried: World, packages: Packages
) -> None:
    with unhurried.service("hasty", packages.first) as service:
        service.wait_ready()
        service.change(canary(packages.second, 50))
        service.wait(lambda _: service.ask_many(service.host, 20).answers[version(packages.second)], "split")
        with service.traffic(service.host) as always:
            service.change(promotion(packages.second))
            new = version(packages.second)
            service.wait(lambda _: service.ask_many(service.host, 20) == Asked(Counter({new: 20})), "followed")
        assert set(always.failures) == {"503"}
        assert service.ask_many(service.host, 20).failures == []


def test_a_promotion_with_fewer_replicas_serves_everything_with_them_until_the_autoscaler_looks(
    standard: World, packages: Packages
) -> None:
    with standard.service("thin", packages.first, minReplicas=2) as service:
        service.wait_ready()
        service.change(canary(packages.second, 50, minReplicas=1))
        service.wait(lambda _: weights(service).get("thin-v2-predictor") == 50, "split")
        standard.cluster.faults.pods("quota", "thin-v2-predictor")
        service.change(promotion(packages.second))
        service.wait(lambda _: weights(service) == {"thin-v2-predictor": 1}, "followed")
        assert replicas(service, "thin-v2-predictor") == 1
        service.wait(lambda d: condition(d, "PredictorReady") == "False", "not available")
        assert replicas(service, "thin-v2-predictor") == 2
        assert service.ask_many(service.host, 30).failures == []
        standard.cluster.faults.clear()
        service.wait(lambda d: condition(d, "PredictorReady") == "True", "available")


def test_each_ready_canary_takes_pods_from_the_stable_model_long_before_its_traffic(
    standard: World, packages: Packages
) -> None:
    with standard.service("four", packages.first, minReplicas=4) as service:
        service.wait(lambda _: answering(service, "four-predictor") == 4, "four pods")
        service.change(canary(packages.second, 25, minReplicas=2))
        service.wait(lambda _: answering(service, "four-predictor") == 2, "two pods")
        assert weights(service) == {"four-predictor": 75, "four-v2-predictor": 25}
        service.change(canary(packages.second, 25, minReplicas=4))
        service.wait(lambda _: answering(service, "four-predictor") == 1, "one pod")
        service.change({"spec": {"canary": None}})
        service.wait(lambda _: answering(service, "four-predictor") == 4, "four pods again")


def test_a_stable_model_with_as_many_more_replicas_as_its_canary_keeps_its_pods(
    standard: World, packages: Packages
) -> None:
    with standard.service("kept", packages.first, minReplicas=2) as service:
        service.wait(lambda _: answering(service, "kept-predictor") == 2, "two pods")
        before = {pod["metadata"]["uid"] for pod in pods(service, "kept-predictor")}
        service.change({"spec": {"predictor": {"minReplicas": 3}, **canary(packages.second, 5, minReplicas=1)["spec"]}})
        service.wait(lambda _: weights(service).get("kept-v2-predictor") == 5, "split")
        time.sleep(2 * PACE.autoscaler)
        service.wait(lambda _: answering(service, "kept-predictor") == 2, "no more than before")
        assert before <= {pod["metadata"]["uid"] for pod in pods(service, "kept-predictor")}


def test_the_gateway_is_behind_the_route(standard: World, packages: Packages) -> None:
    old, new = version(packages.first), version(packages.second)
    with standard.service("behind", packages.first) as service:
        service.wait_ready()
        service.change(canary(packages.second, 0, minReplicas=1))
        service.wait(lambda d: condition(d, "CanaryPredictorReady") == "True", "ready")
        standard.cluster.faults.gateway(seconds=3600)
        service.change(canary(packages.second, 100, minReplicas=1))
        document = service.wait(
            lambda _: weights(service) == {"behind-predictor": 0, "behind-v2-predictor": 100}, "reported"
        )
        assert document["status"]["canaryStatuses"][0]["trafficPercent"] in {0, 100}
        assert set(service.ask_many(service.host, 20).answers) == {old}
        standard.cluster.faults.clear()
        service.wait(lambda _: set(service.ask_many(service.host, 20).answers) == {new}, "followed")


def test_a_gateway_that_stands_still_reports_nothing_while_weights_and_status_claim_the_share(
    standard: World, packages: Packages
) -> None:
    standard.cluster.faults.gateway()
    with standard.service("still", packages.first) as service:
        service.wait(lambda _: service.object(ROUTES, "still"), "routed")
        service.wait(lambda _: (service.object(ROUTES, "still") or {}).get("status") == {"parents": []}, "no parents")
        document = service.wait(lambda d: condition(d, "IngressReady") == "False", "not ready")
        reasons = {c["type"]: c.get("reason") for c in document["status"]["conditions"]}
        assert reasons["IngressReady"] == "ParentStatusNotAvailable"
        assert service.ask("still-default.example.com")[0] == 404


def test_the_canary_status_repeats_the_spec_while_the_route_does_not_follow(
    standard: World, packages: Packages
) -> None:
    with standard.service("claimed", packages.first) as service:
        service.wait_ready()
        standard.cluster.faults.pods("never-ready", "claimed-v2")
        service.change(canary(packages.second, 40, minReplicas=1))
        document = service.wait(lambda d: d["status"].get("canaryStatuses"), "reported")
        assert document["status"]["canaryStatuses"] == [reported("v2", False, 40)]
        assert weights(service) == {"claimed-predictor": 100}
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


def test_an_annotation_restarts_every_pod_while_the_predictor_stays_ready_and_all_requests_are_answered(
    standard: World, packages: Packages
) -> None:
    with standard.service("noted", packages.first) as service:
        service.wait_ready()
        before = {pod["metadata"]["uid"] for pod in pods(service, "noted-predictor")}
        with service.traffic(service.host) as always:
            service.change({"metadata": {"annotations": {"example.com/note": "x"}}})
            rolling = service.wait(lambda d: reason(d, "PredictorReady") == "MinimumReplicasAvailable", "rolling")
            assert condition(rolling, "Ready") == "True"
            service.wait(lambda d: reason(d, "PredictorReady") == "NewReplicaSetAvailable", "rolled out")
            service.wait(lambda _: before.isdisjoint(p["metadata"]["uid"] for p in pods(service, "noted-predictor")))
        assert always.failures == []


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


def test_no_gateway_routes_a_canary_by_its_name_inside_the_cluster(standard: World, packages: Packages) -> None:
    with standard.service("inner", packages.first) as service:
        service.wait_ready()
        service.change(canary(packages.second, 0, minReplicas=1))
        service.wait(lambda d: condition(d, "CanaryPredictorReady") == "True", "ready")
        route = service.object(ROUTES, "inner")
        assert route is not None
        assert route["spec"]["hostnames"] == ["inner-default.example.com"]
        assert service.ask("inner-predictor-default.example.com")[0] == 200
        for name in ("inner-v2-predictor", "inner-predictor"):
            assert service.ask(f"{name}.default.svc.cluster.local")[0] == 404
            assert service.ask(f"{name}.default")[0] == 404


@pytest.mark.parametrize("of", ["service", "pod"])
def test_a_canary_is_reached_through_the_proxy_of_the_api_server(standard: World, packages: Packages, of: str) -> None:
    with standard.service(f"proxied-{of}", packages.first) as service:
        service.wait_ready()
        service.change(canary(packages.second, 0, minReplicas=1))
        service.wait(lambda d: condition(d, "CanaryPredictorReady") == "True", "ready")
        name = f"{service.name}-v2-predictor"
        target = f"services/{name}:80" if of == "service" else f"pods/{pods(service, name)[0]['metadata']['name']}:8080"
        path = f"/api/v1/namespaces/default/{target}/proxy/v2/models/{service.name}"
        assert service.api.get(path)[1]["versions"] == [version(packages.second)]
        standard.cluster.faults.add("deny", resource=f"{of}s/proxy")
        assert service.api.get(path)[0] == 403


def test_a_service_without_a_ready_pod_is_no_endpoint_of_the_proxy(standard: World, packages: Packages) -> None:
    standard.cluster.faults.pods("never-ready", "empty-predictor")
    with standard.service("empty", packages.first) as service:
        service.wait(lambda _: service.object(DEPLOYMENTS, "empty-predictor"), "made")
        path = "/api/v1/namespaces/default/services/{}:80/proxy/v2/health/ready"
        code, reported = service.api.get(path.format("empty-predictor"))
        assert (code, reported["message"]) == (503, 'no endpoints available for service "empty-predictor"')
        assert service.api.get(path.format("nobody"))[0] == 404


def test_an_http_route_of_our_own_reaches_a_canary_by_a_host_of_its_own(standard: World, packages: Packages) -> None:
    with standard.service("own", packages.first) as service:
        service.wait_ready()
        service.change(canary(packages.second, 0, minReplicas=1))
        service.wait(lambda d: condition(d, "CanaryPredictorReady") == "True", "ready")
        kserves = service.object(ROUTES, "own")
        assert kserves is not None
        rule = {"backendRefs": [{"name": "own-v2-predictor", "port": 80}]}
        spec = {"parentRefs": kserves["spec"]["parentRefs"], "hostnames": ["smoke.example.com"], "rules": [rule]}
        assert service.api.post(ROUTES, {"metadata": {"name": "smoke"}, "spec": spec})[0] == 201
        service.wait(lambda _: service.ask("smoke.example.com") == (200, version(packages.second)), "reached")
        assert service.api.call("DELETE", f"{ROUTES}/smoke")[0] == 200
        service.wait(lambda _: service.ask("smoke.example.com")[0] == 404, "gone")


def test_a_package_that_cannot_be_downloaded_shows_an_init_container_that_ended_and_never_waits_for_long(
    standard: World, packages: Packages
) -> None:
    with standard.service("fails", packages.first) as service:
        service.wait_ready()
        service.change(canary("s3://bucket/none", 0, minReplicas=1))

        def states() -> list[str]:
            each = [pod["status"]["initContainerStatuses"][0] for pod in pods(service, "fails-v2-predictor")]
            return [state for one in each for state in one["state"]]

        wait_for(lambda: "terminated" in states())
        seen: list[str] = []
        deadline = time.monotonic() + 4
        while time.monotonic() < deadline:
            seen += states()
            time.sleep(0.02)
        assert seen.count("terminated") > 5 * seen.count("waiting")


def test_a_deleted_service_takes_its_pods_and_routes_along(standard: World, packages: Packages) -> None:
    with standard.service("gone", packages.first) as service:
        host = service.wait_ready()["status"]["url"].removeprefix("http://")
    wait_for(lambda: service.ask(host)[0] == 404)
    assert service.object(ROUTES, "gone") is None
    wait_for(lambda: not pods(service, "gone-predictor"))


def pods(service: Service, deployment: str) -> list[Json]:
    _, found = service.api.get(f"{PODS}?labelSelector=app=isvc.{deployment}")
    return list(found["items"])


def replicas(service: Service, deployment: str) -> int:
    """As its specification says."""
    found = service.object(DEPLOYMENTS, deployment)
    assert found is not None
    return int(found["spec"]["replicas"])


def answering(service: Service, deployment: str) -> int:
    found = service.object(DEPLOYMENTS, deployment)
    return int((found or {}).get("status", {}).get("readyReplicas", 0))


def reason(document: Json, kind: str) -> str:
    return next((c.get("reason", "") for c in document["status"]["conditions"] if c["type"] == kind), "")


def _restarts(pod: Json) -> bool:
    return bool(pod["status"]["containerStatuses"][0]["restartCount"])
