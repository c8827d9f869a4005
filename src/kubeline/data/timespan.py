"""The window of time that is loaded of a table: ``[at - length, at)``, by a column of times.

A window hangs on no clock but on `at`, so that a run that is late, repeated or made up for reads the same rows.
"""

import calendar
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from kubeline.data.engine import identifier
from kubeline.errors import UserError, listed

COLUMN = "request.time"  # of a log of requests
OR = " | "  # between an `at` that is given and one that the platform fills in
_AGE = r"(\d{1,6})(mo|m|h|d)"
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_DIGITS = re.compile(r"\d{14}")  # as Kubeflow Pipelines writes [[ScheduledTime]]
_UNFILLED = re.compile(r"\[\[|\{\{|\$\{")
_DAY = re.compile(r"[/\\]date=(\d{4}-\d{2}-\d{2})[/\\]")
# A file bears the date of its earliest request, and the others came soon after it.
_REACH = timedelta(days=1)


@dataclass(frozen=True)
class Timespan:
    """From `since` (included) to `until` (not included), UTC, by the times of `column`; None is open."""

    since: datetime | None = None
    until: datetime | None = None
    column: str = COLUMN

    @property
    def is_open(self) -> bool:
        """Whether all rows are in it."""
        return self.since is None and self.until is None

    def __str__(self) -> str:
        """As an interval of ISO 8601, open ends as ``..``."""
        return "/".join(moment.isoformat() if moment else ".." for moment in (self.since, self.until))

    def condition(self, columns: Sequence[str]) -> str:
        """SQL that is true for the rows in it.

        Raises:
            UserError: when the table has no such column.
        """
        if self.column not in columns:
            raise UserError(
                f"the window is one of the times '{self.column}', which this table does not have; name its own column "
                f"as `time`, or choose rows by `where` (it has: {listed(columns)})"
            )
        bounds = ((">=", self.since), ("<", self.until))
        parts = [
            f"CAST({identifier(self.column)} AS TIMESTAMPTZ) {sign} TIMESTAMPTZ '{moment.isoformat()}'"
            for sign, moment in bounds
            if moment
        ]
        return " AND ".join(parts)

    def may_hold(self, path: str) -> bool:
        """Whether a file may have rows in it: of a log, by its folder ``date=YYYY-MM-DD``; any other file may."""
        found = _DAY.search(path)
        if not found or self.column != COLUMN:
            return True
        day = datetime.fromisoformat(found.group(1)).replace(tzinfo=UTC)
        too_early = self.since is not None and day + timedelta(days=1) + _REACH <= self.since
        too_late = self.until is not None and day >= self.until
        return not (too_early or too_late)


def timespan(at: str, length: str, column: str = COLUMN, now: datetime | None = None) -> Timespan:
    """The window ``[at - length, at)``.

    Args:
        at: The end of the window: an ISO 8601 date or time (without an offset: UTC), or what Kubeflow Pipelines writes
            for ``[[ScheduledTime]]``; ``- 30m`` behind it is half an hour before. Of several, divided by ``|``, the
            first that is filled in. Empty: the present, or, without a length, open.
        length: ``90m``, ``24h``, ``7d``, or calendar months: ``1mo``. Empty: from the first row on.
        column: The column of times.
        now: The present, of a test.

    Raises:
        UserError: when one is none of these.
    """
    until = _end(at)
    if not length.strip():
        return Timespan(None, until, column)
    until = until or now or datetime.now(UTC)
    return Timespan(before(until, *length_of("length", length)), until, column)


def length_of(name: str, text: str) -> tuple[int, str]:
    """A length of time as a number and its unit: m, h, d or mo.

    Raises:
        UserError: when it is none.
    """
    found = re.fullmatch(_AGE, text.strip())
    if not found or not int(found[1]):
        raise UserError(f"{name} is '{text}'; expected a length of time: 90m, 24h, 7d or 1mo")
    return int(found[1]), found[2]


def _end(at: str) -> datetime | None:
    given = [part.strip() for part in at.split(OR.strip())]
    if len(given) == 1:
        return _moment(given[0])
    filled = [moment for part in given if not _UNFILLED.search(part) and (moment := _moment(part))]
    return next((moment for moment in filled if moment.year > 1970), None)  # 1970: the run was not scheduled


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    if _UNFILLED.search(text):
        raise UserError(
            f"at is '{text}', which this platform did not fill in; give an ISO 8601 time, or put the run on a schedule"
        )
    back = re.fullmatch(rf"(.*?)\s*-\s*{_AGE}", text)
    try:
        written = back[1] if back else text
        moment = (
            datetime.strptime(written, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
            if _DIGITS.fullmatch(written)
            else datetime.fromisoformat(written)
        )
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise UserError(
            f"at is '{text}'; expected the end of the window as an ISO 8601 time, such as 2013-10-01 or "
            "2013-10-01T06:00:00Z"
        ) from None
    return before(moment, int(back[2]), back[3]) if back else moment


def before(moment: datetime, number: int, unit: str) -> datetime:
    """So many minutes, hours, days or calendar months before; of a shorter month, its last day.

    Raises:
        UserError: when that is before the year 1.
    """
    try:
        if unit != "mo":
            return moment - timedelta(**{_UNITS[unit]: number})
        months = moment.year * 12 + moment.month - 1 - number
        year, month = divmod(months, 12)
        day = min(moment.day, calendar.monthrange(year, month + 1)[1])
        return moment.replace(year=year, month=month + 1, day=day)
    except (ValueError, OverflowError):
        raise UserError(f"{number}{unit} before {moment} is before the year 1; give a shorter length") from None
