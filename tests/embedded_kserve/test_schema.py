"""Fields and types of what clients write, by the models of the KServe SDK and of the Kubernetes client."""

import copy
from typing import Any

import pytest

from embedded_kserve.kubernetes import models
from embedded_kserve.kubernetes.schema import check_fields, check_values, without_unknown
from embedded_kserve.kubernetes.statuses import StatusError
from tests.embedded_kserve.world import CONFIG_MAPS, FLIGHTS, SERVICES, Api, Json, inference_service
from tests.support.recordings import read

KINDS = {kind.kind: kind for kind in models.OF_KIND}


def test_the_models_are_those_of_the_installed_packages() -> None:
    assert models.FILE.read_text(encoding="utf-8") == models.written(models.collect())


@pytest.mark.parametrize("name", ["knative-02-good", "standard-02-good", "standard-07-four-replicas"])
def test_what_a_real_cluster_holds_is_allowed_whole(name: str) -> None:
    seen = set()
    for change in read(name).changes:
        document = change.object
        kind = KINDS.get(document["kind"])
        if kind is None or kind.api_version != document["apiVersion"]:
            continue
        seen.add(kind.kind)
        check_fields(kind, document)
        check_values(kind, document)
        assert without_unknown(kind, document) == document
    assert {"InferenceService", "Deployment", "Pod", "Service"} <= seen


def deep(path: str, value: Any) -> Json:
    """An InferenceService with a value at a path below its predictor."""
    document = inference_service("flights", "s3://models/a", env=[], volumes=[{"name": "v"}])
    del document["spec"]["predictor"]["env"]
    document["spec"]["predictor"]["model"]["env"] = [{"name": "A", "value": "b"}]
    *steps, last = path.split(".")
    place: Any = document["spec"]["predictor"]
    for step in steps:
        place = place[int(step)] if step.isdigit() else place.setdefault(step, {})
    place[last] = value
    return document


@pytest.mark.parametrize(
    ("path", "reported"),
    [
        ("model.env.0.valu", "spec.predictor.model.env[0].valu"),
        ("model.resources.limit", "spec.predictor.model.resources.limit"),
        ("model.readinessProbe.httpGet.prt", "spec.predictor.model.readinessProbe.httpGet.prt"),
        ("affinity.nodeAffinities", "spec.predictor.affinity.nodeAffinities"),
        ("volumes.0.secret.secretNames", "spec.predictor.volumes[0].secret.secretNames"),
        ("logger.mod", "spec.predictor.logger.mod"),
        ("confidential", "spec.predictor.confidential"),
    ],
)
def test_an_unknown_field_is_refused_however_deep_it_lies(path: str, reported: str) -> None:
    kind, document = KINDS["InferenceService"], deep(path, "x")
    with pytest.raises(StatusError, match="strict decoding error") as refused:
        check_fields(kind, document)
    assert f'unknown field "{reported}"' in str(refused.value)
    kept = without_unknown(kind, copy.deepcopy(document))
    check_fields(kind, kept)
    assert kept["spec"]["predictor"]["model"]["env"][0] == {"name": "A", "value": "b"}


@pytest.mark.parametrize(
    ("path", "value", "reported"),
    [
        ("minReplicas", "two", "spec.predictor.minReplicas in body must be of type integer"),
        ("minReplicas", True, "must be of type integer"),
        ("minReplicas", 1.5, "must be of type integer"),
        ("model.env.0.value", 1, "spec.predictor.model.env[0].value in body must be of type string"),
        ("model.args", "--a", "spec.predictor.model.args in body must be of type array"),
        ("model", [], "spec.predictor.model in body must be of type object"),
        ("labels", {"a": 1}, "spec.predictor.labels.a in body must be of type string"),
        ("tolerations", [{"tolerationSeconds": "1"}], "spec.predictor.tolerations[0].tolerationSeconds"),
    ],
)
def test_a_value_of_another_type_is_refused(path: str, value: object, reported: str) -> None:
    with pytest.raises(StatusError) as refused:
        check_values(KINDS["InferenceService"], deep(path, value))
    assert refused.value.code == 422
    assert reported in str(refused.value)


@pytest.mark.parametrize("path", ["model.resources.limits.cpu", "model.readinessProbe.httpGet.port"])
def test_a_quantity_and_a_port_are_numbers_or_texts(path: str) -> None:
    for value in (1, "1"):
        check_values(KINDS["InferenceService"], deep(path, value))


def test_a_config_map_holds_texts_up_to_a_mebibyte(api: Api) -> None:
    def record(**fields: object) -> tuple[int, Any]:
        return api.post(f"{CONFIG_MAPS}?fieldValidation=Strict", {"metadata": {"name": "record"}, **fields})

    code, status = record(data={"step": 1})
    assert (code, status["reason"]) == (400, "BadRequest")
    assert "cannot unmarshal integer into Go struct field ConfigMap.data.step of type string" in status["message"]
    code, status = record(date={"step": "1"})
    assert (code, 'unknown field "date"' in status["message"]) == (400, True)
    code, status = record(data={"a": "x" * 2**19, "b": "ä" * 2**18 + "x"})
    assert (code, "may not be more than 1048576 bytes" in status["message"]) == (422, True)
    assert record(data={"a": "x" * 2**19, "b": "ä" * 2**18})[0] == 201
    code, status = api.patch(f"{CONFIG_MAPS}/record", {"data": {"c": 1}})
    assert (code, status["reason"]) == (422, "Invalid")
    code, status = api.patch(f"{CONFIG_MAPS}/record", {"data": {"c": "x" * 3 * 2**20}})
    assert (code, status["reason"]) == (413, "RequestEntityTooLarge")


def test_a_body_that_is_no_object_is_refused(api: Api, flights: Json) -> None:
    bodies: tuple[Any, ...] = ([], "x", None)
    for body in bodies:
        assert api.post(SERVICES, body)[0] == 400
        assert api.patch(FLIGHTS, body)[0] == 400
