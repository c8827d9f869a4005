"""From what the user typed to files on this machine: paths, folders, globs, object stores, web addresses, archives."""

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from kubeline.addresses import redact, scheme
from kubeline.data.unpack import COMPRESSIONS, unpack
from kubeline.errors import PlatformError, UserError, listed

FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".feather": "feather",
    ".arrow": "feather",
}
DATABASES = {"postgresql": "postgresql", "postgres": "postgresql", "sqlite": "sqlite"}
# The names under which fsspec knows the object stores, and the one that messages and metadata use.
STORES = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "abfs": "abfs", "abfss": "abfs", "az": "abfs"}
WEB = ("http", "https")

_CONNECT_SECONDS = 30
_SILENCE_SECONDS = 120  # a download may take hours, but not stand still


@dataclass(frozen=True)
class SourceFile:
    """One file to read.

    `path` is a staged copy or link with a harmless name; `name` is what messages call it; `format` is one of the
    values of `FORMATS`.
    """

    name: str
    path: Path
    format: str


def stage(
    source: str, file_format: str, scratch: Path, wanted: Callable[[str], bool] = lambda _: True
) -> list[SourceFile]:
    """Bring the files of `source` under `scratch`, sorted by name: links to local ones, copies of remote ones.

    Remote and compressed files are streamed to disk, so `scratch` needs their unpacked size. Of a folder that holds
    partitions (folders such as ``date=2013-10-01``) and no files, those in the partitions are taken. Files for whose
    path `wanted` is false are left out.

    Raises:
        UserError: when nothing is there, or a file's format is neither known nor given.
        PlatformError: when the store or the server cannot be reached.
    """
    kind = scheme(source)
    if kind in ("", "file"):
        files = _link_local(_local_path(source), scratch, wanted)
    elif kind in STORES or kind in WEB:
        files = _download(source, scratch, wanted)
    else:
        known = [*STORES, *WEB, *DATABASES]
        raise UserError(f"'{kind}://' is not a source load can read; give a path or one of: {listed(known, 20)}")
    return [
        SourceFile(inner, path, _format_of(inner, name) if file_format == "auto" else file_format)
        for name, staged in files
        for inner, path in unpack(name, staged)
    ]


def _local_path(source: str) -> str:
    if not source.lower().startswith("file://"):
        return source
    parts = urlsplit(source, allow_fragments=False)
    if parts.netloc not in ("", "localhost"):
        raise UserError(f"'{source}' names the host '{parts.netloc}'; a file on this machine is file:///path")
    return unquote(source[len("file://") + len(parts.netloc) :])


def _link_local(path: str, scratch: Path, wanted: Callable[[str], bool]) -> list[tuple[str, Path]]:
    if Path(path).is_dir():
        found = _visible(map(str, Path(path).iterdir())) or _visible(map(str, Path(path).glob("*=*/*")))
        what = f"the folder '{path}' holds no files"
    elif os.path.lexists(path):
        found, what = [path], ""
    else:
        found = _visible(glob.glob(path, recursive=True)) if glob.has_magic(path) else []  # noqa: PTH207 - absolute too
        what = f"nothing matches '{path}'" if glob.has_magic(path) else f"there is no file at '{path}'"
    if not found:
        raise UserError(f"{what}; check the path")
    found = _chosen(found, wanted, path)
    files = []
    for number, name in enumerate(found):
        with open(name, "rb"):  # a missing permission is an error of this file, not of the engine that reads it later
            pass
        link = scratch / f"file-{number:05d}"
        link.symlink_to(Path(name).absolute())
        files.append((name, link))
    return files


def _visible(names: Iterable[str]) -> list[str]:
    """Sorted, without folders and without the hidden files and markers (``_SUCCESS``) that other tools leave."""
    return sorted(name for name in names if Path(name).name[0] not in "._" and not Path(name).is_dir())


