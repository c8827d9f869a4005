"""`deploy`: a blessed model becomes YAML, and an object in a cluster when one is given."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from components.deploy.component import deploy
from kubeline.errors import PlatformError, UserError
from tests.support.artifacts import make_artifact
from tests.support.blessed_packages import Blessed, blessed
from tests.support.kubernetes_api import ApiServer
from tests.support.signing_keys import signing_keys

S3 = "s3://models/flights"


def run(folder: Path, given: Blessed, **parameters: Any) -> Any:
    """Run the component; return the manifest artifact."""
    manifest = make_artifact(folder, "Artifact", "manifest")
    settings = {"name": "flights", **parameters}
    deploy.python_func(given.model, given.evaluation, given.infra_validation, manifest, **settings)
    return manifest


def test_the_manifest_is_yaml_that_names_the_package_and_its_lineage(tmp_path: Path) -> None:
    given = blessed(tmp_path)
    manifest = run(
        tmp_path, given, storage_uri=S3, registered_model="models:/flights/3", overrides={"spec": {"x": 1.0}}
    )
    document = yaml.safe_load(Path(manifest.path).read_text())
    assert document["spec"]["x"] == 1
    assert document["spec"]["predictor"]["model"]["storageUri"] == S3
    assert document["metadata"]["annotations"] == {
        "kubeline.dev/dataset-fingerprint": "f" * 64,
        "kubeline.dev/git-revision": "0123abc",
        "kubeline.dev/registered-model": "models:/flights/3",
        "kubeline.dev/package-digest": given.package.digest,
    }
    assert manifest.metadata == {
        "name": "flights",
        "namespace": "default",
        "storage_uri": S3,
        "package_digest": given.package.digest,
        "change": "rendered",
    }


def test_the_package_is_served_from_where_it_is_unless_reported_otherwise(tmp_path: Path) -> None:
    given = blessed(tmp_path)
    assert run(tmp_path, given).metadata["storage_uri"] == Path(given.model.path).as_uri()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("model-registry://registry.kubeflow:8080/", "model-registry://registry.kubeflow:8080/flights/3"),
        ("model-registry://registry.kubeflow:8080/other/7", "model-registry://registry.kubeflow:8080/other/7"),
        ("model-registry://flights/3?namespace=ml", "model-registry://flights/3?namespace=ml"),
    ],
)
def test_a_package_is_served_by_its_version_in_kubeflows_model_registry(
    given: str, expected: str, tmp_path: Path
) -> None:
    manifest = run(tmp_path, blessed(tmp_path), storage_uri=given, registered_model="models:/flights/3")
    document = yaml.safe_load(Path(manifest.path).read_text())
    assert document["spec"]["predictor"]["model"]["storageUri"] == expected


@pytest.mark.parametrize(
    "given", ["model-registry://flights", "model-registry://registry/flights", "model-registry://"]
)
def test_a_model_of_which_each_pod_would_take_the_latest_version_is_not_deployed(given: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="pods would start with whichever is the latest"):
        run(tmp_path, blessed(tmp_path), storage_uri=given)


def test_a_given_cluster_gets_the_object_and_the_manifest_says_so(tmp_path: Path, server: ApiServer) -> None:
    given = blessed(tmp_path)
    settings = {"storage_uri": S3, "cluster": server.kubeconfig(tmp_path)}
    assert run(tmp_path, given, **settings).metadata["change"] == "created"
    document = yaml.safe_load((tmp_path / "manifest").read_text())
    assert server.holds(("default", "flights"), document)
    assert run(tmp_path, given, **settings).metadata["change"] == "unchanged"
    assert run(tmp_path, blessed(tmp_path, seed=1), **settings).metadata["change"] == "updated"


def test_where_a_public_key_is_configured_a_package_that_nobody_signed_is_not_deployed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = signing_keys()
    monkeypatch.setenv("KUBELINE_PUBLIC_KEY", keys.public)
    monkeypatch.setenv("KUBELINE_SIGNING_KEY", keys.private)
    signed = blessed(tmp_path)
    assert run(tmp_path, signed, storage_uri=S3).metadata["package_digest"] == signed.package.digest
    (signed.package.path / "model.sig").unlink()
    with pytest.raises(UserError, match="is not signed, but KUBELINE_PUBLIC_KEY asks for the signature of key"):
        run(tmp_path, signed, storage_uri=S3)


def test_a_rejected_object_leaves_no_manifest(tmp_path: Path, server: ApiServer) -> None:
    with pytest.raises(UserError, match="unknown field"):
        run(
            tmp_path,
            blessed(tmp_path),
            storage_uri=S3,
            cluster=server.kubeconfig(tmp_path),
            overrides={"spec": {"predictor": {"minReplica": 2}}},
        )
    assert not (tmp_path / "manifest").exists()


def test_a_cluster_that_does_not_answer_is_a_platform_error(tmp_path: Path, server: ApiServer) -> None:
    server.uninstall_kserve()
    with pytest.raises(PlatformError, match="install KServe there"):
        run(tmp_path, blessed(tmp_path), storage_uri=S3, cluster=server.kubeconfig(tmp_path))


def test_a_local_package_is_not_sent_to_a_cluster_that_cannot_read_it(tmp_path: Path, server: ApiServer) -> None:
    given = blessed(tmp_path)
    kubeconfig = server.kubeconfig(tmp_path)
    with pytest.raises(UserError, match=r"which a cluster cannot read; .* give storage_uri"):
        run(tmp_path, given, cluster=kubeconfig)
    assert server.requests == []
    run(tmp_path, given, cluster=kubeconfig, storage_uri=given.model.uri)  # whoever says so knows better
    assert server.object(("default", "flights"))


@pytest.mark.parametrize("verdict", ["hold", "inconclusive"])
def test_a_package_without_the_verdict_promote_is_refused(verdict: Any, tmp_path: Path, server: ApiServer) -> None:
    with pytest.raises(UserError, match=f"evaluation says {verdict}"):
        run(tmp_path, blessed(tmp_path, verdict=verdict), storage_uri=S3, cluster=server.kubeconfig(tmp_path))
    assert server.requests == []
    assert not (tmp_path / "manifest").exists()


def test_a_blessing_of_another_package_is_refused(tmp_path: Path) -> None:
    other = blessed(tmp_path, seed=2)
    with pytest.raises(UserError, match="the infra_validation blessing speaks of package"):
        run(tmp_path, blessed(tmp_path, seed=1)._replace(infra_validation=other.infra_validation))


def test_a_package_changed_after_its_blessing_is_refused(tmp_path: Path) -> None:
    given = blessed(tmp_path)
    (given.package.path / "model.onnx").write_bytes(b"other weights")
    with pytest.raises(UserError, match="was changed after training"):
        run(tmp_path, given)


def test_a_file_of_overrides_is_merged_and_the_parameter_is_merged_over_it(tmp_path: Path) -> None:
    file = tmp_path / "overrides.yaml"
    file.write_text("spec: {predictor: {timeout: 60, minReplicas: 2, tolerations: [{key: gpu}]}}")
    overrides = {"spec": {"predictor": {"timeout": 30, "minReplicas": None}}}
    settings = {"overrides": overrides, "overrides_file": str(file), "node_selector": {"disk": "ssd"}}
    manifest = run(tmp_path, blessed(tmp_path), storage_uri=S3, **settings)
    predictor = yaml.safe_load(Path(manifest.path).read_text())["spec"]["predictor"]
    assert predictor["timeout"] == 30
    assert "minReplicas" not in predictor
    assert predictor["tolerations"] == [{"key": "gpu"}]
    assert predictor["nodeSelector"] == {"disk": "ssd"}


@pytest.mark.parametrize(("content", "fault"), [("- a list", "must be a mapping"), ("{", "is not valid YAML")])
def test_a_file_that_holds_no_overrides_is_refused(content: str, fault: str, tmp_path: Path) -> None:
    file = tmp_path / "overrides.yaml"
    file.write_text(content)
    with pytest.raises(UserError, match=f"the file of overrides '.*overrides.yaml' {fault}"):
        run(tmp_path, blessed(tmp_path), storage_uri=S3, overrides_file=str(file))
