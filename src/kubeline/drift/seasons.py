"""What a window is compared with beside the training: the window one season earlier, or what stands at an address."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from kubeline.data.timespan import before, length_of
from kubeline.errors import UserError

Bounds = tuple[datetime, datetime]
_NONE = timedelta(0)


def is_season(reference: str) -> bool:
    """Whether a further reference is a length of time, and no address."""
    return re.fullmatch(r"\d+\s*[a-z]{1,2}", reference.strip()) is not None


def check_references(references: Sequence[str], history: str) -> None:
    """Raise a :class:`UserError` for what is no reference, or a season without a history to find its window in."""
    for one in references:
        if not isinstance(one, str) or not one.strip():
            raise UserError(f"references holds {one!r}; give a season such as 7d or 12mo, or an address")
        if is_season(one):
            length_of("a season of references", one)
            if not history.strip():
                raise UserError(
                    f"references asks for the window {one} earlier, but history is empty; give the folder in which "
                    "earlier checks left theirs"
                )


def earlier(window: Bounds, season: str) -> Bounds:
    """The bounds of the window one season before.

    Raises:
        UserError: when the season is shorter than the window, so that the two would share rows.
    """
    number, unit = length_of("a season of references", season)
    since, until = before(window[0], number, unit), before(window[1], number, unit)
    if until > window[0]:
        raise UserError(f"the season {season} of references is shorter than the window; give one at least as long")
    return since, until


def nearest(wanted: Bounds, known: Sequence[Bounds]) -> int | None:
    """The place of the window that has most in common with the one that is wanted: half of the longer one at least."""
    shares = [_shared(wanted, one) for one in known]
    best = max(range(len(known)), key=shares.__getitem__, default=None)
    return best if best is not None and shares[best] >= 0.5 else None


def _shared(one: Bounds, other: Bounds) -> float:
    both = min(one[1], other[1]) - max(one[0], other[0])
    return max(both, _NONE) / max(one[1] - one[0], other[1] - other[0])
