"""From what the user typed to files on this machine: paths, folders, globs, object stores, web addresses, archives."""

import errno
import glob
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from kubeline.addresses import file_system, redact, refuse_credentials, scheme
from kubeline.data.limits import ADVICE, DOWNLOAD_SECONDS, LISTING_SECONDS, Unpacking, scaled
from kubeline.data.transfer import Transfer
from kubeline.data.unpack import COMPRESSIONS, unpack
from kubeline.errors import PlatformError, UserError, listed
from kubeline.progress import Progress

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
DATABASES = {
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "mysql": "mysql",
    "mariadb": "mysql",
    "sqlite": "sqlite",
    "bigquery": "bigquery",
    "snowflake": "snowflake",
}
# The names under which fsspec knows the object stores, and the one that messages and metadata use.
STORES = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "abfs": "abfs", "abfss": "abfs", "az": "abfs"}
WEB = ("http", "https")

# Errors of the disk that a copy goes to; the clients of stores raise others of the same class.
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_HIVE_MISSING = "__HIVE_DEFAULT_PARTITION__"
_CONNECT_SECONDS = 30
_SILENCE_SECONDS = 120  # a download may take hours, but not stand still


@dataclass(frozen=True)
class SourceFile:
    """One file to read.

    `path` is a staged copy or link with a harmless name; `name` is what messages call it; `format` is one of the
    values of `FORMATS`; `partitions` are the columns and values that the names of its folders hold.
    """

    name: str
    path: Path
    format: str
    partitions: tuple[tuple[str, str | None], ...] = ()


@dataclass(frozen=True)
class _Staged:
    """A file as it was found: `name` for messages, `key` is its whole path, and `inner` the part below the source."""

    name: str
    path: Path
    key: str
    inner: str


def stage(
    source: str, file_format: str, scratch: Path, wanted: Callable[[str], bool] = lambda _: True
) -> list[SourceFile]:
    """Bring the files of `source` under `scratch`, sorted by name: links to local ones, copies of remote ones.

    Remote and compressed files are streamed to disk, so `scratch` needs their unpacked size. Of a folder, its files
    are taken, and those in its partitions (folders such as ``date=2013-10-01``, at any depth). Files for whose path
    `wanted` is false are left out.

    Raises:
        UserError: when nothing is there, or a file's format is neither known nor given.
        PlatformError: when the store or the server cannot be reached.
    """
    source = source.strip() if scheme(source.strip()) else source
    kind = scheme(source)
    refuse_credentials(source, "source")
    if kind in ("", "file"):
        files = link_local(local_path(source), scratch, wanted)
    elif kind in STORES or kind in WEB:
        files = _download(source, scratch, wanted)
    else:
        known = [*STORES, *WEB, *DATABASES, "delta", "iceberg", "kafka", "dvc"]
        raise UserError(f"'{kind}://' is not a source load can read; give a path or one of: {listed(known, 20)}")
    allowed = Unpacking(sum(file.path.stat().st_size for file in files))
    return [
        SourceFile(
            name,
            path,
            _format_of(name, file.key + name[len(file.name) :], file.key) if file_format == "auto" else file_format,
            _partitions(file.inner),
        )
        for file in files
        for name, path in unpack(file.name, file.path, allowed)
    ]


def _partitions(inner: str) -> tuple[tuple[str, str | None], ...]:
    """The columns that folders such as ``carrier=UA`` hold, by the path below the source; Hive's word is missing."""
    pairs = [folder.partition("=") for folder in PurePosixPath(inner).parts[:-1] if "=" in folder]
    return tuple((unquote(name), None if value == _HIVE_MISSING else unquote(value)) for name, _, value in pairs)


def local_path(source: str) -> str:
    if not source.lower().startswith("file://"):
        return source
    parts = urlsplit(source, allow_fragments=False)
    if parts.netloc not in ("", "localhost"):
        raise UserError(f"'{redact(source)}' names the host '{parts.hostname}'; a file on this machine is file:///path")
    return unquote(source[len("file://") + len(parts.netloc) :])


