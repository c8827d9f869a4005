"""What a step decided, in readable form: a verdict or an outcome with its reasons."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from kubeline import json_files
from kubeline.errors import UserError

Decision = TypeVar("Decision")

GOOD = frozenset({"promote", "promoted", "stable", "unchanged", "quiet", "due", "succeeded"})  # others need attention
_BAD = frozenset({"drift", "drifted", "rolled_back", "rolled back", "alarm", "failed"})  # others leave something open

# In the sentence of a step that refuses a model of which a check before it says anything but promote.
REFUSED = "so the model may not go on"

# Kubernetes shows what a container writes there: in its status, and, of one that failed, in the workflow's node.
TERMINATION_LOG = "KUBELINE_TERMINATION_LOG"
_TERMINATION_LOG = "/dev/termination-log"
_MAX_BYTES = 4096  # Kubernetes keeps no more
_MAX_REASONS = 10


def decided(metadata: Mapping[str, Any]) -> str:
    """The verdict of a check or the outcome of a rollout in the metadata of an artifact; empty for others."""
    return str(metadata.get("verdict") or metadata.get("outcome") or "")


def tone(word: str) -> Literal["good", "warn", "bad"]:
    """The colour of a verdict or an outcome, on pages and terminals."""
    return "good" if word in GOOD else "bad" if word in _BAD else "warn"


def deciding(decisions: Sequence[Decision], word: Callable[[Decision], str]) -> Decision | None:
    """The decision that sums up a run: the last one that needs attention, or else the last.

    Args:
        decisions: in the order in which they were made.
        word: the verdict or outcome of one.
    """
    doubtful = [one for one in decisions if word(one) not in GOOD]
    return next(iter([*doubtful[::-1], *decisions[::-1]]), None)


def reasons(path: str | Path) -> list[str]:
    """The reasons for it, where the artifact is a JSON document with reasons."""
    try:
        document = json_files.parse(json_files.contents_of(path, "it"), "it")
        return [str(reason) for reason in document.get("reasons", [document.get("reason")]) if reason]
    except (UserError, OSError, ValueError, AttributeError, TypeError):
        return []


def described(metadata: Mapping[str, Any], path: str | Path) -> str:
    """``hold (reason; reason)``, or ``models:/name/3 (page)`` of a registered version; empty where nothing is."""
    word = decided(metadata) or _registered(metadata)
    why = reasons(path)[:_MAX_REASONS] if word else []
    return f"{word} ({'; '.join(why)})" if why else word


def write_termination_message(text: str) -> None:
    """Write the termination message of a step, which Kubernetes shows; does nothing outside a pod."""
    file = Path(os.environ.get(TERMINATION_LOG, _TERMINATION_LOG))
    if file.is_file() and os.access(file, os.W_OK):
        whole = text.encode()
        cut = whole[: _MAX_BYTES - 3].decode(errors="ignore") + "…"
        file.write_bytes(whole if len(whole) <= _MAX_BYTES else cut.encode())


def _registered(metadata: Mapping[str, Any]) -> str:
    uri, page = str(metadata.get("uri", "")), metadata.get("page")
    if not uri.startswith("models:/"):
        return ""
    return f"{uri} ({page})" if page else uri
