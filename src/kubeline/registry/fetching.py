"""From a reference that a user types to a local folder."""

import atexit
import shutil
import tempfile
from pathlib import Path

from kubeline.addresses import redact, refuse_credentials, scheme
from kubeline.errors import UserError
from kubeline.model_package.package import digest_at
from kubeline.registry import storage
from kubeline.registry.interface import package_digest, parse_reference
from kubeline.registry.opening import open_registry


def fetch(reference: str, tracking_uri: str = "") -> Path | None:
    """Return a local folder for a reference to a model package.

    What must be downloaded goes to a temporary folder that is removed when the process ends. A registered package is
    the one whose digest the registry has; more is not checked here: open it with
    :meth:`kubeline.model_package.ModelPackage.open`, which verifies every file.

    Args:
        reference: a local path; a URI that fsspec knows (``s3://``, ``gs://``, ``abfs://``, ``https://``, ``file://``);
            or a registered model, ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``.
        tracking_uri: the registry for ``models:/``; see :func:`kubeline.registry.open_registry`.

    Returns:
        The folder, or None when the registry has no such model, alias or version.

    Raises:
        UserError: when nothing is at the path or URI, or the reference cannot be understood.
        PlatformError: when the storage or the registry cannot be used.
    """
    if reference.startswith("models:"):
        return _from_registry(reference, tracking_uri)
    refuse_credentials(reference, "model")
    if scheme(reference):
        return storage.download(reference, _temporary_folder())
    return storage.local(reference)


def absent(reference: str, tracking_uri: str = "") -> UserError:
    """The error for a registered model that is not there, which names the registry that was asked."""
    return UserError(
        f"the registry at {open_registry(tracking_uri).place} has no '{redact(reference)}'; check the name, the alias "
        "or version, and the registry (tracking_uri, MLFLOW_TRACKING_URI)"
    )


def _from_registry(reference: str, tracking_uri: str) -> Path | None:
    name, alias, version = parse_reference(reference)
    registry = open_registry(tracking_uri)
    found = registry.find(name, alias=alias, version=version)
    if found is None:
        return None
    named = package_digest(found)
    folder = registry.download(found, into=_temporary_folder())
    if (there := digest_at(folder)) != named:
        raise UserError(
            f"{found.uri} is registered as package {named[:12]}, but {there[:12]} lies at {redact(found.source)}; "
            "bring the registered one back, or register this one"
        )
    return folder


def _temporary_folder() -> Path:
    folder = tempfile.mkdtemp(prefix="kubeline-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
