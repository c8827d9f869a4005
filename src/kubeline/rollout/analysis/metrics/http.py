"""GET with a bound on time and size, asked again where that can help, and one sentence for each failure."""

import time
from urllib.parse import urlencode, urlsplit

from kubeline.errors import PlatformError
from kubeline.http.credentials import bearer
from kubeline.http.exchange import ExchangeError, HttpResponse, Peer
from kubeline.rollout.analysis.metrics.source import MetricsError, MetricsSpec

_BUSY = frozenset({429, 502, 503, 504})
_PAUSES = (0.2, 0.4)  # seconds before each further attempt
_REQUESTS = 6  # of the longest time each, that one analysis may take


class Deadline:
    """When an analysis must be over, however many requests it is made of."""

    def __init__(self, spec: MetricsSpec) -> None:
        self._each = spec.timeout_seconds
        self._end = time.monotonic() + _REQUESTS * spec.timeout_seconds

    def left(self) -> float:
        """Seconds that the next request may take.

        Raises:
            MetricsError: when there are none.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise MetricsError(
                f"Reading the metrics took longer than {_REQUESTS * self._each:g} s, six times timeout_seconds; see "
                "why they come so slowly."
            )
        return min(left, self._each)


def get(
    url: str, spec: MetricsSpec, deadline: Deadline, most_bytes: int, fields: dict[str, str] | None = None
) -> HttpResponse:
    """The answer, whatever its status.

    Raises:
        MetricsError: when there was none, or it was too large.
    """
    try:
        peer = Peer(url, spec.ca_file)
    except ValueError as error:
        raise MetricsError(f"The metrics cannot be read: {error}.") from error
    try:
        headers = bearer(spec.token_file, spec.token_env, peer, "the metrics")
    except PlatformError as error:
        raise MetricsError(str(error)) from error
    parts = urlsplit(url)
    query = urlencode(fields) if fields else parts.query
    path = (parts.path or "/") + (f"?{query}" if query else "")
    for pause in (*_PAUSES, None):
        try:
            answer = peer.exchange("GET", path, headers, seconds=deadline.left(), most_bytes=most_bytes)
        except ExchangeError as error:
            if pause is None or error.too_large:
                raise MetricsError(
                    f"The metrics at {peer.where} could not be read ({error}); check their address."
                ) from error
        else:
            if pause is None or answer.status not in _BUSY:
                return answer
        finally:
            peer.close()
        time.sleep(min(pause, deadline.left()))
    raise AssertionError("the last attempt returns or raises")
