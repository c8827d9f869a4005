"""The smoke test against candidates that answer wrong in every way, and behind a proxy that asks for a token."""

import json
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from kubeline.errors import KubelineError
from kubeline.model_client.protocols import http_client
from kubeline.model_package import ModelPackage
from kubeline.rollout.probes.smoke import run
from kubeline.rollout.probes.transports import RoutedTransport
from kubeline.rollout.spec import RolloutSpec, SmokeTestSpec
from kubeline.rollout.status import SmokeTestResult
from tests.rollout.house import House
from tests.support.http_servers import serving
from tests.support.metrics_servers import Handler
from tests.support.misbehaving_servers import Talk, answer, dripping, gushing, lying, saying
from tests.support.packages import write_tiny_package

JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
DEEP = b"[" * 200_000
LIES: dict[str, Talk] = {
    "nothing": saying(),
    "no HTTP": saying(b"\x00\xff\r\n\r\n"),
    "a redirect": answer(b"", "302 Found", b"Location: http://127.0.0.1:1/\r\n"),
    "truncated": answer(b'{"outputs": [', length=10**6),
    "a drip": dripping(JSON + b"\r\n"),
    "a drip of headers": dripping(JSON + b"X: "),
    "endless": gushing(JSON + b"\r\n"),
    "HTML": answer(b"<html>Sign in</html>"),
    "a list": answer(b"[]"),
    "null": answer(b"null"),
    "depth": answer(DEEP),
    "no outputs": answer(b'{"outputs": []}'),
    "outputs of a number": answer(b'{"outputs": 7}'),
    "too few": answer(json.dumps({"outputs": [{"name": "prediction", "shape": [1], "data": [1]}]}).encode()),
}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    return write_tiny_package(tmp_path_factory.mktemp("smoke") / "package")


def tried(url: str, package: ModelPackage, plan: SmokeTestSpec) -> SmokeTestResult:
    return run(http_client("v2", "m", RoutedTransport(url, "", plan.timeout_seconds, plan)), package, plan)


@pytest.mark.parametrize("name", LIES)
def test_whatever_a_candidate_answers_is_a_failed_test_and_no_exception(name: str, package: ModelPackage) -> None:
    seconds = 0.1 if "drip" in name else 20.0
    with lying(LIES[name]) as url:
        found = tried(url, package, SmokeTestSpec(timeout_seconds=seconds, attempts=1))
    assert not found.passed
    assert found.sentence


def test_an_answer_without_end_is_given_up_at_its_size(package: ModelPackage) -> None:
    with lying(LIES["endless"]) as url:
        found = tried(url, package, SmokeTestSpec(timeout_seconds=20.0, attempts=1))
    assert "the answer is larger than 16 MiB" in found.sentence


def test_a_token_is_shown_and_read_anew_for_each_request(package: ModelPackage, tmp_path: Path) -> None:
    token, shown = tmp_path / "token", []

    class Proxy(Handler):
        def do_POST(self: BaseHTTPRequestHandler) -> None:  # noqa: N802 the library's name
            shown.append(self.headers.get("Authorization"))
            token.write_text("renewed\n")
            self.send(401, b"", "text/plain")  # type: ignore[attr-defined]

    token.write_text("first\n")
    with serving(Proxy) as url:
        found = tried(url, package, SmokeTestSpec(token_file=str(token), attempts=2))
        assert shown == ["Bearer first", "Bearer renewed"]
        assert "refuses this client (status 401); give smoke.token_file" in found.sentence
        token.write_text("two words\n")
        assert "holds no token of the candidate" in tried(url, package, SmokeTestSpec(token_file=str(token))).sentence


def test_a_token_never_goes_over_http(package: ModelPackage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANDIDATE_TOKEN", "secret")
    found = tried("http://candidate.invalid", package, SmokeTestSpec(token_env="CANDIDATE_TOKEN", attempts=1))  # noqa: S106
    assert found.sentence.startswith("a token is sent over https:// only")


@pytest.mark.parametrize(
    ("plan", "sentence"),
    [
        ({"smoke": {"token_file": "/no/such/token"}}, "token of the candidate cannot be read"),
        ({"metrics": {"source": "prometheus", "url": "http://127.0.0.1:1"}}, "could not be read"),
        (
            {"metrics": {"source": "prometheus", "url": "http://127.0.0.1:1", "queries": "istio"}},
            "'istio' have no predictions",
        ),
    ],
)
def test_what_the_evidence_needs_is_tried_before_anything_is_changed(
    house: House, plan: dict[str, Any], sentence: str
) -> None:
    house.stable()
    before = house.service()
    with pytest.raises(KubelineError, match=sentence):
        house.roll_out(house.package("good"), **plan)
    assert house.service()["spec"] == before["spec"]
    assert RolloutSpec.read(plan).shares
