"""Long-running operations of Google's services, waited for until they are done or a deadline has passed."""

import random
import time
from typing import Any

from kubeline.errors import KubelineError, PlatformError, UserError
from kubeline.http.json_api import JsonApi
from kubeline.http.requests import TakenError

_FIRST, _LONGEST = 0.1, 15.0  # seconds between two looks
_TAKEN = 6
_OF_THE_REQUEST = frozenset({3, 5, 7, 9, 11})  # codes of google.rpc: what was asked for is wrong, or not allowed


def finished(api: JsonApi, operation: Any, what: str, seconds: float) -> Any:
    """The response of an operation.

    Args:
        api: of the service.
        operation: as the service answered it.
        what: it does, for messages, such as ``the upload of flights``.
        seconds: to wait at most.

    Raises:
        TakenError: when what it makes is there already.
        UserError: when it failed by what was asked for.
        PlatformError: when it failed otherwise, or is not done in time; it goes on meanwhile.
    """
    deadline, pause = time.monotonic() + seconds, _FIRST
    while not operation.get("done"):
        if time.monotonic() + pause > deadline:
            raise PlatformError(
                f"{what} is not done after {seconds:g} s and goes on ({operation.get('name', '')}); run it again later"
            )
        time.sleep(pause * random.uniform(0.75, 1.0))  # noqa: S311 (spread, not a secret)
        pause = min(2 * pause, _LONGEST)
        operation = api.read(f"/v1/{operation['name']}")
    if said := operation_error(operation):
        code = operation["error"].get("code")
        kind: type[KubelineError]
        kind = TakenError if code == _TAKEN else UserError if code in _OF_THE_REQUEST else PlatformError
        raise kind(f"{what} failed: {said}")
    return operation.get("response", {})


def operation_error(operation: Any) -> str:
    """Why an operation failed; empty when it did not, or is not done."""
    failure = operation.get("error") or {}
    return " ".join(str(failure.get("message") or "no reason is given").split())[:400] if failure else ""
