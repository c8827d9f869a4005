"""The API server on its own: what a client relies on, and each fault."""

import json
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from embedded_kserve.faults import Faults
from embedded_kserve.kubernetes.api_server import ApiServer
from embedded_kserve.kubernetes.resources import INFERENCE_SERVICE
from tests.embedded_kserve.world import CONFIG_MAPS, FLIGHTS, SERVICES, Api, Json, inference_service


@pytest.fixture
def faults(server: ApiServer) -> Faults:
    return Faults(server.url, server.token)


def test_a_write_of_another_version_is_a_conflict(api: Api, flights: Json) -> None:
    stale = flights["metadata"]["resourceVersion"]
    assert api.patch(FLIGHTS, {"spec": {"predictor": {"maxReplicas": 3}}})[0] == 200
    code, status = api.patch(
        FLIGHTS, {"metadata": {"resourceVersion": stale}, "spec": {"predictor": {"minReplicas": 2}}}
    )
    assert (code, status["kind"], status["reason"]) == (409, "Status", "Conflict")
    assert api.call("PUT", FLIGHTS, flights)[0] == 409
    assert api.get(FLIGHTS)[1]["spec"]["predictor"]["minReplicas"] == 1


def test_null_in_a_merge_patch_removes_a_field(api: Api, flights: Json) -> None:
    api.patch(FLIGHTS, {"spec": {"predictor": {"canaryTrafficPercent": 5}}})
    _, document = api.patch(FLIGHTS, {"spec": {"predictor": {"canaryTrafficPercent": None}}})
    assert "canaryTrafficPercent" not in document["spec"]["predictor"]
    assert document["metadata"]["generation"] == 3


def test_the_generation_counts_changes_of_the_spec_and_an_unchanged_object_keeps_its_version(
    api: Api, flights: Json
) -> None:
    _, labelled = api.patch(FLIGHTS, {"metadata": {"labels": {"a": "b"}}})
    _, again = api.patch(FLIGHTS, {"metadata": {"labels": {"a": "b"}}})
    assert labelled["metadata"]["generation"] == flights["metadata"]["generation"] == 1
    assert labelled["metadata"]["resourceVersion"] == again["metadata"]["resourceVersion"]
    assert labelled["metadata"]["resourceVersion"] != flights["metadata"]["resourceVersion"]


def test_unknown_fields_are_refused_when_validation_is_strict_and_dropped_without_a_word_otherwise(
    api: Api, flights: Json
) -> None:
    patch = {"spec": {"predictor": {"canaryPercent": 5}}}
    code, status = api.patch(f"{FLIGHTS}?fieldValidation=Strict", patch)
    assert code == 422
    assert 'unknown field "spec.predictor.canaryPercent"' in status["message"]
    other = inference_service("other", "s3://models/a", canaryPercent=5)
    assert api.post(f"{SERVICES}?fieldValidation=Strict", other)[0] == 400
    assert api.patch(FLIGHTS, patch)[0] == 200
    assert "canaryPercent" not in api.get(FLIGHTS)[1]["spec"]["predictor"]


def test_a_canary_needs_a_name_in_its_model_which_may_be_empty(api: Api, flights: Json) -> None:
    model: dict[str, Any] = {"modelFormat": {"name": "kubeline"}, "storageUri": "s3://models/b"}
    canary = {"trafficPercent": 10, "predictor": {"name": "v2", "model": model}}
    code, status = api.patch(FLIGHTS, {"spec": {"canary": [canary]}})
    assert code == 422
    assert "spec.canary[0].predictor.model.name: Required value" in status["message"]
    model["name"] = ""
    assert api.patch(FLIGHTS, {"spec": {"canary": [canary]}})[0] == 200


def test_a_dry_run_refuses_what_a_write_would_and_keeps_nothing(api: Api, flights: Json) -> None:
    dry = f"{FLIGHTS}?dryRun=All"
    code, document = api.patch(dry, {"spec": {"predictor": {"minReplicas": 2}}})
    assert (code, document["spec"]["predictor"]["minReplicas"]) == (200, 2)
    assert api.patch(dry, {"spec": {"predictor": {"minReplicas": "two"}}})[0] == 422
    assert api.patch(dry, {"spec": {"predictor": {"minReplicas": 3, "maxReplicas": 2}}})[0] == 403
    assert api.post(f"{SERVICES}?dryRun=All", inference_service("other", "s3://models/a"))[0] == 201
    assert api.get(f"{SERVICES}/other")[0] == 404
    assert api.get(FLIGHTS)[1] == flights