def link_local(path: str, scratch: Path, wanted: Callable[[str], bool]) -> list[_Staged]:
    if Path(path).is_dir():
        refuse_lake({each.name for each in Path(path).iterdir()}, path)
        root = path
        found = sorted(_in_folder(Path(path)))
        what = f"the folder '{path}' holds no files"
        if any(each.is_dir() for each in Path(path).iterdir()):
            what += f", only folders that are no partitions such as 'date=2013-10-01'; take them by '{path}/**/*'"
    elif os.path.lexists(path):
        root, found, what = str(Path(path).parent), [path], ""
    else:
        root = _above_glob(path)
        found = _visible(glob.glob(path, recursive=True)) if glob.has_magic(path) else []  # noqa: PTH207 - absolute too
        what = f"nothing matches '{redact(path)}'" if glob.has_magic(path) else f"there is no file at '{redact(path)}'"
    if not found:
        raise UserError(f"{what}; check the path")
    found = _chosen(found, wanted, path)
    files = []
    for number, name in enumerate(found):
        if not Path(name).is_file() and Path(name).exists():
            raise UserError(f"'{name}' is a pipe, a device or a socket, which may never end; give a file")
        if not Path(name).exists():
            raise UserError(
                f"'{name}' is a link to a file that is not there; mount or restore it, or take the link away"
            )
        with open(name, "rb"):  # a missing permission is an error of this file, not of the engine that reads it later
            pass
        link = scratch / f"file-{number:05d}"
        link.symlink_to(Path(name).absolute())
        files.append(_Staged(name, link, name, os.path.relpath(name, root)))
    return files


def refuse_lake(names: set[str], folder: str) -> None:
    """Refuse the folder of a Delta or Iceberg table by what is in it: its files hold rows that are deleted as well.

    Raises:
        UserError: that names its address.
    """
    kind = "delta" if "_delta_log" in names else "iceberg" if {"metadata", "data"} <= names else ""
    if kind:
        where = folder if "://" in folder else Path(folder).absolute().as_uri()
        address = f"{kind}+{where}".replace("+file://", "://")
        raise UserError(
            f"'{folder}' is a table of {kind.capitalize()}, of whose files some may hold rows that are no longer its "
            f"own; give {address} (and behind @ the version)"
        )


def _in_folder(folder: Path) -> Iterator[str]:
    """The files of a folder and of its partitions."""
    for each in folder.iterdir():
        if each.name[0] in "._":
            continue
        if not each.is_dir():
            yield str(each)
        elif "=" in each.name:
            yield from _in_folder(each)
        elif "=" in folder.name:
            raise _no_partition(str(each))


def _no_partition(folder: str) -> UserError:
    """What is in a partition belongs to it: its rows are not left out without a word."""
    return UserError(
        f"'{folder}' lies in a partition and is none, such as 'date=2013-10-01'; move its files up, or take them all "
        "by a glob, such as 'folder/**/*.parquet'"
    )


