"""What deserves repeating is repeated inside the step.

Kubeflow Pipelines repeats a step whose pod was deleted, and never one that failed, whatever its exit code.
"""

import functools
import logging
import os
import time
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

from kubeline.errors import PlatformError, UserError

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger(__name__)

BUDGET = "KUBELINE_RETRY_SECONDS"
_ON_A_CLUSTER = 120.0  # seconds of waiting in all, where the variable says nothing; elsewhere a user is waiting
_FIRST = 5.0  # seconds before the second try, and twice as long before each further one


def repeated(function: Callable[P, R]) -> Callable[P, R]:
    """Run an entry point again after a PlatformError, until the budget of waiting is used up.

    Every entry point is safe to repeat: outputs are written whole or not at all. A `UserError` is never repeated, and
    a server that says when to come again (Retry-After) is taken at its word within the budget.
    """

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        left, waits = budget(), _waits()
        while True:
            try:
                return function(*args, **kwargs)
            except PlatformError as error:
                wait = error.retry_after or next(waits)
                if wait > left:
                    raise
                left -= wait
                logger.warning("%s (trying again in %g s)", error, wait)
                time.sleep(wait)

    return run


def budget() -> float:
    """Seconds that a step may wait between its tries: of ``KUBELINE_RETRY_SECONDS``, else 120 on a cluster and 0 here.

    Raises:
        UserError: when the variable holds no number of seconds.
    """
    given = os.environ.get(BUDGET, "")
    if not given:
        return _ON_A_CLUSTER if os.environ.get("KFP_POD_NAME") or os.environ.get("CLOUD_ML_JOB_ID") else 0.0
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise UserError(f"{BUDGET} is '{given}'; expected seconds, such as 120, or 0 to try once")
    return seconds


def _waits() -> Iterator[float]:
    wait = _FIRST
    while True:
        yield wait
        wait *= 2
