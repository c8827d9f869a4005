"""Files that DVC tracks, at a revision of their Git repository: dvc:///repository/data/flights.csv@v1.0.

Read are DVC's own files as they are specified (https://dvc.org/doc/user-guide/project-structure): ``X.dvc`` and
``dvc.lock`` name the MD5 of what they track, under which it lies in the cache or in the default remote. DVC itself need
not be installed.
"""

import configparser
import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from kubeline.addresses import file_system, redact, scheme
from kubeline.data.sources import remote_errors
from kubeline.errors import PlatformError, UserError
from kubeline.progress import Progress

_DIGEST = re.compile(r"[0-9a-f]{32}(?:\.dir)?")
_STORES = {"azure": "abfs"}  # what fsspec calls otherwise
_COPIED = ("s3", "gs", "azure", "http", "https")


@dataclass(frozen=True)
class _Output:
    """What one entry tracks: its path in the repository, its digest, and whether that is of the content as it is."""

    path: str
    digest: str
    exact: bool  # DVC before 3.0 takes the digest of a text with other line ends


def stage_tracked(source: str, scratch: Path) -> tuple[Path, str]:
    """Bring a tracked file, or the files of a tracked folder, under `scratch`.

    Args:
        source: as above; without a revision, what the files in the working tree name.
        scratch: links to the cache and copies of a remote come there, below the path in the repository.

    Returns:
        The file or folder, and the address with the commit in place of a tag or branch.

    Raises:
        UserError: when there is no such repository, revision or tracked path.
        PlatformError: when the content is neither in the cache nor in the default remote, or Git fails.
    """
    place, _, revision = source.partition("://")[2].partition("@")
    path = Path(os.path.normpath(place))
    root = next((one for one in path.parents if (one / ".dvc").is_dir()), None)
    if not path.is_absolute() or root is None:
        raise UserError(f"'{source}' is not below a DVC repository; expected dvc:///repository/path@revision")
    repository = _Repository(root, revision, scratch)
    wanted = path.relative_to(root).as_posix()
    files = list(repository.files(wanted))
    if not files:
        at = f" at revision {revision}" if revision else ""
        raise UserError(f"DVC tracks no '{wanted}' in '{root}'{at}; see its .dvc files and dvc.lock")
    with Progress(f"taking '{wanted}' from DVC", total=len(files), unit="files") as progress:
        for file in files:
            target = scratch / "dvc" / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(repository.content(file).absolute())
            progress.add(1)
    return scratch / "dvc" / wanted, f"dvc://{place}@{repository.commit}" if revision else source


class _Repository:
    """A repository at a revision, or as it stands."""

    def __init__(self, root: Path, revision: str, scratch: Path) -> None:
        self._root, self._scratch = root, scratch
        self.commit = (
            self._git("rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}") if revision else ""
        )
        self.commit = self.commit.strip()
        self._config = configparser.ConfigParser(interpolation=None)
        self._config.read([root / ".dvc" / "config", root / ".dvc" / "config.local"], encoding="utf-8")

    def files(self, wanted: str) -> Iterator[_Output]:
        """The tracked files at a path, or below it."""
        above = [one.as_posix() for one in (PurePosixPath(wanted), *PurePosixPath(wanted).parents)][:-1]
        for output in self._outputs(above):
            if output.path not in above:
                continue
            if not output.digest.endswith(".dir"):
                if output.path == wanted:
                    yield output
                continue
            for entry in json.loads(self.content(output).read_text(encoding="utf-8")):
                path = f"{output.path}/{entry['relpath']}"
                if wanted in (path, output.path) or path.startswith(f"{wanted}/"):
                    yield _Output(_inside(path), _digest(entry["md5"], path), output.exact)
            return

    def _outputs(self, above: list[str]) -> Iterator[_Output]:
        for path in above:
            yield from self._entries(f"{path}.dvc", lambda document: document.get("outs") or [])
        for folder in {str(PurePosixPath(path).parent) for path in above}:
            name = "dvc.lock" if folder == "." else f"{folder}/dvc.lock"
            yield from self._entries(
                name,
                lambda document: [
                    out for one in (document.get("stages") or {}).values() for out in one.get("outs") or []
                ],
            )

    def _entries(self, name: str, outs: Any) -> Iterator[_Output]:
        text = self._text(name)
        if text is None:
            return
        try:
            found = outs(yaml.safe_load(text) or {})
            for out in found:
                if "md5" in out:
                    path = (PurePosixPath(name).parent / out["path"]).as_posix()
                    yield _Output(_inside(path), _digest(out["md5"], name), out.get("hash") == "md5")
        except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
            raise UserError(
                f"'{name}' in '{self._root}' is no file of DVC ({type(error).__name__}); restore it"
            ) from None

    def _text(self, name: str) -> str | None:
        if not self.commit:
            file = self._root / name
            return file.read_text(encoding="utf-8") if file.is_file() else None
        if not self._git("ls-tree", "--name-only", self.commit, "--", name):
            return None
        return self._git("show", f"{self.commit}:./{name}")

    def _git(self, *arguments: str) -> str:
        git = shutil.which("git")
        if git is None:
            raise PlatformError("a revision of a DVC repository is read by git, which is not installed here")
        done = subprocess.run(  # noqa: S603
            [git, "-C", str(self._root), *arguments],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode:
            why = " ".join(done.stderr.split())[:300] or "no reason is given"
            raise UserError(f"git finds no such revision in '{self._root}' ({why}); give a commit, tag or branch of it")
        return done.stdout

    def content(self, output: _Output) -> Path:
        """The content of an entry: in the cache, or copied from the default remote."""
        below = f"{output.digest[:2]}/{output.digest[2:]}"
        below = f"files/md5/{below}" if output.exact else below
        home = self._root / ".dvc"
        found = home / self._config.get("cache", "dir", fallback="cache") / below
        if not found.is_file():
            found = self._of_remote(output, below)
        if output.exact and _md5(found) != output.digest.removesuffix(".dir"):
            raise PlatformError(f"the content of '{output.path}' is not what DVC tracks; run dvc fetch again")
        return found

    def _of_remote(self, output: _Output, below: str) -> Path:
        remote = self._config.get("core", "remote", fallback="")
        url = self._config.get(f"'remote \"{remote}\"'", "url", fallback="")
        kind = scheme(url)
        place = f"{url.rstrip('/')}/{below}".replace(f"{kind}://", f"{_STORES.get(kind, kind)}://", 1)
        if kind in _COPIED:
            return self._copied(place, output)
        if url and not kind and (found := self._root / ".dvc" / place).is_file():
            return found
        where = f"the remote '{remote}' ({redact(url)})" if url else "a default remote"
        raise PlatformError(
            f"'{output.path}' is neither in the cache of '{self._root}' nor in {where}, as far as that can be "
            "read here; run dvc pull, or dvc push where it is"
        )

    def _copied(self, place: str, output: _Output) -> Path:
        target = self._scratch / "dvc-remote" / output.digest
        target.parent.mkdir(exist_ok=True)
        with remote_errors(place):
            system, path = file_system(place)
            system.get_file(path, str(target))
        return target


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _inside(path: str) -> str:
    """A path that does not lead out of the repository."""
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise UserError(f"DVC tracks '{path}', which is outside of its repository; import it there first")
    return path


def _digest(given: Any, where: str) -> str:
    if not isinstance(given, str) or not _DIGEST.fullmatch(given):
        raise UserError(f"'{where}' names {given!r}, which is no MD5 of DVC; restore it")
    return given
