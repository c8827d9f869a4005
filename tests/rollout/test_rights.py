"""The Role that is shipped allows what a rollout asks for, and no more."""

from pathlib import Path

import yaml

from kubeline.rollout.preflight import rights

RBAC = Path(__file__).parents[2] / "manifests" / "base" / "rbac.yaml"


def test_the_role_allows_what_a_rollout_asks_for_and_no_more() -> None:
    role = next(document for document in yaml.safe_load_all(RBAC.read_text()) if document["kind"] == "Role")
    allowed = {
        (verb, group, resource)
        for rule in role["rules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    asked = {(verb, resource.group, resource.plural) for verb, resource, _ in rights("flights", "standard", pages=True)}
    assert allowed == asked
