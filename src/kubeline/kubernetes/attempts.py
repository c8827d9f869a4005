"""Work that is done again after a conflict, or when there was no answer."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from kubeline.errors import PlatformError
from kubeline.kubernetes.errors import ConflictError, UnavailableError

logger = logging.getLogger(__name__)

T = TypeVar("T")

WAITS = (0.2, 0.5, 1.0, 2.0, 4.0)  # seconds before each further attempt
_LONGEST_WAIT = 30.0  # seconds that a Retry-After header is honoured at most


def attempted(work: Callable[[], T], what: str, waits: Sequence[float]) -> T:
    """Run `work` again after a :class:`ConflictError` or :class:`UnavailableError`, as often as there are waits.

    Args:
        work: what is done; it reads before it writes.
        what: it is about, for messages.
        waits: seconds before each further attempt.

    Raises:
        PlatformError: when there is a conflict each time.
    """
    for wait in waits:
        try:
            return work()
        except (ConflictError, UnavailableError) as error:
            pause = min(max(wait, getattr(error, "retry_after", 0.0)), _LONGEST_WAIT)
            logger.info("%s; next attempt in %.1f s", error, pause)
            time.sleep(pause)
    try:
        return work()
    except ConflictError as error:
        raise PlatformError(f"{what} is being changed by someone else all the time ({error}); try later") from error
