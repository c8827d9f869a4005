"""Who `kubeline` is to Kubeflow Pipelines: tokens, sessions, Dex and Google's Identity-Aware Proxy."""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import jwt

from kubeline.errors import UserError
from kubeline.platform.kfp import runs
from kubeline.platform.kfp.connection import KfpAccess, KfpConnection
from kubeline.platform.kfp.credentials import Identity
from tests.platform.dex import gateway
from tests.support.commands import Ran
from tests.support.http_servers import serving
from tests.support.kfp_server import KfpServer


def test_a_token_that_expired_is_read_anew_and_never_shown(
    kfp: KfpServer, submit: Callable[..., Ran], tmp_path: Path
) -> None:
    kfp.play = "skipped-branch"
    token = tmp_path / "token"
    token.write_text("first-token\n")
    kfp.tokens = {"first-token"}
    code, printed, error = submit("--no-wait", "--token-file", str(token))
    assert code == 0
    kfp.tokens = {"second-token"}
    code, printed, error = submit("--token-file", str(token))
    assert code == 2
    assert "does not know us (401)" in error
    assert "first-token" not in printed + error
    token.write_text("second-token\n")
    assert submit("--token-file", str(token))[0] == 0


def test_a_token_of_the_environment_is_taken_and_one_for_others_is_not_sent_in_the_clear(
    kfp: KfpServer, submit: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBELINE_KFP_TOKEN", "from-the-environment")
    kfp.tokens = {"from-the-environment"}
    assert submit("--no-wait")[0] == 0
    code, _, error = submit("--host", "http://kubeflow.example.com")
    assert code == 2
    assert "over https://" in error
    assert "from-the-environment" not in error


def test_a_session_that_ended_is_reported_and_another_is_taken(
    kfp: KfpServer, submit: Callable[..., Ran], tmp_path: Path
) -> None:
    cookie = tmp_path / "cookie"
    cookie.write_text("authservice_session=one")
    kfp.cookies = {"authservice_session=two"}
    code, _, error = submit("--no-wait", "--cookie-file", str(cookie))
    assert code == 2
    assert "(302)" in error
    cookie.write_text("authservice_session=two")
    assert submit("--no-wait", "--cookie-file", str(cookie))[0] == 0


@pytest.fixture
def dex(kfp: KfpServer) -> Iterator[tuple[str, list[str]]]:
    """A gateway with Dex in front of Kubeflow: its address, and the sessions that it has given."""
    sessions: list[str] = []
    with serving(gateway(kfp, sessions)) as url:
        yield f"{url}/pipeline", sessions


def test_a_session_of_dex_is_had_with_name_and_password(dex: tuple[str, list[str]], tmp_path: Path) -> None:
    host, _ = dex
    password = tmp_path / "password"
    password.write_text("12341234\n")
    identity = Identity(dex_user="user@example.com", dex_password_file=str(password))
    headers = identity.headers(host)
    assert headers.current() == {"Cookie": "authservice_session=session-0"}
    assert headers.current() == {"Cookie": "authservice_session=session-0"}  # signed in once
    assert headers.renew()  # the session ended
    assert headers.current() == {"Cookie": "authservice_session=session-1"}
    password.write_text("wrong")
    with pytest.raises(UserError, match=r"refuses 'user@example.com' with this password") as refused:
        identity.headers(host).current()
    assert "wrong" not in str(refused.value)


def test_a_session_of_dex_that_ends_is_renewed_while_a_run_is_followed(
    kfp: KfpServer, dex: tuple[str, list[str]], submit: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    host, sessions = dex
    monkeypatch.setenv("KUBELINE_DEX_PASSWORD", "12341234")
    kfp.play = "skipped-branch"
    assert submit("--host", host, "--dex-user", "user@example.com", "--no-wait")[0] == 0
    connection = KfpConnection(KfpAccess(host, identity=Identity(dex_user="user@example.com")))
    assert connection.namespace == ""
    sessions.append("another")  # the one that we have ends
    (run,) = kfp.runs
    assert runs.read(connection, run)["run_id"] == run
    assert len(sessions) == 4


def test_identity_aware_proxy_gets_an_identity_token_of_the_service_account_and_a_new_one_when_it_is_refused(
    kfp: KfpServer, submit: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Google(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            fields = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            asked.append(jwt.decode(fields["assertion"][0], verify=False)["target_audience"])
            claims = {"exp": int(time.time()) + 3600, "aud": asked[-1], "n": len(asked)}
            parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in ({"alg": "none"}, claims)]
            token = ".".join([*parts, "c2lnbmF0dXJl"])
            kfp.tokens = {token}
            answer = json.dumps({"id_token": token}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Google)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = tmp_path / "account.json"
    account.write_text(
        json.dumps(
            {
                "type": "service_account",
                "client_email": "ci@team.iam.gserviceaccount.com",
                "private_key": key.decode(),
                "token_uri": f"http://127.0.0.1:{server.server_address[1]}/token",
            }
        )
    )
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account))
    assert submit("--no-wait", "--iap-client-id", "client-1")[0] == 0
    assert asked == ["client-1"]
    connection = KfpConnection(KfpAccess(kfp.url, identity=Identity(iap_client_id="client-1")))
    assert connection.namespace == ""
    kfp.tokens = {"another"}  # ours expired
    (run,) = kfp.runs
    assert runs.read(connection, run)["run_id"] == run
    assert asked == ["client-1"] * 3
    server.shutdown()
    server.server_close()
