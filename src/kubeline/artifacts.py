"""What a step reads and writes: artifacts, written whole or not at all."""

import atexit
import errno
import functools
import gc
import logging
import math
import os
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, Protocol, TypeVar

from kubeline.decision import described, write_termination_message
from kubeline.errors import KubelineError, PlatformError
from kubeline.masking import trace_of, words_of
from kubeline.printable import printable
from kubeline.secrets import Formatter, Secrets

P = ParamSpec("P")
R = TypeVar("R")

# Failures of the machine that say nothing about the code: a retry elsewhere may succeed.
_BROKEN_WORLD = {
    errno.ENOSPC: "no space is left on the device; free some or ask for a larger volume",
    errno.EDQUOT: "the disk quota is used up; free some space or ask for more",
    errno.EACCES: "permission was denied; give this user access to the path",
    errno.EPERM: "the operation is not permitted; give this user access to the path",
    errno.EFBIG: "the file grew larger than this file system or the limit on file sizes (ulimit -f) allows",
    errno.ENAMETOOLONG: "the name is longer than this file system allows; give a shorter one",
    errno.ENOTDIR: "a part of this path is a file and no folder; give another path",
    errno.ELOOP: "symbolic links lead in a circle; give another path",
    errno.EIO: "reading or writing failed; check the disk",
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n)",
    errno.EROFS: "the file system is read-only; choose a writable path",
}


class Artifact(Protocol):
    """The part of a KFP artifact that a step uses; `kfp.dsl.Artifact` satisfies it."""

    @property
    def path(self) -> str: ...
    @property
    def uri(self) -> str: ...

    metadata: dict[str, Any]


@contextmanager
def publish(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a file or folder under a temporary name and rename it when the block succeeds.

    Yields a path that does not exist yet; the block creates a file or a folder there. When the block raises,
    what it wrote is removed and an earlier `path` stays as it was, so that a killed and repeated step ends in
    the same state as one clean run.

    Raises:
        FileNotFoundError: when the block created nothing; an earlier `path` stays.
    """
    final = Path(path)
    partial = final.with_name(f".{final.name}.partial")
    final.parent.mkdir(parents=True, exist_ok=True)
    _remove(partial)
    try:
        yield partial
        partial.lstat()
        if partial.is_dir() or final.is_dir():
            _remove(final)  # a folder cannot be renamed over one that holds files
        _rename(partial, final)
    finally:
        _remove(partial)


def _rename(partial: Path, final: Path) -> None:
    try:
        partial.replace(final)
    except OSError:
        # Object stores mounted as file systems (gcsfuse, as on Vertex AI) rename files but may refuse folders.
        if not partial.is_dir():
            raise
        move_files(partial, final)


def move_files(folder: Path, target: Path) -> None:
    """Move a folder file by file; a kill on the way leaves a part, which the repeated step removes."""
    target.mkdir()
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            move_files(path, target / path.name)
        else:
            path.replace(target / path.name)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def describe(artifact: Artifact, metadata: Mapping[str, Any]) -> None:
    """Add metadata to an artifact, without the NaN and infinite numbers that KFP cannot store."""
    artifact.metadata.update(finite(metadata))


def finite(value: Any) -> Any:
    """The same value in plain JSON types; NaN and infinite numbers become None, and are dropped from mappings."""
    if isinstance(value, Mapping):
        pairs = ((str(key), finite(item)) for key, item in value.items())
        return {key: item for key, item in pairs if item is not None}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a numpy scalar
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def machine_failure(error: OSError) -> str:
    """The sentence about a failure of the machine; empty for what may be the code's own fault."""
    reason = _BROKEN_WORLD.get(error.errno or 0)
    return f"cannot use {error.filename or 'the disk'}: {reason}" if reason else ""


def step(function: Callable[P, R]) -> Callable[P, R]:
    """Mark the entry point of a component.

    Failures of the machine (disk full, no permission) become a :class:`PlatformError`, and inside a running step
    a :class:`KubelineError` ends the process with its one sentence and its exit code instead of a traceback. The
    sentence is the last line of the log, and what Kubernetes shows of the pod, as is what a step decided. Mappings
    among the parameters are sorted by key, because KFP hands them over in a random order, and the same parameters must
    leave the same outputs.
    """
    running = _is_running()
    if running:
        sys.excepthook = _end_step  # now, so that an import that fails has its sentence too

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if running:
            _log_without_secrets()
            atexit.register(_say_no_more)  # first, so that it is called last
            atexit.register(gc.freeze)  # to collect garbage once more before the process ends takes up to a second
        artifacts = [value for value in (*args, *kwargs.values()) if hasattr(value, "metadata")]
        before = [_decision_of(artifact) for artifact in artifacts]
        try:
            result = function(*map(_in_order, args), **{name: _in_order(value) for name, value in kwargs.items()})
        except OSError as error:
            if reason := machine_failure(error):
                raise PlatformError(reason) from error
            raise
        if running:
            after = [_decision_of(artifact) for artifact in artifacts]
            write_termination_message(
                "; ".join(new for old, new in zip(before, after, strict=True) if new and new != old)
            )
        return result

    return run


def _decision_of(artifact: Any) -> str:
    return described(artifact.metadata, artifact.path) if isinstance(artifact.metadata, dict) else ""


def _log_without_secrets() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(Formatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _say_no_more() -> None:
    """Close the log before libraries count what they leave behind, in a hundred lines about their own bindings."""
    sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _is_running() -> bool:
    """Whether this process is a step of a pipeline."""
    return os.environ.get("_KFP_RUNTIME") == "true"


def _in_order(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _in_order(value[key]) for key in sorted(value, key=str)}
    return [_in_order(item) for item in value] if isinstance(value, list) else value


def _end_step(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """End a step that failed: its one sentence comes last, behind what libraries print when the process ends."""
    secrets = Secrets({})
    if not isinstance(error, KubelineError):
        print(secrets.hidden(trace_of(error)), file=sys.stderr, end="")
    sentence = secrets.hidden(_sentence(kind, error, trace))
    write_termination_message(sentence)
    atexit.unregister(_say_no_more)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    print(sentence, file=sys.stderr, flush=True)
    os._exit(error.exit_code if isinstance(error, KubelineError) else 1)


def _sentence(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> str:
    """One line that is never empty: what kind of error, and its words or else where it came from."""
    words = " ".join((str(error) if isinstance(error, KubelineError) else words_of(error)).split())
    if not words:
        last = traceback.extract_tb(trace)[-1:]
        words = f"no message; raised in {last[0].name} ({last[0].filename}:{last[0].lineno})" if last else "no message"
    name = kind.__name__
    words = printable(words)
    return f"{name if name.endswith(('Error', 'Exception')) else f'UnexpectedError: {name}'}: {words}"


if _is_running():
    # What libraries make while they are imported, most of them after this module, stays: to collect garbage among it
    # over and over takes a quarter of the time of the import.
    gc.set_threshold(50_000, 20, 100)