def _chosen(paths: list[str], wanted: Callable[[str], bool], source: str) -> list[str]:
    chosen = [path for path in paths if wanted(path)]
    if not chosen:
        raise UserError(f"no file of '{redact(source)}' is of the time that since and until ask for; widen it")
    return chosen


def _download(source: str, scratch: Path, wanted: Callable[[str], bool]) -> list[tuple[str, Path]]:
    with _remote_errors(source):
        system, paths = _remote_paths(source)
        paths = _chosen(paths, wanted, source)
        files = []
        for number, path in enumerate(paths):
            copy = scratch / f"file-{number:05d}"
            system.get_file(path, str(copy))
            files.append((redact(source) if len(paths) == 1 else f"{scheme(source)}://{path}", copy))
        return files


def _remote_paths(source: str) -> tuple[Any, list[str]]:
    import fsspec

    if scheme(source) in WEB:
        from aiohttp import ClientTimeout

        timeout = ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENCE_SECONDS)
        client = {"timeout": timeout, "trust_env": True}  # trust_env: proxies
        return fsspec.filesystem(scheme(source), client_kwargs=client, skip_instance_cache=True), [source]
    system, path = fsspec.core.url_to_fs(source, skip_instance_cache=True, use_listings_cache=False)
    if glob.has_magic(path):
        paths = [str(item) for item in system.glob(path)]
    elif system.isfile(path):
        paths = [path]
    else:
        paths = [item["name"] for item in system.ls(path, detail=True) if item["type"] == "file"]
        paths = paths or [str(item) for item in system.glob(f"{path.rstrip('/')}/*=*/*")]
    paths = sorted(item for item in paths if PurePosixPath(item).name[:1] not in (".", "_", ""))
    if not paths:
        raise FileNotFoundError(source)
    return system, paths


@contextmanager
def _remote_errors(source: str) -> Iterator[None]:
    """Tell failures of a store in one sentence, without the credentials that may stand in the address or the cause."""
    shown = redact(source)
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"there is nothing at '{shown}'; check the address") from None
    except PermissionError:
        raise PlatformError(f"access to '{shown}' was denied; give this job's identity the right to read it") from None
    except OSError as error:
        if error.filename or (error.errno and type(error) is OSError):
            raise  # the disk that the copy goes to
        raise PlatformError(_unreachable(shown, error)) from None
    except (UserError, PlatformError):
        raise
    except ImportError as error:
        raise PlatformError(f"this image cannot read '{shown}': {error}; install kubeline[steps]") from None
    except Exception as error:  # each store's client has its own family of errors
        status = getattr(error, "status", None)
        if status in (401, 403):
            raise PlatformError(f"the server refused '{shown}' with HTTP {status}; check the credentials") from None
        if isinstance(status, int) and status >= 400:
            raise PlatformError(f"the server answered '{shown}' with HTTP {status}; try again later") from None
        raise PlatformError(_unreachable(shown, error)) from None


def _unreachable(shown: str, error: BaseException) -> str:
    cause = " ".join(redact(str(error)).split()) or type(error).__name__
    return f"'{shown}' could not be read ({cause}); check the address, the network and the credentials"


def _format_of(name: str, outer: str) -> str:
    """The format by the ending of a file's name, or else by that of the archive that holds it."""
    for candidate in (name, outer):
        path = PurePosixPath(urlsplit(candidate).path if scheme(candidate) else candidate)
        suffixes = [suffix.lower() for suffix in path.suffixes]
        while suffixes and suffixes[-1] in COMPRESSIONS:
            suffixes.pop()
        if suffixes and suffixes[-1] in FORMATS:
            return FORMATS[suffixes[-1]]
    raise UserError(
        f"the format of '{name}' cannot be told from its name; expected one of the endings {listed(FORMATS)} "
        f"({listed(COMPRESSIONS)} may follow), or format= one of: {listed(sorted(set(FORMATS.values())))}"
    )