def _above_glob(path: str) -> str:
    """The folders of a glob that are certain."""
    parts = PurePosixPath(path).parts
    first = next((number for number, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    return str(PurePosixPath(*parts[:first])) if first else "."


def _visible(names: Iterable[str]) -> list[str]:
    """Sorted, without folders and without the hidden files and markers (``_SUCCESS``) that other tools leave."""
    return sorted(name for name in names if Path(name).name[0] not in "._" and not Path(name).is_dir())


def _chosen(paths: list[str], wanted: Callable[[str], bool], source: str) -> list[str]:
    chosen = [path for path in paths if wanted(path)]
    if not chosen:
        raise UserError(f"no file of '{redact(source)}' is of a day in the window of `at` and `length`; choose another")
    return chosen


def _download(source: str, scratch: Path, wanted: Callable[[str], bool]) -> list[_Staged]:
    from kubeline.data import web
    from kubeline.data.file_transfer import FileTransfer

    with remote_errors(source):
        system, root, paths = remote_paths(source)
        paths = _chosen(paths, wanted, source)
        files = []
        with Progress(f"downloading '{redact(source)}'", unit="bytes") as progress:
            transfer = Transfer(redact(source), scratch, progress)
            for number, path in enumerate(paths):
                copy = scratch / f"file-{number:05d}"
                with transfer.in_time():
                    if scheme(source) in WEB:
                        web.fetch(system, path, copy, transfer)
                    else:
                        system.get_file(path, str(copy), callback=FileTransfer(transfer))
                if scheme(source) in WEB:
                    files.append(_Staged(redact(source), copy, urlsplit(source).path, ""))
                else:
                    name = f"{scheme(source)}://{path}"
                    files.append(_Staged(name, copy, path, path.removeprefix(root).lstrip("/")))
        return files


def remote_paths(source: str) -> tuple[Any, str, list[str]]:
    """The file system, the path below which partitions are named, and the paths of the files."""
    if scheme(source) in WEB:
        import fsspec
        from aiohttp import ClientTimeout

        total = scaled(DOWNLOAD_SECONDS)  # the head of an answer may come byte by byte
        timeout = ClientTimeout(total=total, sock_connect=_CONNECT_SECONDS, sock_read=_SILENCE_SECONDS)
        client = {"timeout": timeout, "trust_env": True}  # trust_env: proxies
        return fsspec.filesystem(scheme(source), client_kwargs=client, skip_instance_cache=True), "", [source]
    system, path = file_system(source)
    if system.isfile(path):  # before it is taken for a glob: a key may hold [, ? and *
        return system, str(PurePosixPath(path).parent), [path]
    if glob.has_magic(path):
        root = _above_glob(path)
        paths = [str(item) for item in listing(system, "_glob", path)]
    else:
        root = path
        paths = _in_store(system, path)
    paths = sorted(item for item in paths if PurePosixPath(item).name[:1] not in (".", "_", ""))
    if not paths:
        raise FileNotFoundError(source)
    return system, root, paths


def _in_store(system: Any, folder: str) -> list[str]:
    """The files of a folder and of its partitions, listed at once where there are any."""
    found = listing(system, "_ls", folder, detail=True)
    refuse_lake({PurePosixPath(item["name"]).name for item in found}, str(system.unstrip_protocol(folder)))
    if not any(item["type"] == "directory" and "=" in PurePosixPath(item["name"]).name for item in found):
        return [item["name"] for item in found if item["type"] == "file"]
    taken = []
    for path in listing(system, "_find", folder):
        parts = PurePosixPath(path.removeprefix(folder).lstrip("/")).parts
        if any(part[0] in "._" for part in parts) or (len(parts) > 1 and "=" not in parts[0]):
            continue
        if not all("=" in part for part in parts[:-1]):
            raise _no_partition(path)
        taken.append(path)
    return taken


def listing(system: Any, method: str, path: str, **how: Any) -> Any:
    """What a store's client lists below a path; a listing that has no end is given up.

    Raises:
        UserError: when it takes too long.
    """
    from fsspec.asyn import AsyncFileSystem, sync

    if not isinstance(system, AsyncFileSystem):
        return getattr(system, method.removeprefix("_"))(path, **how)
    seconds = scaled(LISTING_SECONDS)
    end = time.monotonic() + seconds
    try:
        return sync(system.loop, getattr(system, method), path, timeout=seconds, **how)
    except TimeoutError:
        if time.monotonic() < end:  # of one request, and no more of our limit
            raise
        where = redact(str(system.unstrip_protocol(path)))
        raise UserError(f"'{where}' has not listed all its files within {seconds:,} s; {ADVICE}") from None


@contextmanager
def remote_errors(source: str) -> Iterator[None]:
    """Raise failures of a store as one sentence, without the credentials that may stand in the address or the cause."""
    shown = redact(source)
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"there is nothing at '{shown}'; check the address") from None
    except TimeoutError:
        raise PlatformError(f"'{shown}' did not answer in time; try again later, or check the network") from None
    except PermissionError:
        raise PlatformError(f"access to '{shown}' was denied; give this job's identity the right to read it") from None
    except OSError as error:
        if error.filename or error.errno in _DISK:
            raise  # the disk that the copy goes to
        raise PlatformError(_unreachable(shown, error)) from None
    except (UserError, PlatformError):
        raise
    except ImportError as error:
        raise PlatformError(f"this image cannot read '{shown}': {error}; install kubeline[steps]") from None
    except Exception as error:  # each store's client has its own family of errors
        raise _error_of_client(error, shown) from None


def _error_of_client(error: Exception, shown: str) -> PlatformError:
    status = getattr(error, "status", None)
    if type(error).__name__ == "TooManyRedirects":  # of aiohttp, whose own words are none
        return PlatformError(f"'{shown}' leads from one address to the next without end; give the address of the file")
    if status in (401, 403):
        return PlatformError(f"the server refused '{shown}' with HTTP {status}; check the credentials")
    if isinstance(status, int) and status >= 400:
        after = str((getattr(error, "headers", None) or {}).get("Retry-After", ""))
        from kubeline.http.requests import retry_after

        return PlatformError(f"the server answered '{shown}' with HTTP {status}; try again later", retry_after(after))
    return PlatformError(_unreachable(shown, error))


def _unreachable(shown: str, error: BaseException) -> str:
    cause = " ".join(redact(str(error)).split()) or type(error).__name__
    return f"'{shown}' could not be read ({cause}); check the address, the network and the credentials"


def _format_of(name: str, *keys: str) -> str:
    """The format by the ending of a file's path, or else by that of the archive that holds it."""
    for key in keys:
        suffixes = [suffix.lower() for suffix in PurePosixPath(key).suffixes]
        while suffixes and suffixes[-1] in COMPRESSIONS:
            suffixes.pop()
        if suffixes and suffixes[-1] in FORMATS:
            return FORMATS[suffixes[-1]]
    raise UserError(
        f"the format of '{name}' is not known by its name; expected one of the endings {listed(FORMATS)} "
        f"({listed(COMPRESSIONS)} may follow), or format= one of: {listed(sorted(set(FORMATS.values())))}"
    )
