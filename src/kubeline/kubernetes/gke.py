"""Clusters of Google Kubernetes Engine by name: address and certificate are looked up, tokens are Google's.

What a kubeconfig would say, without one: no file to mount in a Vertex pipeline, and no token that outlives an hour.
"""

import atexit
import base64
import functools
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from kubeline.errors import UserError
from kubeline.http.google import GoogleCredentials, google_api
from kubeline.http.requests import MissingError

SCHEME = "gke"
_ADDRESS = re.compile(
    r"gke://(?P<project>[a-z0-9:.-]+)/(?P<location>[a-z0-9-]+)/(?P<cluster>[a-z0-9-]+)(?:\?endpoint=(?P<endpoint>\w+))?"
)
_ENDPOINTS = ("public", "private", "dns")
_USUAL = "https://container.googleapis.com"


def check(cluster: str) -> re.Match[str]:
    """The parts of an address.

    Raises:
        UserError: when it is none.
    """
    found = _ADDRESS.fullmatch(cluster)
    if found is None or (found["endpoint"] or "public") not in _ENDPOINTS:
        raise UserError(
            f"'{cluster}' is no cluster of GKE; write gke://PROJECT/LOCATION/CLUSTER, with ?endpoint=private or "
            "?endpoint=dns where it is not reached by its public address"
        )
    return found


def load(cluster: str, settings: Any) -> None:
    """Fill the settings of a Kubernetes client.

    Args:
        cluster: ``gke://PROJECT/LOCATION/CLUSTER``, with ``?endpoint=private`` for the address within the network, or
            ``?endpoint=dns`` for the one by name, which Google's own certificate and rights protect.
        settings: of a Kubernetes client.

    Raises:
        UserError: when there is no such cluster, it has no such endpoint, or we may not read it.
        PlatformError: when Google does not answer.
    """
    parts = check(cluster)
    credentials = GoogleCredentials()
    api = google_api("container", _USUAL, credentials, "the role container.clusterViewer")
    where = f"projects/{parts['project']}/locations/{parts['location']}"
    try:
        found = api.read(f"/v1/{where}/clusters/{parts['cluster']}")
    except MissingError:
        raise UserError(f"{where} has no cluster '{parts['cluster']}'; check the address {cluster}") from None
    endpoint = parts["endpoint"] or "public"
    host = _host(found, endpoint)
    if not host:
        raise UserError(f"the cluster '{cluster.partition('?')[0]}' has no {endpoint} endpoint; {_hint(found)}")
    settings.host = f"https://{host}"
    if endpoint != "dns":
        settings.ssl_ca_cert = _file(base64.b64decode(found["masterAuth"]["clusterCaCertificate"]))

    def renew(current: Any) -> None:
        current.api_key["authorization"] = f"Bearer {credentials.token()}"

    renew(settings)
    settings.refresh_api_key_hook = renew  # asked before each request; a token has an hour


def _host(found: Any, endpoint: str) -> str:
    """One of a cluster's endpoints; of older answers `endpoint` alone is the one of the whole cluster."""
    endpoints = found.get("controlPlaneEndpointsConfig", {})
    if endpoint == "dns":
        return str(endpoints.get("dnsEndpointConfig", {}).get("endpoint", ""))
    name = f"{endpoint}Endpoint"
    named = endpoints.get("ipEndpointsConfig", {}).get(name) or found.get("privateClusterConfig", {}).get(name)
    return str(named or (found.get("endpoint", "") if endpoint == "public" else ""))


def _hint(found: Any) -> str:
    there = [endpoint for endpoint in _ENDPOINTS if _host(found, endpoint)]
    return f"it has: {', '.join(there)}" if there else f"it is {found.get('status', 'not ready')}; try again later"


@functools.cache
def _file(certificate: bytes) -> str:
    """A file with a certificate, since the client takes no text, until the process ends; it holds no secret."""
    handle, path = tempfile.mkstemp(prefix="kubeline-", suffix=".pem")
    atexit.register(Path(path).unlink, missing_ok=True)
    with os.fdopen(handle, "wb") as stream:
        stream.write(certificate)
    return path