def canaries(*percents: int, **predictor: Any) -> Json:
    model = {"name": "", "modelFormat": {"name": "kubeline"}, "storageUri": "s3://models/b"}
    listed = [
        {"trafficPercent": percent, "predictor": {"name": f"v{index}", "model": model, **predictor}}
        for index, percent in enumerate(percents, 2)
    ]
    return {"spec": {"canary": listed}}


@pytest.mark.parametrize(
    ("patch", "words"),
    [
        ({"spec": {"predictor": {"name": "v2"}}}, "name changed without a change of storageUri"),
        (canaries(60, 50), "must not exceed 100"),
        (canaries(10, minReplicas=2), "more minReplicas than the stable"),
        (canaries(10, maxReplicas=2), "must not set maxReplicas"),
        (
            {"metadata": {"annotations": {"serving.kserve.io/deploymentMode": "Knative"}}},
            "deploymentMode cannot be changed",
        ),
    ],
)
def test_the_webhook_refuses_what_kserve_does(
    server: ApiServer, api: Api, flights: Json, patch: Json, words: str
) -> None:
    server.store.set_status(INFERENCE_SERVICE, "default", "flights", {"deploymentMode": "Standard"})
    code, status = api.patch(FLIGHTS, patch)
    assert (code, status["reason"]) == (403, "Forbidden")
    assert "admission webhook" in status["message"]
    assert words in status["message"]


def test_what_an_object_owns_goes_with_it(api: Api, flights: Json) -> None:
    owner = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "name": "flights"}
    meta = {"name": "record", "ownerReferences": [{**owner, "uid": flights["metadata"]["uid"]}]}
    assert api.post(CONFIG_MAPS, {"metadata": meta, "data": {"phase": "baking"}})[0] == 201
    assert api.call("DELETE", FLIGHTS)[0] == 200
    assert api.get(f"{CONFIG_MAPS}/record")[0] == 404


def test_unknown_namespaces_objects_and_kinds_are_distinguished(api: Api, server: ApiServer) -> None:
    elsewhere = SERVICES.replace("default", "nowhere")
    code, status = api.post(elsewhere, inference_service("flights", "s3://models/a"))
    assert (code, status["message"]) == (404, 'namespaces "nowhere" not found')
    code, status = api.get(FLIGHTS)
    assert (code, status["reason"]) == (404, "NotFound")
    with pytest.raises(ValueError, match=r"Expecting value|Extra data"):  # no Status: there is no such path
        api.get("/apis/serving.knative.dev/v1/namespaces/default/revisions")


def test_nobody_without_the_token_is_answered(server: ApiServer, tmp_path: Path) -> None:
    assert Api(server.url, "guessed").get(SERVICES)[0] == 401
    assert Api(server.url, "guessed").get("/kubeline/faults")[0] == 401
    assert (server.write_kubeconfig(tmp_path / "mine").stat().st_mode & 0o077) == 0


def test_discovery_lists_the_kinds_that_are_installed(api: Api) -> None:
    groups = {group["name"] for group in api.get("/apis")[1]["groups"]}
    assert {"serving.kserve.io", "gateway.networking.k8s.io"} <= groups
    assert "serving.knative.dev" not in groups
    kinds = {resource["kind"] for resource in api.get("/apis/serving.kserve.io/v1beta1")[1]["resources"]}
    assert kinds == {"InferenceService"}
    assert api.get("/version")[1]["major"] == "1"


def test_a_watch_reports_what_happens_from_the_version_on_that_it_is_given(
    server: ApiServer, api: Api, flights: Json, tmp_path: Path
) -> None:
    from kubernetes import client, config, watch

    settings = client.Configuration()
    config.load_kube_config(str(server.write_kubeconfig(tmp_path / "kubeconfig")), client_configuration=settings)
    objects = client.CustomObjectsApi(client.ApiClient(settings))
    api.patch(FLIGHTS, {"spec": {"predictor": {"maxReplicas": 3}}})

    def later() -> None:
        time.sleep(0.1)
        api.post(SERVICES, inference_service("other", "s3://models/a"))
        api.call("DELETE", FLIGHTS)

    threading.Thread(target=later).start()
    events = watch.Watch().stream(
        objects.list_namespaced_custom_object,
        *("serving.kserve.io", "v1beta1", "default", "inferenceservices"),
        resource_version=flights["metadata"]["resourceVersion"],
        field_selector="metadata.name=flights",
        timeout_seconds=2,
    )
    assert [event["type"] for event in events] == ["MODIFIED", "DELETED"]


