"""From a reference that a user types to a local folder."""

import atexit
import contextlib
import json
import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

from kubeline.addresses import redact, refuse_credentials, scheme
from kubeline.artifacts import publish
from kubeline.data.sources import listing
from kubeline.errors import KubelineError, PlatformError, UserError
from kubeline.model_package import signing
from kubeline.model_package.formats import FILES, OPTIONAL, require_known
from kubeline.model_package.package import MANIFEST, MANIFEST_BYTES, digest_at
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
        return _from_storage(reference)
    return _local(reference)


def absent(reference: str, tracking_uri: str = "") -> UserError:
    """The error for a registered model that is not there, which names the registry that was asked."""
    return UserError(
        f"the registry at {open_registry(tracking_uri).place} has no '{redact(reference)}'; check the name, the alias "
        "or version, and the registry (tracking_uri, MLFLOW_TRACKING_URI)"
    )


def _local(reference: str) -> Path:
    path = Path(reference).expanduser()
    if not reference or not path.exists():
        raise UserError(f"there is nothing at '{reference}'; give a folder, a URI, or models:/NAME@ALIAS")
    return path


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
        manifest = storage.cat_file(f"{root}/{MANIFEST}", start=0, end=MANIFEST_BYTES + 1)
    except FileNotFoundError:
        found = listing(storage, "_find", root)
        if not found:
            raise FileNotFoundError(uri) from None
        storage.get(found, [str(folder / _inside(path.removeprefix(root), uri)) for path in found])
        return
    sizes = _sizes(manifest, uri)
    folder.mkdir()
    (folder / MANIFEST).write_bytes(manifest)
    for name, size in sizes.items():
        there = storage.info(f"{root}/{name}").get("size")  # a web server may not say
        if None not in (size, there) and size != there:
            raise UserError(
                f"{name} at '{uri}' has {there:,} bytes, but the manifest says {size:,}; it was changed since: "
                "do not use it"
            )
        storage.get_file(f"{root}/{name}", str(folder / name))
    if signing.required():  # its reader says what is wrong with none
        with contextlib.suppress(FileNotFoundError):
            _copy_signature(storage, root, folder)


def _copy_signature(storage: Any, root: str, folder: Path) -> None:
    name = signing.MODEL_SIGNATURE
    (folder / name).write_bytes(storage.cat_file(f"{root}/{name}", start=0, end=signing.MOST_BYTES + 1))


def _inside(key: str, uri: str) -> PurePosixPath:
    """The part of a key below the address, when it stays below it."""
    part = PurePosixPath(key.lstrip("/"))
    if ".." in part.parts:
        raise UserError(f"'{part}' at '{uri}' leads out of its folder; leave it")
    return part


def _sizes(manifest: bytes, uri: str) -> dict[str, int | None]:
    """The files that a manifest names, and how many bytes they have, where it says so."""
    if len(manifest) > MANIFEST_BYTES:
        raise UserError(f"the {MANIFEST} at '{uri}' has more than {MANIFEST_BYTES:,} bytes; it is not one of a package")
    require_known(manifest, uri)
    try:
        found = json.loads(manifest)
        names, sizes = list(found["files"]), dict(found.get("sizes", {}))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UserError(f"the {MANIFEST} at '{uri}' is not one of a model package; check the address") from None
    for name in names:
        if name not in {*FILES, *OPTIONAL}:
            raise UserError(
                f"the manifest at '{uri}' names '{name[:100]}', which is not a plain file name of a package; leave it"
            )
    return {name: size if type(size := sizes.get(name)) is int else None for name in names}


def _temporary_folder() -> Path:
    folder = tempfile.mkdtemp(prefix="kubeline-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
