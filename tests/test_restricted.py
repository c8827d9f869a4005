"""What a namespace can forbid (manifests/restricted, manifests/named), and what steps and models then still may."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import kubernetes
import pytest
import yaml

from kubeline.deployment.inference_service import Service, render
from kubeline.rollout.preflight import rights
from kubeline.rollout.status import DeploymentMode

ROOT = Path(__file__).parents[1]
MANIFESTS = ROOT / "manifests"
PIPELINES = sorted(path.parent.name for path in ROOT.glob("pipelines/*/pipeline.py"))
# Of every step's container, on Kubeflow Pipelines 2.17 (recorded): what its API server gives each by itself.
BACK_END = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
STEP = {"pipelines.kubeflow.org/v2_component": "true"}  # a label of every pod of a run (recorded)


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def restricted(container: dict[str, Any]) -> bool:
    """Whether a container's own context meets the Pod Security Standard `restricted`."""
    return (
        container.get("runAsNonRoot") is True
        and container.get("runAsUser") != 0
        and container.get("allowPrivilegeEscalation") is False
        and container.get("privileged") in {None, False}
        and container.get("capabilities") == {"drop": ["ALL"]}
        and container.get("seccompProfile") == {"type": "RuntimeDefault"}
    )


@pytest.mark.parametrize("name", PIPELINES)
def test_no_step_of_a_pipeline_runs_as_root(name: str) -> None:
    pipeline, platform = documents(ROOT / "pipelines" / name / "kubeflow.yaml")
    configured = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert configured.keys() == pipeline["deploymentSpec"]["executors"].keys()
    for executor, section in configured.items():
        assert section["securityContext"] == {"runAsNonRoot": True}, executor
        assert restricted({**BACK_END, **section["securityContext"]})


@pytest.mark.parametrize("file", ["Dockerfile", "serving/Dockerfile"])
def test_images_name_their_user_by_number_as_a_node_that_refuses_root_wants(file: str) -> None:
    users = [line for line in (ROOT / file).read_text(encoding="utf-8").splitlines() if line.startswith("USER ")]
    assert users[-1] == "USER 1000:1000"


def test_the_namespace_admits_what_is_restricted_and_the_model_server_is() -> None:
    (namespace,) = documents(MANIFESTS / "restricted" / "namespace.yaml")
    standard = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
    assert namespace["metadata"]["labels"] == standard
    (runtime,) = documents(MANIFESTS / "runtime" / "serving-runtime.yaml")
    assert all(restricted(container["securityContext"]) for container in runtime["spec"]["containers"])


@pytest.fixture
def policies() -> dict[str, dict[str, Any]]:
    found = documents(MANIFESTS / "restricted" / "network-policies.yaml")
    client = kubernetes.client.ApiClient()
    for policy in found:  # Kubernetes knows every field
        parsed = client.deserialize(SimpleNamespace(data=json.dumps(policy)), "V1NetworkPolicy")
        assert client.sanitize_for_serialization(parsed) == policy
    return {policy["metadata"]["name"]: policy["spec"] for policy in found}


def test_a_policy_is_about_the_pods_of_rendered_models(policies: dict[str, dict[str, Any]]) -> None:
    wanted = policies["kubeline-model-servers"]["podSelector"]["matchLabels"]
    service = render(Service("flights", "models", "s3://models/1", package_digest="0" * 64))
    labels = {**service["metadata"]["labels"], "component": "predictor"}  # the latter is KServe's (recorded)
    assert wanted.items() <= labels.items()


def test_models_answer_gateways_and_steps_and_nobody_else(policies: dict[str, dict[str, Any]]) -> None:
    spec = policies["kubeline-model-servers"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    ((gateways, steps),) = (rule["from"] for rule in spec["ingress"])
    assert "podSelector" not in gateways
    assert {"kourier-system", "knative-serving"} < {*gateways["namespaceSelector"]["matchExpressions"][0]["values"]}
    assert steps == {"namespaceSelector": {}, "podSelector": {"matchLabels": STEP}}


def test_nobody_asks_a_step_anything(policies: dict[str, dict[str, Any]]) -> None:
    spec = policies["kubeline-pipeline-steps"]
    assert spec["podSelector"] == {"matchLabels": STEP}
    assert "Ingress" in spec["policyTypes"]
    assert spec["ingress"] == []


def test_neither_models_nor_steps_reach_the_metadata_server_that_gives_out_the_nodes_identity(
    policies: dict[str, dict[str, Any]],
) -> None:
    for spec in policies.values():
        blocks = [to["ipBlock"] for rule in spec["egress"] for to in rule.get("to", []) if "ipBlock" in to]
        assert [block["except"] for block in blocks] == [["169.254.169.254/32"], ["fd00:ec2::254/128"]]
        anywhere = [rule for rule in spec["egress"] if "to" not in rule]
        assert all({port["port"] for port in rule["ports"]} == {53} for rule in anywhere)


def named() -> list[dict[str, Any]]:
    """The rules of the Role of manifests/base as manifests/named patches them (JSON Patch: test and add)."""
    role = next(one for one in documents(MANIFESTS / "base" / "rbac.yaml") if one["kind"] == "Role")
    (kustomization,) = documents(MANIFESTS / "named" / "kustomization.yaml")
    (patch,) = kustomization["patches"]
    assert patch["target"] == {"kind": "Role", "name": role["metadata"]["name"]}
    for operation in yaml.safe_load(patch["patch"]):
        _, rules, position, key = operation["path"].split("/")
        rule = role[rules][int(position)]
        if operation["op"] == "test":
            assert rule[key] == operation["value"]
        else:
            rule[key] = operation["value"]
    return list(role["rules"])


def allowed(rules: list[dict[str, Any]], verb: str, group: str, resource: str, name: str) -> bool:
    """What the API server would say of one object."""
    return any(
        verb in rule["verbs"]
        and group in rule["apiGroups"]
        and resource in rule["resources"]
        and (not rule.get("resourceNames") or name in rule["resourceNames"])
        for rule in rules
    )


def test_with_names_a_rollout_may_touch_the_objects_of_its_model_and_those_of_no_other() -> None:
    rules = named()
    modes = (DeploymentMode.STANDARD, DeploymentMode.OPENSHIFT)
    for name, expected in (("flights", True), ("others", False)):
        asked = [right for mode in modes for right in rights(name, mode, outside=True) if right[2]]
        assert {one.plural for _, one, _ in asked} == {"inferenceservices", "configmaps", "httproutes", "routes"}
        for verb, resource, one in asked:
            assert allowed(rules, verb, resource.group, resource.plural, one) is expected, (verb, one)
    for verb, resource, one in (right for mode in modes for right in rights("flights", mode, outside=True)):
        assert allowed(rules, verb, resource.group, resource.plural, one), (verb, resource.plural)
