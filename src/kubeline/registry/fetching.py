"""From a reference that a user types to a local folder."""

import atexit
import json
import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

from kubeline.addresses import redact, refuse_credentials, scheme
from kubeline.artifacts import publish
from kubeline.errors import KubelineError, PlatformError, UserError
from kubeline.registry.interface import parse_reference
from kubeline.registry.opening import open_registry


def fetch(reference: str, tracking_uri: str = "") -> Path | None:
    """Return a local folder for a reference to a model package.

    What must be downloaded goes to a temporary folder that is removed when the process ends. The content is not
    checked here: open it with :meth:`kubeline.model_package.ModelPackage.open`, which verifies every digest.

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
        return _from_storage(reference)
    return _local(reference)


def _local(reference: str) -> Path:
    path = Path(reference).expanduser()
    if not reference or not path.exists():
        raise UserError(f"there is nothing at '{reference}'; give a folder, a URI, or models:/NAME@ALIAS")
    return path


def _from_registry(reference: str, tracking_uri: str) -> Path | None:
    name, alias, version = parse_reference(reference)
    registry = open_registry(tracking_uri)
    found = registry.find(name, alias=alias, version=version)
    return None if found is None else registry.download(found, into=_temporary_folder())


def _from_storage(uri: str) -> Path:
    import fsspec

    try:
        storage, root = fsspec.core.url_to_fs(uri)
        if "file" in storage.protocol:
            return _local(root)
        folder = _temporary_folder() / (PurePosixPath(root).name or "package")
        with publish(folder) as partial:
            _copy(storage, root.rstrip("/"), partial, redact(uri))
    except KubelineError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"there is nothing at '{redact(uri)}'; check the address") from error
    except (ValueError, ImportError) as error:  # fsspec: unknown protocol, or its package is not installed
        raise UserError(f"cannot read '{redact(uri)}': {redact(str(error))}") from error
    except Exception as error:  # each storage raises errors of its own
        reason = redact(f"{type(error).__name__}: {error}")
        raise PlatformError(f"cannot read '{redact(uri)}': {reason}") from error
    return folder


def _copy(storage: Any, root: str, folder: Path, uri: str) -> None:
    """Copy the files a package's manifest names (web servers cannot list folders), or else everything there is."""
    try:
        manifest = storage.cat_file(f"{root}/manifest.json")
    except FileNotFoundError:
        storage.get(root, str(folder), recursive=True)
        return
    folder.mkdir()
    (folder / "manifest.json").write_bytes(manifest)
    for name in _file_names(manifest, uri):
        storage.get_file(f"{root}/{name}", str(folder / name))


def _file_names(manifest: bytes, uri: str) -> list[str]:
    try:
        names = list(json.loads(manifest)["files"])
    except (ValueError, KeyError, TypeError):
        raise UserError(f"the manifest.json at '{uri}' is not one of a model package; check the address") from None
    for name in names:
        if name != PurePosixPath(name).name or name in {"", ".", ".."}:
            raise UserError(f"the manifest at '{uri}' names '{name}', which is not a plain file name; do not use it")
    return names


def _temporary_folder() -> Path:
    folder = tempfile.mkdtemp(prefix="kubeline-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
