"""The step that files a blessed model package in the registry."""

import logging
from typing import Any, NamedTuple

from kubeline.addresses import redact
from kubeline.artifacts import Artifact, publish, step
from kubeline.errors import UserError
from kubeline.model_card.building import build
from kubeline.model_card.pages import PAGE, forms
from kubeline.model_package.blessing import require
from kubeline.model_package.package import ModelPackage
from kubeline.registry import facts
from kubeline.registry import registration as output
from kubeline.registry.interface import (
    CHALLENGER,
    CHAMPION,
    ModelVersion,
    Registry,
    Submission,
    check_alias,
    check_name,
)
from kubeline.registry.opening import open_registry
from kubeline.retries import repeated

logger = logging.getLogger(__name__)


class Registered(NamedTuple):
    """The version that the package has, and the reference to it that never moves."""

    version: str
    uri: str


@step
@repeated
def run(
    model: Artifact,
    evaluation: Artifact,
    infra_validation: Artifact,
    registration: Artifact,
    model_card: Artifact,
    *,
    name: str,
    tracking_uri: str = "",
    alias: str = CHALLENGER,
    promote: bool = False,
    cluster: str = "",
    experiment: str = "",
    pipeline_run: str = "",
    git_revision: str = "",
    tags: dict[str, Any] | None = None,
    about: dict[str, Any] | None = None,
) -> Registered:
    """Register the package once both checks bless it; see the component `register` for the parameters.

    Raises:
        UserError: when the name, the alias, the package or a blessing is not right.
        PlatformError: when the registry cannot be used.
    """
    check_name(name)
    _check_alias(alias, promote)
    if promote and cluster:
        logger.info("a rollout follows: the champion stays the one that serves until then")
        promote = False
    package = ModelPackage.of(model)
    blessings = [
        require(evaluation, "evaluation", package.digest),
        require(infra_validation, "infra_validation", package.digest),
    ]
    revision = git_revision or package.manifest.git_revision
    lineage = {"pipeline_run": pipeline_run, "package_uri": redact(model.uri), "git_revision": revision}
    card = forms(build(name, package, blessings[0], blessings[1], lineage, about or {}))
    with publish(model_card.path) as path:
        path.write_text(card[PAGE], encoding="utf-8")
    registry = open_registry(tracking_uri)
    version = registry.register(
        Submission(
            name=name,
            package=package.path,
            digest=package.digest,
            params=facts.parameters(package),
            metrics=facts.metrics(package, blessings),
            tags={
                **{str(key): str(value) for key, value in (tags or {}).items()},
                **facts.lineage_tags(package, blessings, lineage),
            },
            description=facts.description(package.manifest.estimator, package.signature),
            experiment=experiment,
            documents=card,
        )
    )
    version = _aliased(registry, version, alias, promote)
    output.write(registration, version, package.digest, registry.page(version))
    logger.info("%s is %s (aliases: %s)", package.digest[:12], version.uri, ", ".join(version.aliases) or "none")
    return Registered(version.version, version.uri)


def _aliased(registry: Registry, version: ModelVersion, alias: str, promote: bool) -> ModelVersion:
    if alias not in {"", CHAMPION} and not (alias == CHALLENGER and (promote or CHAMPION in version.aliases)):
        version = registry.point(alias, version)  # but a champion is never its own challenger
    return registry.promote(version) if promote else version


def _check_alias(alias: str, promote: bool) -> None:
    if alias:
        check_alias(alias)
    if alias == CHAMPION and not promote:
        raise UserError("the alias 'champion' was given; a version becomes the champion by promote=True")
