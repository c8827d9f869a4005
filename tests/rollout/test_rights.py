"""The Role that is shipped allows what a rollout and notify ask for, and no more."""

from pathlib import Path

import pytest
import yaml

from kubeline.errors import PlatformError
from kubeline.notification.asking import WORKFLOW
from kubeline.rollout.preflight import OPTIONAL_RIGHTS, rights
from kubeline.rollout.status import DeploymentMode
from tests.rollout.house import House

RBAC = Path(__file__).parents[2] / "manifests" / "base" / "rbac.yaml"


def test_the_role_allows_what_a_rollout_and_notify_ask_for_and_no_more() -> None:
    role = next(document for document in yaml.safe_load_all(RBAC.read_text()) if document["kind"] == "Role")
    allowed = {
        (verb, group, resource)
        for rule in role["rules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    asked = {
        (verb, kind.group, kind.plural) for verb, kind, _ in rights("flights", DeploymentMode.STANDARD, outside=True)
    }
    optional = {(verb, kind.group, kind.plural) for verb, kind, _ in OPTIONAL_RIGHTS}
    assert allowed == asked | optional | {("get", WORKFLOW.group, WORKFLOW.plural)}


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
