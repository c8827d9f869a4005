"""The Kubernetes client, against a web server that answers as an API server does."""

import http.server
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from embedded_kserve.faults import Fault
from kubeline.deployment.inference_service import PACKAGE_DIGEST, Service, render
from kubeline.errors import PlatformError, UserError
from kubeline.kubernetes.cluster import Cluster
from kubeline.kubernetes.errors import ConflictError, UnavailableError
from kubeline.kubernetes.resources import POD
from kubeline.rollout.clock import Clock
from kubeline.serving_platform.endpoint_view import DIGEST_VARIABLE
from tests.support.http_servers import serving
from tests.support.kubernetes_api import BROKEN, ApiServer, kubeconfig_of, status

KEY = ("default", "flights")
NO_WAITS = (0.0, 0.0, 0.0)


@pytest.fixture
def cluster(server: ApiServer, tmp_path: Path) -> Cluster:
    return Cluster.connect(server.kubeconfig(tmp_path), timeout_seconds=2, waits=NO_WAITS)


def manifest(digest: str = "a", **overrides: Any) -> dict[str, Any]:
    service = Service("flights", "default", storage_uri=f"s3://models/{digest}", package_digest=digest * 64)
    return render(service, {"spec": {"predictor": overrides}})


def test_a_service_that_is_not_there_is_created_under_strict_validation(server: ApiServer, cluster: Cluster) -> None:
    applied = cluster.apply(manifest())
    assert applied.change == "created"
    assert server.holds(KEY, manifest())
    assert server.methods() == ["GET", "POST"]
    assert server.requests[1][1] == {"fieldManager": "kubeline", "fieldValidation": "Strict"}


def test_an_unchanged_service_is_left_alone(server: ApiServer, cluster: Cluster) -> None:
    cluster.apply(manifest())
    assert cluster.apply(manifest()).change == "unchanged"
    assert server.methods() == ["GET", "POST", "GET"]


def test_only_what_differs_is_sent_as_a_merge_patch_with_the_version_that_was_read(
    server: ApiServer, cluster: Cluster
) -> None:
    cluster.apply(manifest("a"))
    server.edit(KEY, {"spec": {"predictor": {"nodeSelector": {"disk": "ssd"}}}})
    read = server.object(KEY)["metadata"]["resourceVersion"]
    assert cluster.apply(manifest("b")).change == "updated"
    _, query, content_type, body = server.requests[-1]
    assert query["fieldValidation"] == "Strict"
    assert content_type == "application/merge-patch+json"
    assert body == {
        "metadata": {"annotations": {PACKAGE_DIGEST: "b" * 64}, "resourceVersion": read},
        "spec": {
            "predictor": {
                "model": {"storageUri": "s3://models/b", "env": [{"name": DIGEST_VARIABLE, "value": "b" * 64}]}
            }
        },
    }
    assert server.object(KEY)["spec"]["predictor"]["nodeSelector"] == {"disk": "ssd"}  # what others set stays


def test_a_conflict_is_read_again_and_decided_anew(server: ApiServer, cluster: Cluster) -> None:
    cluster.apply(manifest("a"))

    def someone_else(running: ApiServer) -> None:
        running.edit(KEY, {"spec": {"predictor": {"maxReplicas": 9}}})

    server.forget_requests()
    server.script(lambda _: None, someone_else)  # the edit comes between our read and our patch
    assert cluster.apply(manifest("b")).change == "updated"
    assert server.methods() == ["GET", "PATCH", "GET", "PATCH"]
    assert server.object(KEY)["spec"]["predictor"]["maxReplicas"] == 9
    assert server.object(KEY)["metadata"]["annotations"][PACKAGE_DIGEST] == "b" * 64


def test_two_who_create_at_once_end_in_one_create_and_one_patch(server: ApiServer, cluster: Cluster) -> None:
    server.script(lambda _: None, lambda running: running.edit(KEY, manifest("a")))
    assert cluster.apply(manifest("b")).change == "updated"
    assert server.methods() == ["GET", "POST", "GET", "PATCH"]


def test_conflicts_without_end_are_reported(server: ApiServer, cluster: Cluster) -> None:
    conflict = status(409, "Conflict", "the object has been modified")
    server.edit(KEY, manifest("a"))
    steps: tuple[Any, ...] = (lambda _: None, conflict)
    server.script(*steps * 4)
    with pytest.raises(PlatformError, match="is being changed by someone else all the time"):
        cluster.apply(manifest("b"))
    assert server.methods() == ["GET", "PATCH"] * 4


