"""Knative mode: what KServe does with revisions and traffic, under real requests through Envoy."""

import contextlib
import functools
import os
import signal
from pathlib import Path

import pytest

from tests.embedded_kserve.packages import Packages
from tests.embedded_kserve.recorder import Recorder
from tests.embedded_kserve.world import PODS, Json, Service, World, component, condition, shares, version

pytestmark = pytest.mark.slow

REVISIONS = "/apis/serving.knative.dev/v1/namespaces/default/revisions"
KNATIVE_ROUTES = "/apis/serving.knative.dev/v1/namespaces/default/routes"
INGRESSES = "/apis/networking.internal.knative.dev/v1alpha1/namespaces/default/ingresses"
ONE, TWO, THREE = (f"00{number:03}" for number in (1, 2, 3))


def test_a_canary_gets_its_percentage_then_everything_and_goes_back_without_a_failed_request(
    knative: World, packages: Packages
) -> None:
    old, new = version(packages.first), version(packages.second)
    one, two = f"life-predictor-{ONE}", f"life-predictor-{TWO}"
    with knative.service("life", packages.first) as service:
        service.wait_ready()
        with service.traffic(service.host) as always:
            service.model(packages.second, canaryTrafficPercent=20)
            service.wait(lambda d: shares(d) == {one: 80, two: 20}, "20 percent")
            split = service.ask_many(service.host, 400)
            assert 40 < split.answers[new] < 130  # binomial: 80 expected, 5 standard deviations are 40
            assert split.answers[old] == 400 - split.answers[new]
            service.predictor(canaryTrafficPercent=100)
            promoted = service.wait(lambda d: component(d)["latestRolledoutRevision"] == two, "promoted")
            assert component(promoted)["previousRolledoutRevision"] == one
            assert set(service.ask_many(service.host, 30).answers) == {new}
            service.predictor(canaryTrafficPercent=0)
            service.wait(lambda d: shares(d).get(one) == 100, "back at the first")
            assert set(service.ask_many(service.host, 30).answers) == {old}
            service.predictor(canaryTrafficPercent=100)
            service.wait(lambda d: shares(d) == {two: 100}, "promoted again")
            service.predictor(canaryTrafficPercent=None)
            assert "canaryTrafficPercent" not in service.read()["spec"]["predictor"]
            assert set(service.ask_many(service.host, 30).answers) == {new}
        assert always.failures == []
        assert set(always.answers) == {old, new}


def test_the_first_deployment_ignores_the_canary_percentage(knative: World, packages: Packages) -> None:
    with knative.service("first", packages.first, canaryTrafficPercent=10) as service:
        document = service.wait_ready()
        assert shares(document) == {f"first-predictor-{ONE}": 100}  # two targets of 10 and 90 are the same revision
        assert component(document)["latestRolledoutRevision"] == f"first-predictor-{ONE}"
        assert service.ask_many(service.host, 20).failures == []


def test_sending_a_promoted_model_again_with_a_percentage_gives_most_traffic_to_the_model_before(
    knative: World, packages: Packages
) -> None:
    with knative.service("again", packages.first) as service:
        service.wait_ready()
        service.model(packages.second, canaryTrafficPercent=100)
        service.wait(lambda d: component(d).get("latestRolledoutRevision") == f"again-predictor-{TWO}", "promoted")
        service.model(packages.second, canaryTrafficPercent=10)
        service.wait(lambda d: shares(d) == {f"again-predictor-{ONE}": 90, f"again-predictor-{TWO}": 10}, "thrown back")


def test_while_a_revision_is_not_ready_the_latest_percentage_speaks_of_the_old_one(
    knative: World, packages: Packages
) -> None:
    with knative.service("early", packages.first) as service:
        service.wait_ready()
        knative.cluster.faults.pods("never-ready", f"early-predictor-{TWO}")
        service.model(packages.second, canaryTrafficPercent=10)
        document = service.wait(lambda d: len(component(d)["traffic"]) == 2, "split")
        latest = next(target for target in component(document)["traffic"] if target["latestRevision"])
        assert (latest["revisionName"], latest["percent"]) == (f"early-predictor-{ONE}", 10)
        assert component(document)["latestCreatedRevision"] != component(document)["latestReadyRevision"]
        assert condition(document, "Ready") == "Unknown"
        knative.cluster.faults.clear()
        service.wait(lambda d: shares(d).get(f"early-predictor-{TWO}") == 10, "split at last")