def test_a_status_fault_hits_the_nth_matching_request_and_does_nothing(api: Api, faults: Faults, flights: Json) -> None:
    faults.add("status", verb="patch", name="flights", skip=1, code=429, reason="TooManyRequests", retry_after=7)
    patch = {"spec": {"predictor": {"minReplicas": 2}}}
    assert api.get(FLIGHTS)[0] == 200
    assert api.patch(FLIGHTS, {"metadata": {"labels": {"a": "b"}}})[0] == 200
    code, status = api.patch(FLIGHTS, patch)
    assert (code, status["reason"]) == (429, "TooManyRequests")
    assert api.get(FLIGHTS)[1]["spec"]["predictor"]["minReplicas"] == 1
    assert api.patch(FLIGHTS, patch)[0] == 200
    assert [r["code"] for r in faults.requests() if r["verb"] == "patch"] == [200, 429, 200]


def test_retry_after_is_a_header_of_the_answer(server: ApiServer, faults: Faults) -> None:
    faults.add("status", code=503, reason="ServiceUnavailable", retry_after=7)
    request = urllib.request.Request(server.url + SERVICES, headers={"Authorization": f"Bearer {server.token}"})  # noqa: S310
    with pytest.raises(urllib.error.HTTPError) as reported:
        urllib.request.urlopen(request)  # noqa: S310
    assert (reported.value.code, reported.value.headers["Retry-After"]) == (503, "7")


@pytest.mark.parametrize(("action", "replicas"), [("reset-before", 1), ("reset-after", 2)])
def test_a_reset_connection_leaves_open_whether_the_write_took_effect(
    api: Api, faults: Faults, flights: Json, action: Any, replicas: int
) -> None:
    faults.add(action, verb="write")
    with pytest.raises(ConnectionError):
        api.patch(FLIGHTS, {"spec": {"predictor": {"minReplicas": 2}}})
    assert api.get(FLIGHTS)[1]["spec"]["predictor"]["minReplicas"] == replicas


def test_a_stale_read_shows_the_state_before_the_last_change(api: Api, faults: Faults, flights: Json) -> None:
    api.patch(FLIGHTS, {"spec": {"predictor": {"minReplicas": 2}}})
    faults.add("stale", verb="read", times=2)
    assert api.get(FLIGHTS)[1] == flights
    assert api.get(SERVICES)[1]["items"] == [flights]
    assert api.get(FLIGHTS)[1]["spec"]["predictor"]["minReplicas"] == 2


def test_a_missing_right_is_reported_by_the_access_review_too(api: Api, faults: Faults, flights: Json) -> None:
    def allowed(verb: str) -> bool:
        asked = {"group": "serving.kserve.io", "resource": "inferenceservices", "verb": verb, "namespace": "default"}
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        return bool(api.post(path, {"spec": {"resourceAttributes": asked}})[1]["status"]["allowed"])

    faults.add("deny", verb="patch", resource="inferenceservices")
    assert (allowed("patch"), allowed("get")) == (False, True)
    code, status = api.patch(FLIGHTS, {"metadata": {"labels": {"a": "b"}}})
    assert (code, status["reason"]) == (403, "Forbidden")
    assert 'cannot patch resource "inferenceservices"' in status["message"]
    faults.clear()
    assert api.patch(FLIGHTS, {"metadata": {"labels": {"a": "b"}}})[0] == 200


def test_a_slow_answer_outlasts_an_impatient_client(server: ApiServer, faults: Faults, flights: Json) -> None:
    faults.add("slow", verb="get", seconds=1)
    request = urllib.request.Request(server.url + FLIGHTS, headers={"Authorization": f"Bearer {server.token}"})  # noqa: S310
    with pytest.raises(TimeoutError):
        urllib.request.urlopen(request, timeout=0.1)  # noqa: S310
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
        assert json.loads(response.read()) == flights
