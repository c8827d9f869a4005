"""The paths of the server besides predictions: what answers, what does not, and with which status and headers."""

import json
import urllib.error
import urllib.request
from email.message import Message
from typing import Any

import pytest

from tests.serving.requests import RECORD, TENSORS
from tests.support.served import Served


def ask(served: Served, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any, Message]:
    """Status, parsed body (None when empty) and headers."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(served.url + path, body, named, method=method)  # noqa: S310 - our own server
    try:
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            status, content, found = response.status, response.read(), response.headers
    except urllib.error.HTTPError as error:
        status, content, found = error.code, error.read(), error.headers
    is_json = found.get("Content-Type") == "application/json"
    return status, json.loads(content) if content and is_json else content.decode() or None, found


def version(served: Served) -> str:
    return served.package.digest[:12]


def test_the_version_that_is_served_answers_under_its_own_path(tiny: Served) -> None:
    place = f"/v2/models/{tiny.name}/versions/{version(tiny)}"
    assert tiny.get(place) == tiny.get(f"/v2/models/{tiny.name}")
    assert tiny.get(f"{place}/ready") == (200, {"name": tiny.name, "ready": True})
    status, body = tiny.post(f"{place}/infer", {"inputs": TENSORS})
    assert status == 200
    assert body["model_version"] == version(tiny)


@pytest.mark.parametrize("rest", ["", "/ready", "/infer"])
def test_another_version_is_not_found(tiny: Served, rest: str) -> None:
    status, body, _ = ask(tiny, "GET" if rest != "/infer" else "POST", f"/v2/models/{tiny.name}/versions/1{rest}")
    assert status == 404
    assert body == {"error": f"model '{tiny.name}' has no version '1' here; it has: {version(tiny)}"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/models/other"),
        ("POST", "/v1/models/other:predict"),
        ("GET", "/v2/models/other"),
        ("GET", "/v2/models/other/ready"),
        ("POST", "/v2/models/other/infer"),
    ],
)
def test_another_model_is_not_found(tiny: Served, method: str, path: str) -> None:
    status, body, _ = ask(tiny, method, path)
    assert status == 404
    assert body == {"error": f"there is no model 'other' here; there is: {tiny.name}"}


@pytest.mark.parametrize("path", ["/favicon.ico", "/v1", "/v2/models/", "/v1/models/%2e%2e/x", "/%0A", "/%FF", "//"])
def test_what_is_not_there_is_not_found_in_one_sentence(tiny: Served, path: str) -> None:
    status, body, _ = ask(tiny, "GET", path)
    assert status == 404
    assert body.keys() == {"error"}
    assert "\n" not in body["error"]


@pytest.mark.parametrize("path", ["/v1/models/{}:predict", "/v2/models/{}/infer", "/v2/repository/index"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_another_method_than_post_is_refused_and_reported_which_is_allowed(
    tiny: Served, method: str, path: str
) -> None:
    status, _, headers = ask(tiny, method, path.format(tiny.name))
    assert status == 405
    assert headers["Allow"] == "POST"


@pytest.mark.parametrize("path", ["/", "/metrics", "/openapi.json", "/v2", "/v2/health/ready", "/v2/models/{}"])
def test_pages_answer_get_and_head_only(tiny: Served, path: str) -> None:
    path = path.format(tiny.name)
    assert ask(tiny, "GET", path)[0] == 200
    status, body, headers = ask(tiny, "HEAD", path)
    assert (status, body) == (200, None)
    assert int(headers["Content-Length"]) > 0
    refused, _, headers = ask(tiny, "POST", path, b"{}")
    assert refused == 405
    assert "GET" in headers["Allow"]


def test_the_root_says_that_the_process_is_alive(tiny: Served) -> None:
    assert tiny.get("/") == (200, {"status": "alive"})


def test_the_server_states_its_name_and_extensions(tiny: Served) -> None:
    status, body = tiny.get("/v2")
    assert status == 200
    assert body["name"] == "kubeline"
    assert "binary_tensor_data" in body["extensions"]


def test_the_models_are_listed(tiny: Served) -> None:
    assert tiny.get("/v1/models") == (200, {"models": [tiny.name]})
    assert tiny.get("/v2/models") == (200, {"models": [tiny.name]})
    status, body = tiny.post("/v2/repository/index", b"")
    assert status == 200
    assert [(item["name"], item["version"], item["state"]) for item in body] == [(tiny.name, version(tiny), "READY")]


@pytest.mark.parametrize("verb", ["load", "unload"])
def test_nobody_can_unload_the_model_unless_the_server_allows_it(tiny: Served, verb: str) -> None:
    status, body, _ = ask(tiny, "POST", f"/v2/repository/models/{tiny.name}/{verb}", b"")
    assert status == 403
    assert "--model_control" in body["error"]
    assert tiny.v1({"instances": [RECORD]})[0] == 200


def test_the_clients_request_id_comes_back_and_a_new_one_is_made_without_it(tiny: Served) -> None:
    body = json.dumps({"instances": [RECORD]}).encode()
    path = f"/v1/models/{tiny.name}:predict"
    assert ask(tiny, "POST", path, body, X_Request_Id="order-66")[2]["X-Request-Id"] == "order-66"
    made = {ask(tiny, "POST", path, body)[2]["X-Request-Id"] for _ in range(3)}
    assert len(made) == 3
    assert all(len(name) >= 16 for name in made)


@pytest.mark.parametrize("path", ["/", "/nowhere", "/v1/models/{}:predict"])
def test_every_answer_has_a_request_id(tiny: Served, path: str) -> None:
    assert ask(tiny, "GET", path.format(tiny.name))[2]["X-Request-Id"]
    assert ask(tiny, "GET", path.format(tiny.name), X_Request_Id="7")[2]["X-Request-Id"] == "7"


def test_the_id_of_a_v2_request_comes_back_and_stands_for_the_header(tiny: Served) -> None:
    body = json.dumps({"id": "42", "inputs": TENSORS}).encode()
    _, answer, headers = ask(tiny, "POST", f"/v2/models/{tiny.name}/infer", body)
    assert answer["id"] == headers["X-Request-Id"] == "42"
    _, answer, headers = ask(tiny, "POST", f"/v2/models/{tiny.name}/infer", body, X_Request_Id="7")
    assert (answer["id"], headers["X-Request-Id"]) == ("42", "7")


def test_more_rows_than_the_limit_are_refused_with_it(tiny: Served) -> None:
    body = b'{"instances": [%s]}' % b",".join([b"[1,null,null,null]"] * 100_001)
    status, answer = tiny.v1(body)
    assert status == 413
    assert answer["error"].startswith("the request has 100,001 rows, but the server takes at most 100,000")


def test_a_compressed_body_is_refused(tiny: Served) -> None:
    status, body = tiny.v1(b"\x1f\x8b", {"Content-Encoding": "gzip"})
    assert status == 415
    assert "without Content-Encoding" in body["error"]


def test_a_structured_cloud_event_is_answered_as_one(tiny: Served) -> None:
    event = {"specversion": "1.0", "id": "1", "source": "test", "type": "request", "data": {"instances": [RECORD]}}
    headers = {"Content-Type": "application/cloudevents+json"}
    status, body, found = ask(tiny, "POST", f"/v1/models/{tiny.name}:predict", json.dumps(event).encode(), **headers)
    assert status == 200
    assert found["Content-Type"] == "application/cloudevents+json"
    answer = json.loads(body)
    assert answer["specversion"] == "1.0"
    assert answer["data"]["predictions"] == ["True"]


@pytest.mark.parametrize("event", [b"[]", b'{"specversion": "1.0"}', b"{"])
def test_a_cloud_event_without_data_is_refused(tiny: Served, event: bytes) -> None:
    status, _ = tiny.v1(event, {"Content-Type": "application/cloudevents+json"})
    assert status == 400


def test_v1_writes_probabilities_with_the_digits_that_float32_has(tiny: Served) -> None:
    body = json.dumps({"instances": [RECORD]}).encode()
    with urllib.request.urlopen(f"{tiny.url}/v1/models/{tiny.name}:predict", body, timeout=60) as response:  # noqa: S310
        text = response.read().decode()
    digits = text.split('"probabilities":[[')[1].split("]")[0].split(",")
    assert all(len(number.lstrip("0.")) <= 9 for number in digits), text
