"""Bounds on what an API server, or what stands before it, can make long or large; and tokens that are renewed."""

import gzip
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubeline.kubernetes.cluster import Cluster
from kubeline.kubernetes.errors import UnavailableError
from kubeline.kubernetes.replies import Reply, refusal, without_nulls
from kubeline.kubernetes.resources import DEPLOYMENT, HTTP_ROUTE, INFERENCE_SERVICE, POD
from kubeline.kubernetes.schemas import misshapen
from kubeline.processes import ended_in_order
from tests.support import recordings as reader
from tests.support.kubernetes_api import ApiServer, kubeconfig_of
from tests.support.misbehaving_servers import Talk, answer, dripping, gushing, lying

HEADERS = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
ENDLESS: dict[str, tuple[Talk, str]] = {
    "a drip": (dripping(HEADERS + b"\r\n{"), "no whole answer within 0.3 s"),
    "a drip of headers": (dripping(HEADERS + b"X: "), "no whole answer within 0.3 s"),
    "a drip of chunks": (dripping(HEADERS + b"Transfer-Encoding: chunked\r\n\r\n"), "does not answer"),
    "silence": (dripping(b"", pause=60), "no whole answer within 0.3 s"),
    "a drip behind a refusal": (dripping(b"HTTP/1.1 403 Forbidden\r\n\r\n{"), "no whole answer within 0.3 s"),
}
LARGE: dict[str, tuple[Talk, str]] = {
    "without an end": (gushing(HEADERS + b"\r\n"), "more than 32 MiB"),
    "a gigabyte announced": (gushing(HEADERS + b"Content-Length: 1000000000\r\n\r\n"), "more than 32 MiB"),
    "a refusal without an end": (gushing(b"HTTP/1.1 403 Forbidden\r\n\r\n"), "more than 32 MiB"),
    "compressed": (answer(gzip.compress(b"{}" * 99), headers=b"Content-Encoding: gzip\r\n"), "compressed"),
    "truncated": (answer(b'{"metadata": {', length=10**6), "does not answer"),
    "no HTTP": (answer(b"", "\x00"), "does not answer|answers"),
}


def served(name: str = "flights", **more: Any) -> dict[str, Any]:
    """An InferenceService as an API server has it."""
    meta = {"name": name, "namespace": "default", "resourceVersion": "7", "uid": "u", "generation": 1}
    return {"kind": "InferenceService", "metadata": meta, "spec": {"predictor": {"model": {}}}, **more}


@pytest.mark.parametrize(("talk", "sentence"), ENDLESS.values(), ids=ENDLESS)
def test_an_answer_that_does_not_end_ends_with_the_time_of_the_request(
    talk: Talk, sentence: str, tmp_path: Path
) -> None:
    with lying(talk) as url:
        cluster = Cluster.connect(kubeconfig_of(url, tmp_path), timeout_seconds=0.3, waits=())
        with pytest.raises(UnavailableError, match=sentence):
            cluster.read("default", "flights")


@pytest.mark.parametrize(("talk", "sentence"), LARGE.values(), ids=LARGE)
def test_an_answer_that_is_too_large_or_not_whole_is_none(talk: Talk, sentence: str, tmp_path: Path) -> None:
    with lying(talk) as url:
        cluster = Cluster.connect(kubeconfig_of(url, tmp_path), waits=())
        with pytest.raises(UnavailableError, match=sentence):
            cluster.read("default", "flights")


def test_a_connection_that_was_kept_open_is_ended_too(tmp_path: Path) -> None:
    whole = json.dumps(served()).encode()
    first = HEADERS + f"Content-Length: {len(whole)}\r\n\r\n".encode() + whole
    with lying(dripping(first + HEADERS + b"\r\n{")) as url:
        cluster = Cluster.connect(kubeconfig_of(url, tmp_path), timeout_seconds=0.5, waits=())
        assert cluster.read("default", "flights") is not None
        with pytest.raises(UnavailableError, match=r"no whole answer within 0\.5 s|does not answer"):
            cluster.read("default", "flights")


def closing_when_used_again(requests: list[str]) -> Talk:
    """What a server or a load balancer does that closes an idle connection just when it is used again."""
    whole = json.dumps(served()).encode()

    def talk(connection: socket.socket) -> None:
        answer(whole, headers=b"Content-Type: application/json\r\n")(connection)
        requests.append(connection.recv(65536).decode().partition(" ")[0])

    return talk


def test_a_read_is_sent_once_more_where_an_idle_connection_was_closed_just_then(tmp_path: Path) -> None:
    requests: list[str] = []
    with lying(closing_when_used_again(requests)) as url:
        cluster = Cluster.connect(kubeconfig_of(url, tmp_path), waits=())
        for _ in range(3):
            assert cluster.read("default", "flights") == served()
    assert requests == ["GET", "GET"]


def test_a_write_is_not_sent_once_more_where_an_idle_connection_was_closed_just_then(tmp_path: Path) -> None:
    requests: list[str] = []
    with lying(closing_when_used_again(requests)) as url:
        cluster = Cluster.connect(kubeconfig_of(url, tmp_path), waits=())
        assert cluster.read("default", "flights") == served()
        with pytest.raises(UnavailableError, match=r"does not answer \((ProtocolError|RemoteDisconnected)\)"):
            cluster.patch("default", "flights", {"spec": {}})
    assert requests == ["PATCH"]


