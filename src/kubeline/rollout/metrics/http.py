"""GET with a bound on time and size, and one sentence for each failure."""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kubeline.rollout.metrics.source import MetricsError, MetricsSpec

if TYPE_CHECKING:
    from urllib3 import PoolManager

_MOST_BYTES = 64 * 2**20


def pool(spec: MetricsSpec) -> "PoolManager":
    """Connections that check certificates, follow no redirect, and ask again twice where that can help."""
    from urllib3 import PoolManager, Retry, Timeout

    retry = Retry(2, redirect=0, status_forcelist=(429, 502, 503, 504), backoff_factor=0.2, raise_on_status=False)
    return PoolManager(
        retries=retry,
        timeout=Timeout(spec.timeout_seconds),
        cert_reqs="CERT_REQUIRED",
        ca_certs=spec.ca_file or None,
    )


def get(
    connections: "PoolManager", url: str, fields: dict[str, str] | None = None, token: str = ""
) -> tuple[int, bytes]:
    """Status and body of an answer.

    Raises:
        MetricsError: when there was none, or it was too large.
    """
    from urllib3.exceptions import HTTPError

    headers = {"Authorization": f"Bearer {token}"} if token else {}
    where = f"{urlsplit(url).hostname}:{urlsplit(url).port or urlsplit(url).scheme}"  # never a user's secret in a URL
    try:
        answer = connections.request("GET", url, fields=fields, headers=headers, redirect=False, preload_content=False)
        try:
            body = answer.read(_MOST_BYTES + 1, decode_content=True)
        finally:
            answer.release_conn()
    except (HTTPError, OSError) as error:
        reason = getattr(error, "reason", None) or error
        raise MetricsError(f"The metrics at {where} could not be read ({reason}); check its address.") from error
    if len(body) > _MOST_BYTES:
        raise MetricsError(f"The metrics at {where} are more than {_MOST_BYTES >> 20} MiB; shorten the bake time.")
    return answer.status, body
