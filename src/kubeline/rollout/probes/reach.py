"""Whether a candidate and the metrics pages can be asked from here, tried on the stable model before any change.

Only what another attempt does not cure is refused: a missing token, and a connection that is ended at once, as a mesh
does with plain ones under strict mTLS.
"""

import contextlib
from typing import Any
from urllib.parse import urlsplit

from kubeline.errors import UserError
from kubeline.http.credentials import bearer
from kubeline.http.exchange import ExchangeError, HttpResponse, Peer
from kubeline.kubernetes.resources import POD, Manifest
from kubeline.rollout.analysis.metrics import Addresses
from kubeline.rollout.analysis.pages import addresses
from kubeline.rollout.spec import RolloutSpec
from kubeline.rollout.status import DeploymentMode, RolloutStatus
from kubeline.serving_platform.interface import ServingPlatform

_MOST_SECONDS = 2.0
_MOST_BYTES = 16 * 2**20
_LIVE = "/v2/health/live"  # a server that knows another path answers 404, which is an answer too
_MESH = "ends the connection without an answer, as a mesh with strict mTLS does with a plain one"


def check_reach(
    cluster: ServingPlatform, status: RolloutStatus, spec: RolloutSpec, service: Manifest, gateway: str
) -> None:
    """Check that the stable model answers where the candidate will be asked, and that a metrics page can be read.

    Args:
        cluster: where.
        status: of a rollout with a stable model.
        spec: of the rollout.
        service: live.
        gateway: where the candidate is asked through; empty inside the cluster.

    Raises:
        UserError: when one is refused.
    """
    if status.mode is not DeploymentMode.VERTEX and (spec.smoke.rows or spec.strategy == "shadow"):
        _check_model(status, spec, service.get("status") or {}, gateway)
    if spec.shares and spec.metrics is not None and spec.metrics.source == "scrape":
        labels = f"serving.kserve.io/inferenceservice={status.name}"
        pods = cluster.attempt(lambda: cluster.find(status.namespace, POD, labels), "the pods")
        check_page(spec, addresses(pods, status.namespace, "", ""))


def _check_model(status: RolloutStatus, spec: RolloutSpec, live: dict[str, Any], gateway: str) -> None:
    knative, smoke = status.mode is DeploymentMode.KNATIVE, spec.smoke
    url = str(live.get("url", "") if knative else (live.get("address") or {}).get("url", ""))
    if not url or (gateway and not knative):  # that goes through the API server
        return
    try:
        peer = Peer(gateway or url, smoke.ca_file)
    except ValueError:
        return  # found out by the candidate's own address
    headers = {"Host": urlsplit(url).netloc, **bearer(smoke.token_file, smoke.token_env, peer, "the candidate")}
    where, prefix = f"the stable model at {urlsplit(url).netloc}", urlsplit(gateway or url).path.rstrip("/")
    answer = _asked(
        peer,
        prefix + _LIVE,
        headers,
        f"{where} {_MESH}: let the steps' pods be in the mesh (label sidecar.istio.io/inject: 'true'), or give "
        "the mesh's gateway as gateway",
    )
    _require_admitted(answer, where, smoke.token_file or smoke.token_env, "smoke.token_file or smoke.token_env")


def check_page(spec: RolloutSpec, where: Addresses) -> None:
    """Check that the first metrics page can be read.

    Raises:
        UserError: when it is refused.
    """
    if spec.metrics is None or not where.pages:
        return
    url, metrics = where.pages[0], spec.metrics
    peer = Peer(url, metrics.ca_file)
    headers = bearer(metrics.token_file, metrics.token_env, peer, "the metrics")
    answer = _asked(
        peer,
        urlsplit(url).path or "/",
        headers,
        f"the metrics page {url} {_MESH}: annotate the service with prometheus.io/scrape, port and path, so that the "
        "sidecars serve the pages as well, or use metrics: {source: prometheus}",
    )
    given = metrics.token_file or metrics.token_env
    _require_admitted(answer, f"the metrics page {url}", given, "metrics.token_file or .token_env")


def _require_admitted(answer: HttpResponse | None, where: str, given: str, options: str) -> None:
    if answer is not None and answer.status in {401, 403}:
        why = f"refuses the token in {given}" if given else f"asks for a token; give {options}"
        raise UserError(f"{where} {why} (status {answer.status})")


def _asked(peer: Peer, path: str, headers: dict[str, str], ended: str) -> HttpResponse | None:
    """The answer; None where there is none for a reason that may pass.

    Raises:
        UserError: with the sentence `ended`, when the connection is ended.
    """
    with contextlib.closing(peer):
        for last in (False, True):
            try:
                return peer.exchange("GET", path, headers, seconds=_MOST_SECONDS, most_bytes=_MOST_BYTES)
            except ExchangeError as error:
                if not error.ended:
                    return None
                if last:
                    raise UserError(ended) from error
    return None
