"""The rendered InferenceService, field by field, and what it refuses."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubeline.deployment.inference_service import Service, kserve_uri, render
from kubeline.errors import UserError
from kubeline.kubernetes.merge import merge, merge_patch
from kubeline.options import whole_numbers


def service(**changes: Any) -> Service:
    settings = {"name": "flights", "namespace": "ml", "storage_uri": "s3://models/flights", "package_digest": "d" * 64}
    return Service(**{**settings, **changes})


def test_the_simplest_service_says_what_is_served_and_from_where() -> None:
    assert render(service()) == {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": "flights",
            "namespace": "ml",
            "labels": {"app.kubernetes.io/managed-by": "kubeline"},
            "annotations": {"kubeline.dev/package-digest": "d" * 64},
        },
        "spec": {
            "predictor": {
                "minReplicas": 1,
                "model": {
                    "modelFormat": {"name": "kubeline"},
                    "runtime": "kubeline",
                    "protocolVersion": "v2",
                    "storageUri": "s3://models/flights",
                    "env": [{"name": "KUBELINE_PACKAGE_DIGEST", "value": "d" * 64}],
                },
            }
        },
    }


def test_overrides_cannot_take_the_blessed_digest_from_the_model_server() -> None:
    for env in ([], None, [{"name": "KUBELINE_PACKAGE_DIGEST", "value": "e" * 64}]):
        overrides = {"spec": {"predictor": {"model": {"env": env}}}}
        model = render(service(), overrides)["spec"]["predictor"]["model"]
        assert model["env"] == [{"name": "KUBELINE_PACKAGE_DIGEST", "value": "d" * 64}]


def test_another_model_format_is_served_by_a_server_that_knows_no_digest() -> None:
    assert "env" not in render(service(model_format="sklearn"))["spec"]["predictor"]["model"]


def test_an_env_that_is_no_list_of_mappings_is_refused() -> None:
    with pytest.raises(UserError, match=r"expected a list of \{name, value\} mappings"):
        render(service(), {"spec": {"predictor": {"model": {"env": {"THREADS": "2"}}}}})


def test_every_setting_has_its_place() -> None:
    resources = {"requests": {"cpu": 2.0, "memory": "1Gi"}, "limits": {"memory": "2Gi"}}
    rendered = render(
        service(
            runtime="",
            model_format="onnx",
            protocol="v1",
            min_replicas=0,
            max_replicas=3,
            resources=resources,
            service_account="storage-reader",
            lineage={"git-revision": "0123abc", "registered-model": ""},
            labels={"team": "ops", "tier": 1.0},
            annotations={"serving.kserve.io/enable-tag-routing": "true"},
        )
    )
    predictor = rendered["spec"]["predictor"]
    assert predictor["minReplicas"] == 0
    assert predictor["maxReplicas"] == 3
    assert predictor["serviceAccountName"] == "storage-reader"
    assert "runtime" not in predictor["model"]
    assert predictor["model"]["modelFormat"] == {"name": "onnx"}
    assert predictor["model"]["protocolVersion"] == "v1"
    assert predictor["model"]["resources"] == {"requests": {"cpu": 2, "memory": "1Gi"}, "limits": {"memory": "2Gi"}}
    assert isinstance(predictor["model"]["resources"]["requests"]["cpu"], int)
    assert rendered["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "kubeline", "team": "ops", "tier": "1"}
    assert rendered["metadata"]["annotations"] == {
        "kubeline.dev/git-revision": "0123abc",
        "kubeline.dev/package-digest": "d" * 64,
        "serving.kserve.io/enable-tag-routing": "true",
    }


def test_overrides_merge_replace_and_remove_and_their_integers_are_integers_again() -> None:
    overrides = {
        "metadata": {"labels": {"tier": "gold"}},
        "spec": {
            "predictor": {
                "minReplicas": None,
                "timeout": 60.0,
                "nodeSelector": {"disk": "ssd"},
                "model": {"env": [{"name": "THREADS", "value": "2"}], "resources": {"requests": {"cpu": 0.5}}},
            }
        },
    }
    predictor = render(service(resources={"limits": {"memory": "1Gi"}}), overrides)["spec"]["predictor"]
    assert "minReplicas" not in predictor
    assert predictor["timeout"] == 60
    assert isinstance(predictor["timeout"], int)
    assert predictor["nodeSelector"] == {"disk": "ssd"}
    assert {"name": "THREADS", "value": "2"} in predictor["model"]["env"]
    assert predictor["model"]["resources"] == {"limits": {"memory": "1Gi"}, "requests": {"cpu": 0.5}}
    assert predictor["model"]["storageUri"] == "s3://models/flights"


@pytest.mark.parametrize(
    "overrides",
    [
        {"kind": "Pod"},
        {"metadata": {"name": "other"}},
        {"metadata": {"namespace": None}},
        {"metadata": {"annotations": {"kubeline.dev/package-digest": "e" * 64}}},
        {"metadata": {"annotations": None}},
        {"spec": {"predictor": {"model": {"storageUri": "s3://elsewhere"}}}},
        {"spec": {"predictor": {"model": {"storage": {"path": "elsewhere"}}}}},
        {"spec": {"predictor": None}},
        {"spec": {"predictor": {"model": None, "containers": [{"image": "mine"}]}}},
    ],
)
def test_overrides_cannot_deploy_another_object_or_another_model(overrides: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"overrides changes .* which says what is deployed"):
        render(service(), overrides)


@pytest.mark.parametrize("name", ["", "Flights", "9flights", "flights-", "a_b", "a.b", "a" * 48])
def test_a_name_that_kserve_would_not_take_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="cannot name an InferenceService"):
        render(service(name=name))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"namespace": "My-Team"}, "'My-Team' cannot be a namespace"),
        ({"namespace": "a" * 64}, "cannot be a namespace"),
        ({"service_account": "Storage Reader"}, "cannot name a service account"),
        ({"protocol": "v3"}, "protocol 'v3' is not known; give v1, v2 or grpc-v2"),
        ({"min_replicas": -1}, "cannot be negative"),
        ({"min_replicas": 3, "max_replicas": 2}, "max_replicas 2 is below min_replicas 3"),
        ({"resources": {"cpu": "1"}}, "resources holds cpu; give"),
        ({"annotations": {"kubeline.dev/package-digest": "x"}}, "are Kubeline's own"),
    ],
)
def test_a_setting_that_is_not_valid_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        render(service(**changes))


def test_rendering_changes_nothing_that_it_was_given() -> None:
    overrides: dict[str, Any] = {"spec": {"predictor": {"model": {"env": []}}}}
    resources = {"limits": {"cpu": 1.0}}
    render(service(resources=resources), overrides)
    assert overrides == {"spec": {"predictor": {"model": {"env": []}}}}
    assert resources == {"limits": {"cpu": 1.0}}


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("gs://bucket/model", "gs://bucket/model"),
        ("minio://mlpipeline/v2/artifacts/model", "s3://mlpipeline/v2/artifacts/model"),
        ("/data/my model", "file:///data/my%20model"),
    ],
)
def test_an_artifact_s_uri_is_written_as_kserve_reads_it(uri: str, expected: str) -> None:
    assert kserve_uri(uri) == expected


def test_a_relative_path_becomes_absolute() -> None:
    assert kserve_uri("model") == (Path.cwd() / "model").as_uri()


VALUES = st.recursive(
    st.booleans() | st.integers(-3, 3) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4)


@settings(deadline=None)  # the machine may be busy
@given(OBJECTS, OBJECTS)
def test_the_smallest_patch_brings_every_wanted_field_and_then_nothing_is_left_to_patch(live: Any, wanted: Any) -> None:
    patched = merge(live, merge_patch(live, wanted))
    assert patched == merge(live, wanted)
    assert merge_patch(patched, wanted) == {}


@pytest.mark.parametrize(
    ("document", "patch", "result"),
    [  # from the examples of RFC 7396, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_merge_patch_is_applied_as_rfc_7396_says(document: Any, patch: Any, result: Any) -> None:
    assert merge(document, patch) == result


def test_only_integral_floats_become_integers() -> None:
    given = {"a": 1.0, "b": [2.0, {"c": 2.5}], "d": True, "e": "1.0", "f": float("inf")}
    whole = whole_numbers(given)
    assert whole == {"a": 1, "b": [2, {"c": 2.5}], "d": True, "e": "1.0", "f": float("inf")}
    assert [type(whole["a"]), type(whole["b"][0]), type(whole["d"])] == [int, int, bool]
