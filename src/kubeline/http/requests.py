"""Requests to a platform's API: what each failure is, and which are tried again.

Not urllib3's Retry or tenacity: all tries share one budget of time, into which a Retry-After has to fit, credentials
are renewed once between two of them, and a change whose answer was lost is searched for before it is made again.
"""

import email.utils
import time
from collections.abc import Callable
from typing import TypeVar

from kubeline.errors import KubelineError, PlatformError, UserError
from kubeline.http.time_budget import TimeBudget

T = TypeVar("T")

_BUSY = frozenset({408, 429, 502, 503, 504})
_LONGEST = 120.0  # seconds that a Retry-After is honoured at most


class TakenError(UserError):
    """It is there already (409)."""


class MissingError(UserError):
    """There is no such thing (404)."""


class StaleError(UserError):
    """It has changed since it was read (412)."""


class RefusedError(UserError):
    """We are not known (401), or sent to a page where one signs in."""


class UnclearError(PlatformError):
    """No answer, or a broken one: whether a write took effect is not known; check before it is repeated."""


class BusyError(UnclearError):
    """The server took nothing (429)."""


_ABOUT_IT = {404: MissingError, 409: TakenError, 412: StaleError}


def repeated(attempt: Callable[[TimeBudget], T], seconds: float, renew: Callable[[], bool] = lambda: False) -> T:
    """The result of `attempt`, which is made again where that can help.

    Args:
        attempt: one try; it is given what is left of the time.
        seconds: for all tries.
        renew: forgets the credentials that were refused; whether others may be had. Asked once.

    Raises:
        UserError: what was asked for is wrong, or we are refused.
        PlatformError: no answer in time.
    """
    budget, renewed = TimeBudget(seconds), False
    while True:
        try:
            return attempt(budget)
        except RefusedError:
            if renewed or not renew():
                raise
            renewed = True
        except UnclearError as error:
            if not budget.wait(error.retry_after):
                raise


def found_or_made(make: Callable[[TimeBudget], T], find: Callable[[], T | None]) -> Callable[[TimeBudget], T]:
    """A try of a change; where it is not clear whether an earlier one took effect, it checks before repeating it.

    Args:
        make: makes the change.
        find: searches for what the change makes.
    """
    unclear = False

    def attempt(budget: TimeBudget) -> T:
        nonlocal unclear
        if unclear and (made := find()) is not None:
            return made
        try:
            return make(budget)
        except UnclearError as error:
            unclear = unclear or not isinstance(error, BusyError)
            raise

    return attempt


def failure(place: str, status: int, said: str, when_forbidden: str, after: str = "") -> KubelineError:
    """The sentence of an answer that is no success, and not about who we are (401).

    Args:
        place: the server, for people.
        status: of HTTP.
        said: what the server says.
        when_forbidden: what to do about a 403.
        after: the header Retry-After.
    """
    if status == 403:
        return UserError(f"{place} does not let us do that (403): {said}; {when_forbidden}")
    if status in _ABOUT_IT:
        return _ABOUT_IT[status](f"{place} says: {said}")
    if status in _BUSY:
        kind = BusyError if status == 429 else UnclearError
        return kind(f"{place} is not available ({status}); try again later", retry_after(after))
    if status >= 500:
        return PlatformError(f"{place} failed ({status}): {said}")
    return UserError(f"{place} refuses that ({status}): {said}")


def retry_after(given: str) -> float:
    """Seconds by the header Retry-After, which holds seconds or a date; 0 without one."""
    try:
        seconds = float(given)
    except ValueError:
        date = email.utils.parsedate_tz(given)
        seconds = email.utils.mktime_tz(date) - time.time() if date else 0.0
    return min(max(0.0, seconds), _LONGEST)
