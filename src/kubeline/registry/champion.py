"""The champion is the model that serves: what a rollback outside a pipeline must leave true in the registry as well."""

import os
import re

from kubeline.errors import UserError
from kubeline.registry.interface import CHAMPION
from kubeline.registry.opening import open_registry

_VARIABLE = "MLFLOW_TRACKING_URI"


def follow(name: str, digest: str, tracking_uri: str = "") -> str:
    """Make the version of a package the champion, as it serves again.

    Args:
        name: of the registered model.
        digest: of the package.
        tracking_uri: of the registry; empty for the environment variable ``MLFLOW_TRACKING_URI``.

    Returns:
        One sentence about the champion; without a registry, about what is left to do.

    Raises:
        UserError: when the registry has no such version.
        PlatformError: when it cannot be used.
    """
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise UserError(f"the model that serves names no package digest, so it cannot be made the champion of {name}")
    if not (tracking_uri or os.environ.get(_VARIABLE)):
        return (
            f"the registry is left as it is: where {name} has a champion, repeat this with --tracking_uri (or "
            f"{_VARIABLE}), so that the champion is {digest[:12]}, which serves"
        )
    registry = open_registry(tracking_uri)
    version = registry.find(name, digest=digest)
    if version is None:
        raise UserError(
            f"{digest[:12]} serves, but the registry at {registry.place} has no version of {name} with this package; "
            "give --model NAME of the registered model"
        )
    if CHAMPION in version.aliases:
        return f"{version.uri} is the champion already"
    registry.promote(version)
    return f"{version.uri} is the champion again"
