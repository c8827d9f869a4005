"""What is to be done so that a platform has the schedules of a file. Pure: facts in, changes out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Facts = Mapping[str, Any]  # of a schedule, in one form for both sides


@dataclass(frozen=True)
class Live:
    """A schedule of ours on the platform."""

    identifier: str
    name: str
    facts: Facts
    paused: bool


@dataclass(frozen=True)
class WantedSchedule:
    """A schedule of the file."""

    name: str
    facts: Facts
    paused: bool


@dataclass(frozen=True)
class ScheduleChange:
    """What is to be done for one name.

    Attributes:
        name: of the schedule.
        kind: its name in messages.
        wanted: what the file says; None to delete.
        keep: what is there and stays.
        delete: what goes.
        differences: what changes, for people.
    """

    name: str
    kind: Literal["create", "update", "pause", "resume", "delete", "none"]
    wanted: WantedSchedule | None = None
    keep: Live | None = None
    delete: Sequence[Live] = ()
    differences: Sequence[str] = field(default=())


def plan(wanted: Sequence[WantedSchedule], live: Sequence[Live]) -> list[ScheduleChange]:
    """The change of every name, the file's first; of several live ones of a name, one is kept at most."""
    changes = [_change(one, [other for other in live if other.name == one.name]) for one in wanted]
    names = {one.name for one in wanted}
    gone = dict.fromkeys(one.name for one in live if one.name not in names)
    return changes + [ScheduleChange(name, "delete", delete=[one for one in live if one.name == name]) for name in gone]


def _change(wanted: WantedSchedule, live: Sequence[Live]) -> ScheduleChange:
    keep = next((one for one in live if not _differences(one.facts, wanted.facts)), None)
    others = [one for one in live if one is not keep]
    if keep is None and not live:
        return ScheduleChange(wanted.name, "create", wanted)
    if keep is None:
        return ScheduleChange(wanted.name, "update", wanted, None, others, _differences(others[0].facts, wanted.facts))
    if others:
        return ScheduleChange(wanted.name, "update", wanted, keep, others, ["an earlier one is still there"])
    if keep.paused == wanted.paused:
        return ScheduleChange(wanted.name, "none", wanted, keep)
    return ScheduleChange(wanted.name, "pause" if wanted.paused else "resume", wanted, keep)


def _differences(before: Facts, after: Facts) -> list[str]:
    """Of what the file says; the platform fills in the rest."""
    return [f"{key}: {before.get(key)!r} -> {value!r}" for key, value in after.items() if before.get(key) != value]