MISSHAPEN = {
    "of another service": (served("others"), "it is InferenceService default/others"),
    "of another kind": ({**served(), "kind": "Pod"}, "it is Pod"),
    "no version": ({**served(), "metadata": {"name": "flights"}}, "metadata.resourceVersion"),
    "a word as a share": (served(spec={"predictor": {"canaryTrafficPercent": "ten"}}), "valid integer"),
    "a page as a status": (served(status="<html>"), "status"),
    "a list as a component": (served(status={"components": []}), "status.components"),
    "a mapping as conditions": (served(status={"conditions": {"type": "Ready"}}), "status.conditions"),
    "a truth as a share": (served(status={"canaryStatuses": [{"trafficPercent": True}]}), "trafficPercent"),
    "NaN": (served(spec={"predictor": {"minReplicas": float("nan")}}), "what is no JSON"),
}


@pytest.mark.parametrize(("document", "sentence"), MISSHAPEN.values(), ids=MISSHAPEN)
def test_an_object_of_another_shape_is_none(document: Any, sentence: str, tmp_path: Path) -> None:
    with lying(answer(json.dumps(document).encode())) as url:
        cluster = Cluster.connect(kubeconfig_of(url, tmp_path), waits=())
        with pytest.raises(UnavailableError, match=sentence):
            cluster.read("default", "flights")


def test_a_list_that_goes_on_elsewhere_is_none(tmp_path: Path) -> None:
    with lying(answer(b'{"kind": "PodList", "metadata": {"continue": "more"}, "items": []}')) as url:
        cluster = Cluster.connect(kubeconfig_of(url, tmp_path), waits=())
        with pytest.raises(UnavailableError, match="its list goes on elsewhere"):
            cluster.find("default", POD)


@pytest.mark.parametrize("meta", [["x"], "x", True, 1])
def test_a_list_whose_metadata_is_none_is_no_list(meta: Any, tmp_path: Path) -> None:
    with lying(answer(json.dumps({"kind": "PodList", "metadata": meta, "items": []}).encode())) as url:
        cluster = Cluster.connect(kubeconfig_of(url, tmp_path), waits=())
        with pytest.raises(UnavailableError, match="Pod was expected, but it says"):
            cluster.find("default", POD)


def test_null_is_nothing(tmp_path: Path) -> None:
    document = served(status=None)
    document["metadata"]["annotations"] = None
    with lying(answer(json.dumps(document).encode())) as url:
        found = Cluster.connect(kubeconfig_of(url, tmp_path), waits=()).read("default", "flights")
    assert found is not None
    assert ("status" in found, "annotations" in found["metadata"]) == (False, False)


def every_object() -> Iterator[tuple[Any, Any, str]]:
    kinds = {"InferenceService": INFERENCE_SERVICE, "HTTPRoute": HTTP_ROUTE, "Pod": POD, "Deployment": DEPLOYMENT}
    for name in reader.NAMES:
        recording = reader.read(name)
        for kind, resource in kinds.items():
            for change in recording.of(kind):
                yield change.object, resource, name


def test_every_object_of_a_real_cluster_has_its_shape() -> None:
    found = [
        (name, wrong)
        for document, resource, name in every_object()
        if (meta := document["metadata"])
        and (wrong := misshapen(without_nulls(document), resource, meta["namespace"], meta["name"]))
    ]
    assert found == []


@pytest.mark.parametrize("way", ["a file of the token", "the kubeconfig"])
def test_a_token_that_was_renewed_is_read_again(way: str, server: ApiServer, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{server.server_port}"
    token = tmp_path / "token"
    token.write_text("of yesterday")
    user = {"tokenFile": str(token)} if way == "a file of the token" else {"token": "of yesterday"}
    cluster = Cluster.connect(kubeconfig_of(url, tmp_path, **user), waits=())
    with pytest.raises(Exception, match="does not accept these credentials"):
        cluster.read("default", "flights")
    token.write_text(server.token)
    if way == "the kubeconfig":
        kubeconfig_of(url, tmp_path, token=server.token)
    assert cluster.read("default", "flights") is None


def test_half_of_a_surrogate_pair_is_no_json_of_a_server_and_no_word_of_its_refusal() -> None:
    with pytest.raises(UnavailableError, match="answers what is no JSON"):
        Reply(200, "OK", {}, b'{"kind": "\\ud800"}').document("https://h")
    assert (
        Reply(200, "OK", {}, b'{"kind": "\\ud83d\\ude00 \\\\ud800"}').document("https://h")["kind"]
        == "\U0001f600 \\ud800"
    )
    body = b'{"kind": "Status", "message": "\\ud800"}'
    error = refusal(Reply(418, "Teapot", {}, body), "get", POD, "default", "flights", "https://h")
    assert str(error).endswith("(\\ud800)")


def test_a_step_that_is_asked_to_end_in_the_middle_of_a_request_has_its_answer_first(tmp_path: Path) -> None:
    """Else the pool of connections may stay locked, and what is left on the cluster is never removed."""
    answered = []

    def talk(connection: socket.socket) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.2)  # in which the step would end
        answered.append(True)
        answer(json.dumps(served()).encode())(connection)

    with lying(talk) as url:
        cluster = Cluster.connect(kubeconfig_of(url, tmp_path), waits=())
        with pytest.raises(SystemExit), ended_in_order():
            cluster.read("default", "flights")
    assert answered
