"""A cluster of GKE by its name: looked up, asked with Google's tokens, and by the endpoint that was asked for."""

import base64
import datetime
import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from kubeline.cli import main
from kubeline.errors import PlatformError, UserError
from kubeline.kubernetes.cluster import Cluster
from kubeline.kubernetes.errors import UnavailableError
from kubeline.kubernetes.namespace import namespace_of
from tests.support.google_cloud import GoogleServer, private_key, use
from tests.support.json_servers import AnswerError, Json, served

ADDRESS = "gke://team/europe-west4/prod"
SERVICE = {
    "apiVersion": "serving.kserve.io/v1beta1",
    "kind": "InferenceService",
    "metadata": {"name": "flights", "namespace": "default", "resourceVersion": "7", "uid": "u", "generation": 1},
    "spec": {"predictor": {"model": {}}},
}


class ContainerServer(GoogleServer):
    """Container Engine's `clusters.get`, for one cluster."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster: Json = {}

    def serve(self, method: str, path: str, query: dict[str, str], body: Json) -> Json:
        if (method, path) != ("GET", "/v1/projects/team/locations/europe-west4/clusters/prod"):
            raise AnswerError(404, "Not found: projects/team/locations/europe-west4/clusters/other.")
        return self.cluster


@pytest.fixture
def google(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ContainerServer]:
    """Google's services; `cluster` is what they say of the cluster."""
    server = ContainerServer()
    with served(server) as url:
        use(url, ("container",), tmp_path, monkeypatch)
        yield server


def certificate() -> bytes:
    """Of 127.0.0.1, signed by itself, as a cluster's own authority is."""
    key: Any = serialization.load_pem_private_key(private_key().encode(), None)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cluster")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    content: bytes = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return content


@pytest.fixture
def api_server(google: ContainerServer, tmp_path: Path) -> Iterator[str]:
    """An API server behind TLS that lets in whom Google knows; yields its host and port, which Google knows too."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            known = self.headers["Authorization"].removeprefix("Bearer ") in google.tokens
            answer = json.dumps(SERVICE if known else {"kind": "Status", "code": 401}).encode()
            self.send_response(200 if known else 401)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    chain = tmp_path / "chain.pem"
    authority = certificate()
    chain.write_bytes(private_key().encode() + authority)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    host = f"127.0.0.1:{server.server_port}"
    google.cluster = {
        "name": "prod",
        "status": "RUNNING",
        "endpoint": host,
        "masterAuth": {"clusterCaCertificate": base64.b64encode(authority).decode()},
    }
    yield host
    server.shutdown()
    server.server_close()


def read(cluster: str) -> Any:
    return Cluster.connect(cluster, timeout_seconds=5, waits=()).read("default", "flights")


def test_a_cluster_is_found_by_its_name_and_asked_over_tls_with_a_token_of_google(api_server: str) -> None:
    assert read(ADDRESS) == SERVICE


def test_a_token_that_the_cluster_takes_no_more_is_renewed(api_server: str, google: ContainerServer) -> None:
    cluster = Cluster.connect(ADDRESS, timeout_seconds=5, waits=())
    google.tokens.clear()
    assert cluster.read("default", "flights") == SERVICE
    assert google.given == 2


def test_a_server_that_shows_another_certificate_is_not_shown_a_token(api_server: str, google: ContainerServer) -> None:
    google.cluster["masterAuth"]["clusterCaCertificate"] = base64.b64encode(certificate()).decode()
    with pytest.raises(UnavailableError, match="does not answer"):
        read(ADDRESS)


def test_the_endpoint_is_the_one_that_was_asked_for(api_server: str, google: ContainerServer) -> None:
    google.cluster["endpoint"] = "203.0.113.7"
    with pytest.raises(UserError, match="has no private endpoint; it has: public"):
        read(f"{ADDRESS}?endpoint=private")
    google.cluster["privateClusterConfig"] = {"privateEndpoint": api_server}
    assert read(f"{ADDRESS}?endpoint=private") == SERVICE
    google.cluster["controlPlaneEndpointsConfig"] = {
        "dnsEndpointConfig": {"endpoint": "gke-1.europe-west4.gke.goog"},
        "ipEndpointsConfig": {"publicEndpoint": api_server, "privateEndpoint": "10.0.0.2"},
    }
    assert read(ADDRESS) == SERVICE
    assert google.cluster["controlPlaneEndpointsConfig"]["dnsEndpointConfig"]["endpoint"] in host_of(ADDRESS)


def host_of(address: str) -> str:
    from kubernetes import client

    from kubeline.kubernetes import gke

    settings = client.Configuration()
    gke.load(f"{address}?endpoint=dns", settings)
    assert settings.ssl_ca_cert is None  # Google's own certificate
    return str(settings.host)


@pytest.mark.parametrize("address", ["gke://team/prod", "gke://team/europe-west4/prod?endpoint=other", "gke://a/b/c/d"])
def test_an_address_that_is_none_is_refused_before_anything_is_asked(address: str) -> None:
    with pytest.raises(UserError, match="is no cluster of GKE; write gke://PROJECT/LOCATION/CLUSTER"):
        read(address)


def test_the_command_line_takes_such_an_address_for_a_kubeconfig(
    google: ContainerServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rollout", "status", "flights", "--kubeconfig", "gke://team/europe-west4/other"]) == 2
    assert "has no cluster 'other'; check the address" in capsys.readouterr().err


def test_a_cluster_that_is_not_there_and_one_that_is_not_ready_are_reported(google: ContainerServer) -> None:
    with pytest.raises(UserError, match="has no cluster 'other'; check the address"):
        read("gke://team/europe-west4/other")
    google.cluster = {"name": "prod", "status": "PROVISIONING"}
    with pytest.raises(UserError, match="has no public endpoint; it is PROVISIONING; try again later"):
        read(ADDRESS)


def test_without_a_key_that_google_takes_no_cluster_is_asked(
    google: ContainerServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use("http://127.0.0.1:9", (), tmp_path, monkeypatch)
    with pytest.raises(PlatformError, match="Google gives no access token"):
        read(ADDRESS)


def test_the_namespace_of_a_cluster_by_name_is_not_that_of_this_pod(tmp_path: Path) -> None:
    (tmp_path / "namespace").write_text("pipelines", encoding="utf-8")
    assert namespace_of("", ADDRESS, tmp_path / "namespace") == "default"
    assert namespace_of("models", ADDRESS, tmp_path / "namespace") == "models"
