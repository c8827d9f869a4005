"""The Role that is shipped allows what a rollout and notify ask for, and no more."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from kubeline.errors import PlatformError
from kubeline.kubernetes import resources
from kubeline.notification.asking import WORKFLOW
from kubeline.rollout.preflight import OPTIONAL_RIGHTS, rights
from kubeline.rollout.status import DeploymentMode
from tests.rollout.house import House

ROOT = Path(__file__).parents[2]
RBAC = ROOT / "manifests" / "base" / "rbac.yaml"
TRAINER = ROOT / "manifests" / "trainer" / "rbac.yaml"  # of those who train with workers
SPARK = ROOT / "manifests" / "spark" / "rbac.yaml"  # of those who load from an application of Spark
RUNTIME = ROOT / "manifests" / "cluster-runtime" / "rbac.yaml"  # of those whose runtime is one for all namespaces
KINDS = {**vars(resources), "WORKFLOW": WORKFLOW}
VERBS = {"read": "get", "find": "list", "create": "create", "patch": "patch", "remove": "delete"}
NOT_IN_THE_ROLE = {("get", "networking.k8s.io", "ingresses")}  # read where someone allows it


def role(file: Path = RBAC) -> set[tuple[str, str, str]]:
    """Verb, group and resource of each rule."""
    document = next(one for one in yaml.safe_load_all(file.read_text()) if one["kind"] in {"Role", "ClusterRole"})
    return {
        (verb, group, resource)
        for rule in document["rules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def calls() -> Iterator[tuple[str, str, str]]:
    """Verb, group and resource of each call of a cluster that stands in the code."""
    for file in sorted((ROOT / "src" / "kubeline").rglob("*.py")):
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
                continue
            if not ast.unparse(call.func.value).split("(")[0].lower().endswith(("cluster", "cluster.connect")):
                continue
            if call.func.attr == "proxy":
                yield "create", "", resources.SERVICE_PROXY.plural
            words = [word for given in (*call.args, *call.keywords) for word in ast.walk(given)]
            named = [KINDS[word.id] for word in words if isinstance(word, ast.Name) and word.id in KINDS]
            kinds = [kind for kind in named if isinstance(kind, resources.Resource)] or [resources.INFERENCE_SERVICE]
            if verb := VERBS.get(call.func.attr):
                yield verb, kinds[0].group, kinds[0].plural


def test_each_call_of_the_code_has_its_verb_in_a_role_and_each_verb_of_a_role_its_call() -> None:
    assert set(calls()) - NOT_IN_THE_ROLE == role() | role(TRAINER) | role(SPARK) | role(RUNTIME)
    assert set(calls()) >= NOT_IN_THE_ROLE


def test_only_the_client_that_the_calls_go_through_reaches_the_api_server() -> None:
    reaching = {
        file.relative_to(ROOT / "src" / "kubeline").parts[0]
        for file in (ROOT / "src" / "kubeline").rglob("*.py")
        for line in file.read_text(encoding="utf-8").splitlines()
        if line.strip().startswith(("import kubernetes", "from kubernetes"))
    }
    assert "kubernetes" in reaching
    assert reaching.isdisjoint({"rollout", "deployment", "notification", "preflight", "cli"})


def test_the_role_allows_what_a_rollout_and_notify_ask_for_and_no_more() -> None:
    modes = (DeploymentMode.STANDARD, DeploymentMode.OPENSHIFT)
    needed = [right for mode in modes for right in rights("flights", mode, outside=True)]
    asked = {(verb, kind.group, kind.plural) for verb, kind, _ in needed}
    optional = {(verb, kind.group, kind.plural) for verb, kind, _ in OPTIONAL_RIGHTS}
    assert role() == asked | optional | {("get", WORKFLOW.group, WORKFLOW.plural)}


def test_all_missing_rights_are_listed_also_where_the_records_are_among_them(house: House) -> None:
    house.stable()
    before = house.service()
    house.kserve.faults.add("deny", verb="*", resource="configmaps", times=0)
    house.kserve.faults.add("deny", verb="list", resource="pods", times=0)
    missing = "get configmaps, create configmaps, patch configmaps, list pods"
    with pytest.raises(PlatformError, match=f"may not {missing} in namespace 'default'; apply the Role"):
        house.roll_out(house.package("good"))
    house.kserve.faults.clear()
    assert house.service()["spec"] == before["spec"]
