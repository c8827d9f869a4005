"""The Kubernetes manifests and the images say what the server and the components need."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import kserve
import kubernetes
import pytest
import yaml

from components.images import image
from kubeline_serving.options import read_options
from tests.support.served import Served

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "manifests"
DOCKERFILES = {"root": ROOT / "Dockerfile", "serving": ROOT / "serving" / "Dockerfile"}
KUBERNETES_GRACE_SECONDS = 30  # terminationGracePeriodSeconds of a pod that sets none
LOCKS = sorted(path.name for path in (ROOT / "images").glob("*.lock"))


def documents(file: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((MANIFESTS / file).read_text(encoding="utf-8")))


@pytest.fixture
def runtime() -> dict[str, Any]:
    (document,) = documents("runtime/serving-runtime.yaml")
    return document


@pytest.fixture
def container(runtime: dict[str, Any]) -> dict[str, Any]:
    (container,) = runtime["spec"]["containers"]
    return container


def test_kserve_and_kubernetes_know_every_field_of_the_runtime(
    runtime: dict[str, Any], container: dict[str, Any]
) -> None:
    assert runtime["spec"].keys() <= set(kserve.V1alpha1ServingRuntimeSpec.attribute_map.values())
    for item in runtime["spec"]["supportedModelFormats"]:
        assert item.keys() <= set(kserve.V1alpha1SupportedModelFormat.attribute_map.values())
    client = kubernetes.client.ApiClient()
    parsed = client.deserialize(SimpleNamespace(data=json.dumps(container)), "V1Container")
    assert client.sanitize_for_serialization(parsed) == container


def test_the_runtime_serves_package_models_over_every_protocol(runtime: dict[str, Any]) -> None:
    (format_,) = runtime["spec"]["supportedModelFormats"]
    assert (format_["name"], format_["autoSelect"]) == ("kubeline", True)
    assert runtime["spec"]["protocolVersions"] == ["v1", "v2", "grpc-v2"]


def test_the_runtime_runs_the_pinned_serving_image(container: dict[str, Any]) -> None:
    assert container["name"] == "kserve-container"
    assert container["image"] == image("serving")


def test_the_server_takes_every_argument_of_the_runtime(container: dict[str, Any]) -> None:
    options = read_options(container["args"])
    assert options.ignored == ()
    assert options.model_name == "{{.Name}}"
    assert options.model_dir == Path("/mnt/models")
    ports = {container[probe]["httpGet"]["port"] for probe in ("readinessProbe", "livenessProbe")}
    assert ports == {options.http_port}


def test_the_server_ends_before_kubernetes_kills_its_pod(container: dict[str, Any]) -> None:
    options = read_options(container["args"])
    assert options.drain_seconds > 0
    assert options.drain_seconds + options.grace_seconds < KUBERNETES_GRACE_SECONDS


def test_a_server_answers_the_probes_of_the_runtime(container: dict[str, Any], tiny: Served) -> None:
    for probe in ("readinessProbe", "livenessProbe"):
        path = container[probe]["httpGet"]["path"].replace("{{.Name}}", tiny.name)
        assert tiny.get(path)[0] == 200
        assert tiny.get(path + "x")[0] == 404


def test_knative_takes_the_probes_of_the_runtime(container: dict[str, Any]) -> None:
    assert "startupProbe" not in container  # refused before Knative 1.15


def test_the_runtime_may_not_become_root_or_write(container: dict[str, Any]) -> None:
    security = container["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}


def test_the_role_of_pipeline_steps_covers_inference_services_and_no_secrets() -> None:
    role, binding = documents("base/rbac.yaml")
    granted: dict[str, set[str]] = {}
    for rule in role["rules"]:
        for resource in rule["resources"]:
            granted.setdefault(resource, set()).update(rule["verbs"])
    assert {"get", "create", "patch"} <= granted["inferenceservices"]
    groups = {group for rule in role["rules"] for group in rule["apiGroups"]}
    assert groups == {"serving.kserve.io", "gateway.networking.k8s.io", "route.openshift.io", "apps", "argoproj.io", ""}
    assert not {"secrets", "*"} & set(granted)
    assert binding["roleRef"] == {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "Role",
        "name": role["metadata"]["name"],
    }


@pytest.mark.parametrize("folder", sorted(path.parent.name for path in MANIFESTS.glob("*/kustomization.yaml")))
def test_each_kustomization_names_what_exists(folder: str) -> None:
    (kustomization,) = documents(f"{folder}/kustomization.yaml")
    for resource in kustomization["resources"]:
        assert (MANIFESTS / folder / resource).exists()


@pytest.mark.parametrize("name", LOCKS)
def test_images_install_what_is_tested(name: str) -> None:
    tested = _pins(ROOT / "requirements.lock")
    pins = _pins(ROOT / "images" / name)
    assert pins
    assert pins.items() <= tested.items()


@pytest.mark.parametrize("name", DOCKERFILES)
def test_images_are_hash_checked_and_do_not_run_as_root(name: str) -> None:
    lines = DOCKERFILES[name].read_text(encoding="utf-8").splitlines()
    script = (ROOT / "images" / "install.sh").read_text(encoding="utf-8").splitlines()
    installs = [line for line in [*lines, *script] if "pip install -" in line or "$INSTALL " in line]
    assert len(installs) == 3
    assert all("--no-deps" in line for line in installs)
    assert all("--require-hashes" in line or "--no-index" in line for line in installs)
    users = [line for line in lines if line.startswith("USER ")]
    assert users[-1] == "USER 1000:1000"
    assert not any(re.search(r":latest\b", line) for line in lines)


def _pins(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", lock.read_text(encoding="utf-8"), re.MULTILINE))
