"""The window of time that is loaded of a log: from when until when, by the column ``request.time``."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from kubeline.errors import UserError, listed

COLUMN = "request.time"
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_DAY = re.compile(r"[/\\]date=(\d{4}-\d{2}-\d{2})[/\\]")
# A file bears the date of its earliest request, and the others came soon after it.
_REACH = timedelta(days=1)


@dataclass(frozen=True)
class Timespan:
    """From `since` (included) to `until` (not included), UTC; None is open."""

    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether all rows are in it."""
        return self.since is None and self.until is None

    def condition(self, columns: Sequence[str]) -> str:
        """SQL that is true for the rows in it.

        Raises:
            UserError: when the table has no such column.
        """
        if COLUMN not in columns:
            raise UserError(
                f"since and until are times of the column '{COLUMN}', which this table does not have; choose rows by "
                f"`where` (it has: {listed(columns)})"
            )
        bounds = ((">=", self.since), ("<", self.until))
        parts = [
            f"CAST(\"{COLUMN}\" AS TIMESTAMPTZ) {sign} TIMESTAMPTZ '{moment.isoformat()}'"
            for sign, moment in bounds
            if moment
        ]
        return " AND ".join(parts)

    def may_hold(self, path: str) -> bool:
        """Whether a file may have rows in it: by its folder's name ``date=YYYY-MM-DD``; any other file may."""
        found = _DAY.search(path)
        if not found:
            return True
        day = datetime.fromisoformat(found.group(1)).replace(tzinfo=UTC)
        too_early = self.since is not None and day + timedelta(days=1) + _REACH <= self.since
        too_late = self.until is not None and day >= self.until
        return not (too_early or too_late)


def timespan(since: str, until: str, now: datetime | None = None) -> Timespan:
    """The window that parameters ask for.

    Args:
        since: ISO 8601 date or time (without an offset: UTC), or how long ago: ``90m``, ``24h``, ``7d``. Empty: open.
        until: the same.
        now: what ages are counted from; the present when it is None.

    Raises:
        UserError: when one is none of these, or the window is empty.
    """
    now = now or datetime.now(UTC)
    span = Timespan(_moment("since", since, now), _moment("until", until, now))
    if span.since and span.until and span.since >= span.until:
        raise UserError(f"since ({since}) is not before until ({until}); exchange them")
    return span


def _moment(name: str, text: str, now: datetime) -> datetime | None:
    text = text.strip()
    if not text:
        return None
    try:
        if age := re.fullmatch(r"(\d{1,6})([mhd])", text):
            return now - timedelta(**{_UNITS[age.group(2)]: int(age.group(1))})
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise UserError(
            f"{name} is '{text}'; expected an ISO 8601 time, such as 2013-10-01 or 2013-10-01T06:00:00Z, or how long "
            "ago: 90m, 24h or 7d"
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
