"""The step that makes a registered version the champion once it serves."""

import logging

from kubeline import json_files
from kubeline.artifacts import Artifact, publish, step
from kubeline.errors import UserError
from kubeline.model_card.building import rolled_out
from kubeline.model_card.card import ModelCard
from kubeline.model_card.pages import DATA, forms, page
from kubeline.registry import registration as output
from kubeline.registry.interface import ModelVersion, Registry, check_name
from kubeline.registry.opening import open_registry
from kubeline.reports import Report, text
from kubeline.retries import repeated

logger = logging.getLogger(__name__)

_SERVING = frozenset({"", "promoted", "unchanged"})  # outcomes of a rollout; empty: there was none
_OUTCOMES = _SERVING | {"held", "rolled_back", "reported"}
_CHECKS = ("evaluation", "infra_validation")


@step
@repeated
def run(
    registration: Artifact,
    model_card: Artifact,
    *,
    name: str,
    version: str,
    decision: Artifact | None = None,
    outcome: str = "",
    promote: bool = True,
    tracking_uri: str = "",
) -> None:
    """Make the version the champion; see the component `promote_champion` for the parameters.

    Raises:
        UserError: when there is no such version, or it was registered without a blessing of both checks.
        PlatformError: when the registry cannot be used.
    """
    check_name(name)
    if outcome not in _OUTCOMES:
        raise UserError(f"outcome '{outcome}' is not one of a rollout; expected one of: {_words()}")
    registry = open_registry(tracking_uri)
    found = registry.find(name, version=version)
    if found is None:
        raise UserError(f"the registry at {registry.place} has no version {version} of {name}; register it first")
    _require_blessed(found)
    _write_card(registry, found, decision, model_card)
    if not promote:
        logger.info("promote is off: the champion stays as it is")
    elif outcome not in _SERVING:
        logger.info("the rollout ended as %s: the champion stays the one that serves", outcome)
    else:
        found = registry.promote(found)
        logger.info("%s is the champion", found.uri)
    output.write(registration, found, found.tags.get("package_digest", ""), registry.page(found))


def _write_card(registry: Registry, version: ModelVersion, decision: Artifact | None, model_card: Artifact) -> None:
    """Write the version's card, with what the rollout found out where there was one; that of the registry as well."""
    data = registry.read_document(version, DATA)
    if data:
        card = ModelCard.model_validate_json(data)
        if decision:
            document = json_files.parse(json_files.contents_of(decision.path, "the decision"), "the decision")
            card = rolled_out(card, document)
            registry.write_documents(version, forms(card))
        report = page(card)
    else:
        report = Report(f"Model card of {version.name}")
        report.add("There is none", text(f"{version.uri} was registered without one."))
    with publish(model_card.path) as path:
        path.write_text(report.html(), encoding="utf-8")


def _require_blessed(version: ModelVersion) -> None:
    for check in _CHECKS:
        verdict = version.tags.get(check, "none")
        if verdict != "promote":
            raise UserError(
                f"{version.uri} has the verdict '{verdict}' of {check}, and a champion needs 'promote'; register its "
                "package with the blessings of both checks"
            )


def _words() -> str:
    return ", ".join(sorted(outcome or "'' (no rollout)" for outcome in _OUTCOMES))
