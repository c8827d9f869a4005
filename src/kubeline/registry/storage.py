"""Model packages in object stores, on web servers and on disks: copied from there, and put there whole."""

import contextlib
import json
from pathlib import Path, PurePosixPath
from typing import Any

from kubeline.addresses import file_system, redact, scheme, storage_errors
from kubeline.artifacts import publish
from kubeline.data.sources import STORES, listing
from kubeline.errors import KubelineError, PlatformError, UserError
from kubeline.model_package import signing
from kubeline.model_package.formats import FILES, OPTIONAL, require_known
from kubeline.model_package.package import MANIFEST, MANIFEST_BYTES


def put_package(folder: Path, uri: str) -> None:
    """Copy a package to a folder of a store that holds its digest in its name; done before, nothing is copied.

    The manifest comes last, so that a package that has one is whole.

    Raises:
        PlatformError: when the store cannot be used.
    """
    with storage_errors(f"the folder of models '{redact(uri)}'"):
        store, root = file_system(uri)
        if store.exists(f"{root}/{MANIFEST}"):
            return
        _make_folder(store, root, uri)
        for path in sorted(folder.iterdir(), key=lambda path: path.name == MANIFEST):
            store.put_file(str(path), f"{root}/{path.name}")


def put_texts(texts: dict[str, str], uri: str, *, replace: bool) -> None:
    """Write texts into a folder of a store by file name; without `replace`, those that are there stay.

    Raises:
        PlatformError: when the store cannot be used.
    """
    with storage_errors(f"the folder of models '{redact(uri)}'"):
        store, root = file_system(uri)
        _make_folder(store, root, uri)
        for name, text in texts.items():
            if replace or not store.exists(f"{root}/{name}"):
                store.pipe_file(f"{root}/{name}", text.encode())


def _make_folder(store: Any, root: str, uri: str) -> None:
    if scheme(uri) not in STORES:  # where there are none, and a library may want to make a bucket
        store.makedirs(root, exist_ok=True)


def read_text(uri: str) -> str:
    """A text of a store; empty where there is none.

    Raises:
        PlatformError: when the store cannot be used.
    """
    with storage_errors(f"'{redact(uri)}'"):
        store, path = file_system(uri)
        try:
            return bytes(store.cat_file(path)).decode()
        except FileNotFoundError:
            return ""


def local(reference: str) -> Path:
    """A path that is there.

    Raises:
        UserError: when it is not.
    """
    path = Path(reference).expanduser()
    if not reference or not path.exists():
        raise UserError(f"there is nothing at '{reference}'; give a folder, a URI, or models:/NAME@ALIAS")
    return path


def download(uri: str, into: Path) -> Path:
    """A local folder with the package at an address: in `into`, or its own place when that is local.

    Raises:
        UserError: when nothing is there, or it is no package.
        PlatformError: when the store cannot be used.
    """
    try:
        storage, root = file_system(uri)
        if "file" in storage.protocol:
            return local(root)
        folder = into / (PurePosixPath(root).name or "package")
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
