"""When windows that went wrong are an alarm. Pure: records in, a decision out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from kubeline.data.timespan import before, length_of
from kubeline.errors import UserError, listed

AlarmVerdict = Literal["quiet", "watch", "alarm", "cooling_down", "unknown"]
SIGNALS = ("drift", "performance")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WindowRecord(_Record):
    """What one window showed.

    `since` and `until` are its bounds, `reference` what it was compared with, `signals` what was wrong, `verdict` that
    of the drift check, and `figures` are for people.
    """

    since: AwareDatetime
    until: AwareDatetime
    reference: str
    verdict: str
    signals: list[str]
    figures: dict[str, float] = {}


class AlarmRecord(_Record):
    """An alarm that was raised, by the window that ends at `until`."""

    until: AwareDatetime
    reference: str


class AnswerRecord(_Record):
    """The run that answers an alarm."""

    run: str


@dataclass(frozen=True)
class Policy:
    """At least `needed` of the last `of` windows and the latest, and none within `cool_down` of the last alarm."""

    needed: int
    of: int
    cool_down: str
    signals: Sequence[str]

    def check(self) -> "Policy":
        """Return the policy, or raise a :class:`UserError` for what is out of its range."""
        if not 1 <= self.needed <= self.of:
            raise UserError(f"needed is {self.needed} of {self.of}; give 1 to as many windows as are examined")
        length_of("cool_down", self.cool_down)
        if unknown := [one for one in self.signals if one not in SIGNALS]:
            raise UserError(f"signals holds {unknown[0]!r}; expected some of: {listed(SIGNALS)}")
        if not self.signals:
            raise UserError(f"signals is empty, so that nothing is examined; give some of: {listed(SIGNALS)}")
        return self


@dataclass(frozen=True)
class AlarmDecision:
    """The verdict, why, and the windows that were examined, the latest first."""

    verdict: AlarmVerdict
    reasons: list[str]
    windows: list[WindowRecord]


def decide(
    window: WindowRecord, windows: Sequence[WindowRecord], alarms: Sequence[AlarmRecord], policy: Policy
) -> AlarmDecision:
    """What follows from a window and those before it.

    Args:
        window: The one in question.
        windows: All that are known. Those of another reference do not count, since another model was judged; nor do
            those that are further back than `policy.of` windows of this length, where some never ran.
        alarms: All that were raised.
        policy: The rule.
    """
    earliest = window.until - (window.until - window.since) * policy.of
    ours = [one for one in windows if one.reference == window.reference and one.until != window.until]
    past = sorted([one for one in ours if earliest < one.until < window.until], key=lambda one: one.until)
    examined = [window, *past[::-1]][: policy.of]
    wrong = [one for one in examined if _signals(one, policy)]
    share = f"{len(wrong)} of the last {len(examined)} windows were wrong; {policy.needed} of {policy.of} are an alarm"

    if any(alarm.until == window.until and alarm.reference == window.reference for alarm in alarms):
        verdict: AlarmVerdict = "alarm"
        reasons = ["this window has raised the alarm"]
    elif not _signals(window, policy):
        few = window.verdict == "insufficient_data"
        verdict = "unknown" if few else "quiet"
        reasons = [f"the latest window {'has too few rows to decide' if few else 'is as it should be'}"]
    else:
        verdict, reasons = _of_wrong(window, len(wrong) >= policy.needed, [one.until for one in ours], alarms, policy)
        reasons = [f"the latest window is wrong: {listed(_signals(window, policy))}", *reasons]
    return AlarmDecision(verdict, [*reasons, share], examined)


def _of_wrong(
    window: WindowRecord, persists: bool, others: Sequence[datetime], alarms: Sequence[AlarmRecord], policy: Policy
) -> tuple[AlarmVerdict, list[str]]:
    if not persists:
        return "watch", []
    if any(until > window.until for until in others):
        return "watch", ["a later window is known, and the alarm is raised by the latest alone"]
    if last := _last_within(alarms, window.until, policy.cool_down):
        return "cooling_down", [f"the alarm was raised by the window to {day(last)}, within {policy.cool_down}"]
    return "alarm", []


def _signals(window: WindowRecord, policy: Policy) -> list[str]:
    return [signal for signal in window.signals if signal in policy.signals]


def _last_within(alarms: Sequence[AlarmRecord], moment: datetime, cool_down: str) -> datetime | None:
    """The latest alarm that is not older than the cool-down; one of a later window counts as well."""
    since = before(moment, *length_of("cool_down", cool_down))
    return max((alarm.until for alarm in alarms if alarm.until > since), default=None)


def day(moment: datetime) -> str:
    """A time for people: to the minute, UTC as ``Z``."""
    return moment.isoformat(timespec="minutes").replace("+00:00", "Z")


def interval(text: str) -> tuple[datetime, datetime]:
    """The bounds of a window as `load` writes them, ``SINCE/UNTIL``.

    Raises:
        UserError: when one is open: a window that has no place in time cannot be counted.
    """
    since, _, until = text.partition("/")
    if ".." in (since, until) or not until:
        raise UserError(
            "the window has no bounds in time, so that it cannot be counted among others; give the step that loads it "
            "`at` and `length`"
        )
    bounds = datetime.fromisoformat(since), datetime.fromisoformat(until)
    return bounds if bounds[1] - bounds[0] > timedelta(0) else (bounds[1], bounds[0])