def test_the_observed_generation_is_that_of_the_knative_service(knative: World, packages: Packages) -> None:
    with knative.service("seen", packages.first) as service:
        service.wait_ready()
        for labels in ({"a": "1"}, {"a": "2"}):
            service.change({"metadata": {"labels": labels}})  # no new generation here, one of the Knative Service
            service.wait(functools.partial(labelled, labels))
        document = service.wait(lambda d: d["status"]["observedGeneration"] > 1, "seen")
        assert document["metadata"]["generation"] == 1


def test_an_annotation_of_the_inference_service_makes_a_new_revision(knative: World, packages: Packages) -> None:
    with knative.service("noted", packages.first) as service:
        service.wait_ready()
        service.change({"metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}}})
        service.change({"metadata": {"annotations": {"example.com/note": "x"}}})
        document = service.wait(
            lambda d: component(d)["latestReadyRevision"] != f"noted-predictor-{ONE}", "new revision"
        )
        assert component(document)["latestCreatedRevision"] == f"noted-predictor-{TWO}"  # the first one is not copied


def test_a_change_of_the_smallest_number_of_replicas_makes_a_new_revision(knative: World, packages: Packages) -> None:
    with knative.service("grown", packages.first) as service:
        service.wait_ready()
        service.predictor(minReplicas=2)
        service.wait(lambda d: component(d)["latestReadyRevision"] == f"grown-predictor-{TWO}", "new revision")
        code, pods = service.api.get(f"{PODS}?labelSelector=serving.knative.dev/revision=grown-predictor-{TWO}")
        assert (code, len(pods["items"])) == (200, 2)


def test_tags_give_a_canary_an_address_before_it_takes_traffic(knative: World, packages: Packages) -> None:
    with knative.service("tagged", packages.first) as service:
        service.wait_ready()
        patch = {"metadata": {"annotations": {"serving.kserve.io/enable-tag-routing": "true"}}}
        model = {"storageUri": packages.second.path.as_uri()}
        service.change({**patch, "spec": {"predictor": {"canaryTrafficPercent": 0, "model": model}}})
        document = service.wait(lambda d: shares(d).get(f"tagged-predictor-{TWO}") == 0, "routed")
        urls = {t["tag"]: t["url"].removeprefix("http://") for t in component(document)["traffic"]}
        assert urls == {tag: f"{tag}-tagged-predictor.default.example.com" for tag in ("latest", "prev")}
        assert service.ask(urls["latest"]) == (200, version(packages.second))
        assert service.ask(urls["prev"]) == (200, version(packages.first))
        assert set(service.ask_many(service.host, 20).answers) == {version(packages.first)}


def test_a_package_that_cannot_be_loaded_fails_the_model_and_leaves_the_old_one_serving(
    knative: World, packages: Packages
) -> None:
    with knative.service("broken", packages.first) as service:
        service.wait_ready()
        service.predictor(model={"storageUri": packages.broken.as_uri()}, canaryTrafficPercent=50)
        service.wait(lambda d: condition(d, "Ready") == "False", "failed")
        document = service.wait(lambda d: d["status"]["modelStatus"]["transitionStatus"] == "BlockedByFailedLoad")
        status = document["status"]["modelStatus"]
        assert status["states"] == {"activeModelState": "Loaded", "targetModelState": "FailedToLoad"}
        assert (status["lastFailureInfo"]["reason"], status["lastFailureInfo"]["exitCode"]) == ("ModelLoadFailed", 2)
        assert "schema.json" in status["lastFailureInfo"]["message"]
        assert set(service.ask_many(service.host, 20).answers) == {version(packages.first)}


def test_a_package_that_cannot_be_downloaded_fails_in_the_storage_initializer(knative: World) -> None:
    with knative.service("remote", "s3://bucket/model") as service:
        document = service.wait(
            lambda d: d.get("status", {}).get("modelStatus", {}).get("transitionStatus") == "BlockedByFailedLoad"
        )
        assert "s3://bucket/model" in document["status"]["modelStatus"]["lastFailureInfo"]["message"]


@pytest.mark.parametrize("how", ["fault", "registry"])
def test_an_image_that_cannot_be_pulled_makes_no_pod_because_its_digest_is_not_resolved(
    knative: World, packages: Packages, how: str
) -> None:
    name, two = f"image-{how}", f"image-{how}-predictor-{TWO}"
    with knative.service(name, packages.first) as service:
        service.wait_ready()
        if how == "fault":
            knative.cluster.faults.pods("bad-image", two)
            service.model(packages.second, canaryTrafficPercent=50)
        else:
            service.predictor(model={"image": "registry.invalid/serving:1"}, canaryTrafficPercent=50)
        document = service.wait(lambda d: condition(d, "Ready") == "False", "failed")
        reported = next(c for c in document["status"]["conditions"] if c["type"] == "Ready")
        assert reported["reason"] == "RevisionFailed"
        assert f'Revision "{two}" failed with message: Unable to fetch image' in reported["message"]
        revision = service.object(REVISIONS, two)
        assert revision is not None
        reasons = {c["type"]: c.get("reason") for c in revision["status"]["conditions"]}
        assert reasons["Ready"] == reasons["ContainerHealthy"] == "ContainerMissing"
        assert component(document)["latestReadyRevision"] == f"{name}-predictor-{ONE}"
        _, pods = service.api.get(f"{PODS}?labelSelector=serving.knative.dev/revision={two}")
        assert pods["items"] == []
        assert set(service.ask_many(service.host, 10).answers) == {version(packages.first)}


def test_a_quota_makes_the_webhook_refuse_the_service_and_kserve_write_its_status_again_and_again(
    knative: World, packages: Packages
) -> None:
    with knative.service("quota", packages.first) as service:
        service.wait_ready()
        knative.cluster.faults.pods("quota", f"quota-predictor-{TWO}")
        service.model(packages.second, canaryTrafficPercent=50)
        document = service.wait(lambda d: condition(d, "Ready") == "False", "refused")
        reported = next(c for c in document["status"]["conditions"] if c["type"] == "PredictorReady")
        assert reported["reason"] == "ReconcileFailed"
        assert "exceeded quota" in reported["message"]
        for _ in range(4):
            version_before = service.read()["metadata"]["resourceVersion"]
            service.wait(functools.partial(rewritten, version_before), "written again")
        assert component(service.read())["latestCreatedRevision"] == f"quota-predictor-{ONE}"
        assert shares(service.read()) == {f"quota-predictor-{ONE}": 100}
        assert set(service.ask_many(service.host, 10).answers) == {version(packages.first)}
        knative.cluster.faults.clear()
        service.wait(lambda d: shares(d).get(f"quota-predictor-{TWO}") == 50, "split at last")


def test_a_revision_is_reported_to_be_ready_before_the_service_has_an_address(
    knative: World, packages: Packages
) -> None:
    with Recorder(knative.cluster, "default").running() as recorder, knative.service("late", packages.first) as service:
        document = service.wait(lambda d: d.get("status", {}).get("url"), "addressed")
        assert document["status"]["url"] == "http://late-predictor.default.example.com"  # as with Kourier
        assert document["status"]["address"]["url"] == "http://late-predictor.default.svc.cluster.local"
        service.wait(lambda _: service.ask("late-predictor.default.example.com")[0] == 200, "answering")
        assert service.ask("late.default.example.com")[0] == 404
        recorder.catch_up()
        every = [change.object for change in recorder.recording("late").of("InferenceService", "late")]
    early = next(document for document in every if component(document).get("latestReadyRevision"))
    assert component(early)["latestReadyRevision"] == f"late-predictor-{ONE}"
    assert "url" not in early["status"]
    assert condition(early, "Ready") == "Unknown"


def test_a_revision_without_traffic_has_one_pod_soon_and_later_none_also_the_one_before_the_last_promotion(
    knative: World, packages: Packages
) -> None:
    one, two = f"cold-predictor-{ONE}", f"cold-predictor-{TWO}"
    with knative.service("cold", packages.first, minReplicas=2) as service:
        service.wait_ready()
        service.model(packages.second, canaryTrafficPercent=100)
        service.wait(lambda d: component(d).get("latestRolledoutRevision") == two, "promoted")
        pods = f"{PODS}?labelSelector=serving.knative.dev/revision={one}"
        service.wait(lambda _: service.api.get(pods)[1]["items"] == [], "no pods")
        revision = service.object(REVISIONS, one)
        assert revision is not None
        reported = {c["type"]: (c["status"], c.get("reason")) for c in revision["status"]["conditions"]}
        assert reported["Active"] == ("False", "NoTraffic")
        assert reported["Ready"] == ("True", None)
        with service.traffic(service.host) as always:
            service.predictor(canaryTrafficPercent=0)
            service.wait(lambda _: set(service.ask_many(service.host, 10).answers) == {version(packages.first)}, "back")
        assert always.failures == []


def test_route_and_ingress_are_unknown_at_each_change_of_a_share(knative: World, packages: Packages) -> None:
    with knative.service("unsure", packages.first) as service:
        service.wait_ready()
        service.model(packages.second, canaryTrafficPercent=0)
        service.wait(lambda d: shares(d).get(f"unsure-predictor-{TWO}") == 0, "beside")
        knative.cluster.faults.gateway()  # stands still, so that what is seen here is not a moment
        service.predictor(canaryTrafficPercent=40)
        route = service.wait(lambda _: reason_of(service, KNATIVE_ROUTES) == "Uninitialized", "unsure")
        assert reason_of(service, INGRESSES) == "Uninitialized"
        assert service.ask_many(service.host, 30).answers[version(packages.second)] == 0
        knative.cluster.faults.clear()
        service.wait(lambda _: reason_of(service, KNATIVE_ROUTES) == "", "sure")
        assert route
        service.wait(lambda d: shares(d).get(f"unsure-predictor-{TWO}") == 40, "reported")
        assert service.ask_many(service.host, 40).answers[version(packages.second)] > 0


def test_a_model_server_that_dies_is_started_again(knative: World, packages: Packages) -> None:
    with knative.service("mortal", packages.first) as service:
        service.wait_ready()
        _, pods = service.api.get(f"{PODS}?labelSelector=serving.kserve.io/inferenceservice=mortal")
        name = pods["items"][0]["metadata"]["name"]
        path = f"{PODS}/{name}"
        os.kill(_server(name), signal.SIGKILL)
        service.wait(lambda _: _container(service.api.get(path)[1])["restartCount"] == 1, "restarted")
        service.wait(lambda _: service.ask(service.host)[0] == 200, "answering again")


def rewritten(version_before: str, document: Json) -> bool:
    return bool(document["metadata"]["resourceVersion"] != version_before)


def labelled(labels: Json, document: Json) -> bool:
    return bool(document["metadata"]["labels"] == labels)


def reason_of(service: Service, collection: str) -> str:
    """Why the Route or Ingress of the service is not ready."""
    found = service.object(collection, f"{service.name}-predictor")
    assert found is not None
    return str(next(c.get("reason", "") for c in found["status"]["conditions"] if c["type"] == "Ready"))


def _container(pod: Json) -> Json:
    return dict(pod["status"]["containerStatuses"][0])


def _server(pod: str) -> int:
    """The process whose output is the log of this pod."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "fd" / "1").readlink().name == f"{pod}.log":
                return int(process.name)
    raise AssertionError(f"nobody writes the log of {pod}")
