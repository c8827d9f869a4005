"""Reads what was recorded of real KServe clusters while Kubeline rolled models out on them (`tests/recordings/kserve`).

A file `MODE-SCENARIO.jsonl.gz` is never edited. Its first line is `{"header": …}`: mode, versions, the plan, replicas,
namespace and name of the InferenceService, digests of the packages. The others have `t`, seconds since the start, in
order, and one of:

- `event` and `object`: ADDED, MODIFIED or DELETED, as a watch of the API server sent it (:class:`Change`); what was
  there before is ADDED at the start.
- `user`: code, model version and milliseconds of a request through the gateway (:class:`User`), 20 of them a second.
- `kubeline`: a line that the rollout printed, or its exit code (:class:`Line`).
- `note`: what an operator did meanwhile (:class:`Line` too).

Order and kinds are exact; times are those of a busy machine, and good as ranges only.

    recording = read("standard-02-good")
    for seconds, world in recording.moments():
        world.find("InferenceService", "flights")
"""

import bisect
import functools
import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "recordings/kserve"
NAMES = tuple(sorted(path.name.removesuffix(".jsonl.gz") for path in FOLDER.glob("*.jsonl.gz")))

Json = dict[str, Any]
Key = tuple[str, str, str]  # API group (empty for the core), kind, name


@dataclass(frozen=True)
class Change:
    """One event of a watch.

    Attributes:
        seconds: since the start.
        type: ADDED, MODIFIED or DELETED.
        object: as it is then; not to be changed.
    """

    seconds: float
    type: str
    object: Json

    @property
    def key(self) -> Key:
        """What it is about."""
        return key_of(self.object)


@dataclass(frozen=True)
class User:
    """One request of a user; `code` 0 and no version when there was no answer."""

    seconds: float
    code: int
    version: str
    milliseconds: float


@dataclass(frozen=True)
class Line:
    """A line of the rollout, or a note; `exit_code` is that of the rollout in its last line."""

    seconds: float
    text: str
    exit_code: int | None = None


@dataclass(frozen=True)
class World:
    """The objects of one moment, in the namespace of the recording; not to be changed."""

    objects: Mapping[Key, Json] = field(default_factory=dict)

    def every(self, kind: str, group: str | None = None) -> list[Json]:
        """The objects of a kind, by name. `group` distinguishes the Services of the core and of Knative."""
        found = [key for key in self.objects if key[1] == kind and group in {None, key[0]}]
        return [self.objects[key] for key in sorted(found, key=lambda key: key[2])]

    def find(self, kind: str, name: str, group: str | None = None) -> Json | None:
        """One object, or None."""
        return next((one for one in self.every(kind, group) if one["metadata"]["name"] == name), None)


@dataclass(frozen=True)
class Recording:
    """One file.

    Attributes:
        name: of the file, without its ending.
        header: its first line.
        changes: every event of every watch.
        users: every request of a user.
        lines: what the rollout said.
        notes: what an operator did.
    """

    name: str
    header: Json
    changes: tuple[Change, ...]
    users: tuple[User, ...]
    lines: tuple[Line, ...]
    notes: tuple[Line, ...]

    def of(self, kind: str, name: str | None = None, group: str | None = None) -> list[Change]:
        """The changes of the objects of a kind, or of one of them."""
        return [c for c in self.changes if c.key[1] == kind and name in {None, c.key[2]} and group in {None, c.key[0]}]

    def at(self, seconds: float) -> World:
        """What was there at a time."""
        objects: dict[Key, Json] = {}
        for change in self.changes[: bisect.bisect_right([c.seconds for c in self.changes], seconds)]:
            _take(objects, change)
        return World(objects)

    def moments(self) -> Iterator[tuple[float, World]]:
        """What was there after each change, with its time."""
        objects: dict[Key, Json] = {}
        for change in self.changes:
            _take(objects, change)
            yield change.seconds, World(dict(objects))

    def said(self, text: str) -> float:
        """When the rollout first said a line with this text. LookupError when it never did."""
        for line in self.lines:
            if text in line.text:
                return line.seconds
        raise LookupError(f"{self.name}: no line holds {text!r}")


def key_of(document: Mapping[str, Any]) -> Key:
    """API group, kind and name of an object."""
    group = document["apiVersion"].rpartition("/")[0]
    return group, document["kind"], document["metadata"]["name"]


@functools.cache
def read(name: str) -> Recording:
    """One recording, such as ``knative-02-good``; `NAMES` has all."""
    return parse(FOLDER / f"{name}.jsonl.gz")


def parse(path: Path) -> Recording:
    """The recording in a file of this form."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        header, *entries = map(json.loads, file)
    return Recording(
        name=path.name.removesuffix(".jsonl.gz"),
        header=header["header"],
        changes=tuple(Change(e["t"], e["event"], e["object"]) for e in entries if "event" in e),
        users=tuple(_user(e["t"], e["user"]) for e in entries if "user" in e),
        lines=tuple(Line(e["t"], e["kubeline"], e.get("exit")) for e in entries if "kubeline" in e),
        notes=tuple(Line(e["t"], e["note"]) for e in entries if "note" in e),
    )


def _user(seconds: float, reported: Json) -> User:
    return User(seconds, int(reported.get("code") or 0), reported.get("version") or "", reported.get("ms") or 0.0)


def _take(objects: dict[Key, Json], change: Change) -> None:
    if change.type == "DELETED":
        objects.pop(change.key, None)
    else:
        objects[change.key] = change.object
