"""A model goes to the namespace that is given, or else to that of the run."""

from pathlib import Path

import pytest
import yaml

from kubeline.cli import main
from kubeline.kubernetes.namespace import namespace_of
from tests.support.kubernetes_api import ApiServer

ROOT = Path(__file__).parents[2]


def kubeconfig(folder: Path, **context: str) -> str:
    file = folder / "kubeconfig"
    contexts = [{"name": "other", "context": {"namespace": "no"}}, {"name": "here", "context": context}]
    file.write_text(yaml.safe_dump({"contexts": contexts, "current-context": "here"}))
    return str(file)


def test_in_a_pod_it_is_the_pods(tmp_path: Path) -> None:
    (tmp_path / "namespace").write_text("team-a")
    assert namespace_of("", "in-cluster", tmp_path / "namespace") == "team-a"
    assert namespace_of("", "", tmp_path / "namespace") == "team-a"
    assert namespace_of("models", "in-cluster", tmp_path / "namespace") == "models"


def test_with_a_kubeconfig_it_is_that_of_its_context(tmp_path: Path) -> None:
    assert namespace_of("", kubeconfig(tmp_path, namespace="team-b"), tmp_path / "none") == "team-b"
    assert namespace_of("", kubeconfig(tmp_path), tmp_path / "none") == "default"
    assert namespace_of("", str(tmp_path / "missing"), tmp_path / "none") == "default"


def test_outside_a_cluster_it_is_default(tmp_path: Path) -> None:
    assert namespace_of("", "", tmp_path / "none") == "default"


@pytest.mark.parametrize("action", ["status", "promote", "abort", "rollback"])
def test_the_command_asks_in_the_namespace_of_the_context_unless_another_is_given(
    action: str, server: ApiServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = Path(server.kubeconfig(tmp_path))
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    document["contexts"][0]["context"]["namespace"] = "team-c"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    for given, expected in (([], "team-c"), (["--namespace", "models"], "models")):
        assert main(["rollout", action, "flights", "--kubeconfig", str(file), *given]) != 0
        assert f"{expected}/flights" in capsys.readouterr().err


def test_the_overlay_for_a_profile_binds_the_role_to_its_default_editor() -> None:
    overlay = yaml.safe_load((ROOT / "manifests/profile/kustomization.yaml").read_text(encoding="utf-8"))
    binding = next(
        document
        for document in yaml.safe_load_all((ROOT / "manifests/base/rbac.yaml").read_text(encoding="utf-8"))
        if document["kind"] == "RoleBinding"
    )
    assert overlay["resources"] == ["../base"]
    (patch,) = overlay["patches"]
    assert patch["target"] == {"kind": "RoleBinding", "name": binding["metadata"]["name"]}
    assert yaml.safe_load(patch["patch"]) == [{"op": "replace", "path": "/subjects/0/name", "value": "default-editor"}]
    (replacement,) = overlay["replacements"]
    assert replacement["source"]["fieldPath"] == "metadata.namespace"
    assert replacement["targets"][0]["fieldPaths"] == ["subjects.0.namespace"]
