"""Google Cloud on loopback: a service account, the token that its key is exchanged for, and who asks for that."""

import functools
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.json_servers import AnswerError, Json, JsonServer

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class GoogleServer(JsonServer):
    """Gives access tokens, and takes those that it gave and has not revoked."""

    def __init__(self) -> None:
        super().__init__()
        self.given = 0

    def error(self, status: int, message: str) -> Json:
        names = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}
        names |= {409: "ALREADY_EXISTS", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}
        return {"error": {"code": status, "message": message, "status": names.get(status, "UNKNOWN")}}

    def admits(self, path: str, token: str) -> bool:
        return path == "/token" or token in self.tokens

    def handle(self, method: str, path: str, query: dict[str, str], body: Json) -> Json:
        if path != "/token":
            return self.serve(method, path, query, body)
        if body.get("grant_type") != GRANT or body.get("assertion", "").count(".") != 2:
            raise AnswerError(400, f"no grant: {body}")
        self.given += 1
        self.tokens.add(f"token-{self.given}")
        return {"access_token": f"token-{self.given}", "expires_in": 3600, "token_type": "Bearer"}

    def serve(self, method: str, path: str, query: dict[str, str], body: Json) -> Json:
        raise NotImplementedError


def use(url: str, services: tuple[str, ...], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the environment name a service account whose tokens come from there, and these services as there."""
    account = {
        "type": "service_account",
        "client_email": "step@team.iam.gserviceaccount.com",
        "private_key": private_key(),
        "token_uri": f"{url}/token",
    }
    file = folder / "service-account.json"
    file.write_text(json.dumps(account), encoding="utf-8")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    for service in services:
        monkeypatch.setenv(f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{service.upper()}", url)


@functools.cache
def private_key() -> str:
    key: Any = rsa.generate_private_key(65537, 2048)
    kinds = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    text: str = key.private_bytes(*kinds).decode()
    return text