def test_a_service_deleted_between_read_and_patch_is_created(server: ApiServer, cluster: Cluster) -> None:
    cluster.apply(manifest("a"))
    server.script(lambda _: None, lambda running: running.delete(KEY))
    assert cluster.apply(manifest("b")).change == "created"


@pytest.mark.parametrize("code", [429, 500, 503, 504])
def test_a_busy_server_is_asked_again(code: int, server: ApiServer, cluster: Cluster) -> None:
    server.script(status(code, "Busy", "try again"), lambda _: None, status(code, "Busy", "try again"))
    assert cluster.apply(manifest()).change == "created"
    assert server.methods() == ["GET", "GET", "POST", "GET", "POST"]


def test_a_retry_after_header_is_honoured(
    server: ApiServer, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    server.script(status(429, "TooManyRequests", "slow down", retry_after=0.3))
    cluster.apply(manifest())
    assert "answers 429 (slow down); next attempt in 0.3 s" in caplog.text


def test_a_write_whose_answer_was_lost_is_seen_and_not_repeated(server: ApiServer, cluster: Cluster) -> None:
    def created_but_broken(running: ApiServer) -> Fault:
        running.edit(KEY, manifest())
        return BROKEN

    server.script(lambda _: None, created_but_broken)
    assert cluster.apply(manifest()).change == "unchanged"
    assert server.methods() == ["GET", "POST", "GET"]


def test_a_server_that_never_answers_is_reported(tmp_path: Path) -> None:
    with socket.socket() as deaf, ApiServer() as template:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        kubeconfig = Path(template.kubeconfig(tmp_path))
        kubeconfig.write_text(kubeconfig.read_text().replace(str(template.server_port), str(deaf.getsockname()[1])))
        cluster = Cluster.connect(str(kubeconfig), timeout_seconds=0.1, waits=(0.0,))
        with pytest.raises(PlatformError, match=r"no whole answer within 0\.1 s"):
            cluster.apply(manifest())


def test_a_server_that_is_not_there_is_reported(server: ApiServer, tmp_path: Path) -> None:
    cluster = Cluster.connect(server.kubeconfig(tmp_path), waits=(0.0,))
    server.stop()
    with pytest.raises(PlatformError, match=r"http://127.0.0.1:\d+ does not answer \(NewConnectionError\)"):
        cluster.apply(manifest())


def test_forbidden_says_which_right_is_missing(server: ApiServer, cluster: Cluster) -> None:
    server.script(status(403, "Forbidden", 'User "pipeline-runner" cannot get resource "inferenceservices"'))
    with pytest.raises(PlatformError, match="may not get inferenceservices") as caught:
        cluster.apply(manifest())
    assert 'User "pipeline-runner" cannot get' in str(caught.value)
    assert "bind it to a Role with get, create and patch" in str(caught.value)
    assert server.methods() == ["GET"]


def test_credentials_that_are_not_accepted_are_reported_without_them(server: ApiServer, cluster: Cluster) -> None:
    refused = status(401, "Unauthorized", "Unauthorized")
    server.script(refused, refused)  # asked again with the token of now
    with pytest.raises(PlatformError, match="does not accept these credentials") as caught:
        cluster.apply(manifest())
    assert server.token not in str(caught.value)


def test_a_cluster_without_kserve_is_reported(server: ApiServer, cluster: Cluster) -> None:
    server.uninstall_kserve()
    with pytest.raises(PlatformError, match=r"does not know InferenceService \(serving\.kserve\.io/v1beta1\); install"):
        cluster.apply(manifest())


def test_a_namespace_that_is_not_there_is_reported(server: ApiServer, cluster: Cluster) -> None:
    server.delete_namespace("default")
    with pytest.raises(UserError, match="there is no namespace 'default' in this cluster"):
        cluster.apply(manifest())


def test_an_unknown_field_is_rejected_with_the_server_s_own_words(server: ApiServer, cluster: Cluster) -> None:
    with pytest.raises(UserError, match=r'strict decoding error: unknown field "spec\.predictor\.minReplica"'):
        cluster.apply(manifest(minReplica=2))
    cluster.apply(manifest())
    with pytest.raises(UserError, match=r'unknown field "spec\.predictor\.minReplica"'):
        cluster.apply(manifest(minReplica=2))
    assert server.holds(KEY, manifest())


def test_an_invalid_value_is_rejected_with_the_server_s_own_words(server: ApiServer, cluster: Cluster) -> None:
    message = 'InferenceService "flights" is invalid: spec.canary[0].predictor.model.name: Required value'
    server.script(lambda _: None, status(422, "Invalid", message))
    with pytest.raises(UserError, match="rejects InferenceService default/flights: ") as caught:
        cluster.apply(manifest())
    assert message in str(caught.value)


def test_single_calls_leave_a_conflict_to_whoever_decides_on_it(cluster: Cluster) -> None:
    created = cluster.create(manifest(serviceAccountName="reader"))
    stale = {
        "metadata": {"resourceVersion": created["metadata"]["resourceVersion"]},
        "spec": {"predictor": {"serviceAccountName": None}},
    }
    patched = cluster.patch("default", "flights", stale)
    assert "serviceAccountName" not in patched["spec"]["predictor"]  # null removes a field
    with pytest.raises(ConflictError, match="has changed since it was read"):
        cluster.patch("default", "flights", stale)
    with pytest.raises(ConflictError, match="already exists"):
        cluster.create(manifest())
    assert cluster.read("default", "others") is None


@pytest.mark.parametrize("content", ["", "not: a kubeconfig", "{", "\x00binary"])
def test_a_file_that_is_no_kubeconfig_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(content)
    with pytest.raises(UserError, match="give a valid kubeconfig") as caught:
        Cluster.connect(str(path))
    assert "\n" not in str(caught.value)


def test_a_missing_kubeconfig_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no kubeconfig"):
        Cluster.connect(str(tmp_path / "nothing"))


def test_in_cluster_outside_a_pod_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(UserError, match="this is not a pod with a service account"):
        Cluster.connect("in-cluster")


def test_the_time_is_the_api_server_s_and_no_step_of_this_machine_s_clock(tmp_path: Path) -> None:
    ahead = time.time() + 3600
    with answering(dated(formatdate(ahead, usegmt=True)), tmp_path) as cluster:
        clock = Clock(cluster.time())
    assert int(ahead) <= clock.now() < ahead + 1800
    assert abs(cluster.time() - time.time()) < 1800  # nobody answers any more


@pytest.mark.parametrize(
    "date", ["", "tomorrow", "Thu, 01 Jan 99999999999 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 -2359"]
)
def test_a_date_that_is_none_is_not_taken_for_the_time(date: str, tmp_path: Path) -> None:
    with answering(dated(date), tmp_path) as cluster:
        assert abs(cluster.time() - time.time()) < 1800


def dated(date: str) -> type[http.server.BaseHTTPRequestHandler]:
    """An API server that says this date."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def date_time_string(self, timestamp: float | None = None) -> str:
            return date

        def log_message(self, *_: object) -> None:
            pass

    return Handler


LIES = {
    "a web page": b"<html>Please sign in</html>",
    "nothing": b"",
    "a list": b"[]",
    "a number": b"7",
    "an object without metadata": b'{"kind": "InferenceService"}',
    "an object without a name": b'{"metadata": {}}',
    "a list of pods that is none": b'{"items": [7], "metadata": {"name": "x"}, "spec": []}',
    "JSON without a bottom": b"[" * 100_000,
    "no text": b"\xff\xfe{",
}


@contextmanager
def answering(handler: type[http.server.BaseHTTPRequestHandler], folder: Path) -> Iterator[Cluster]:
    """A client of a server of its own."""
    with serving(handler) as url:
        yield Cluster.connect(kubeconfig_of(url, folder), timeout_seconds=2, waits=())


@pytest.fixture(params=list(LIES.values()), ids=list(LIES))
def liar(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    """Something that stands between, and answers everything with 200."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(200)
            self.send_header("Content-Length", str(len(request.param)))
            self.end_headers()
            self.wfile.write(request.param)

        do_POST = do_PATCH = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with answering(Handler, tmp_path) as cluster:
        yield cluster


def test_an_answer_that_is_no_object_is_no_answer(liar: Cluster) -> None:
    asked: list[Callable[[], Any]] = [
        lambda: liar.read("default", "flights"),
        lambda: liar.find("default", POD),
        lambda: liar.create(manifest()),
        lambda: liar.patch("default", "flights", {"spec": {}}),
    ]
    for ask in asked:
        with pytest.raises(UnavailableError, match=r"(is no Kubernetes API server|answers what is no JSON)"):
            ask()
    with suppress(UnavailableError):
        assert not liar.may("get", POD, "default")
