"""The base image is pinned to what its registry says, and to nothing else."""

import importlib.util
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.http_servers import serving

ROOT = Path(__file__).parents[2]
DIGEST = "sha256:" + "ab" * 32


class Registry(BaseHTTPRequestHandler):
    """A registry that gives anyone a token, as Docker Hub does."""

    digest: ClassVar[str] = DIGEST
    asked: ClassVar[list[str]] = []

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        assert parse_qs(urlsplit(self.path).query)["scope"] == ["repository:library/python:pull"]
        body = json.dumps({"token": "for-anyone"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.asked.append(self.path)
        if self.headers["Authorization"] != "Bearer for-anyone":
            self.send_response(401)
            realm = f"http://{self.headers['Host']}/token"
            scope = "repository:library/python:pull"
            self.send_header("WWW-Authenticate", f'Bearer realm="{realm}",service="registry",scope="{scope}"')
        elif "application/vnd.oci.image.index.v1+json" in self.headers["Accept"]:
            self.send_response(200)
            self.send_header("Docker-Content-Digest", self.digest)
        else:
            self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture(scope="module")
def pin_base() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pin_base", ROOT / "images" / "pin_base.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def registry() -> Iterator[str]:
    Registry.digest, Registry.asked = DIGEST, []
    with serving(Registry) as url:
        yield url.removeprefix("http://")


def dockerfiles(folder: Path, base: str) -> list[str]:
    """Copies of the project's own, on another base."""
    made = []
    for number, file in enumerate((ROOT / "Dockerfile", ROOT / "serving" / "Dockerfile")):
        text = file.read_text(encoding="utf-8")
        (line,) = (line for line in text.splitlines() if line.startswith("ARG BASE="))
        path = folder / f"Dockerfile.{number}"
        path.write_text(text.replace(line, f"ARG BASE={base}"), encoding="utf-8")
        made.append(str(path))
    return made


def bases(files: list[str]) -> set[str]:
    lines = [line for file in files for line in Path(file).read_text(encoding="utf-8").splitlines()]
    return {line.partition("=")[2] for line in lines if line.startswith("ARG BASE=")}


def test_every_dockerfile_gets_the_digest_that_the_registry_has(
    pin_base: ModuleType, registry: str, tmp_path: Path
) -> None:
    base = f"{registry}/library/python:3.11-slim"
    files = dockerfiles(tmp_path, base)
    assert pin_base.main(*files) == 0
    assert bases(files) == {f"{base}@{DIGEST}"}
    assert set(Registry.asked) == {"/v2/library/python/manifests/3.11-slim"}


def test_a_base_that_is_pinned_already_gets_the_digest_of_today(
    pin_base: ModuleType, registry: str, tmp_path: Path
) -> None:
    base = f"{registry}/library/python:3.11-slim"
    files = dockerfiles(tmp_path, f"{base}@sha256:{'0' * 64}")
    assert pin_base.main(*files) == 0
    assert bases(files) == {f"{base}@{DIGEST}"}


@pytest.mark.parametrize("broken", ["", "latest", "sha256:abc"])
def test_an_answer_without_a_digest_changes_nothing(
    pin_base: ModuleType, registry: str, tmp_path: Path, broken: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Registry.digest = broken
    files = dockerfiles(tmp_path, f"{registry}/library/python:3.11-slim")
    before = bases(files)
    assert pin_base.main(*files) == 3
    assert bases(files) == before
    assert "names no digest" in capsys.readouterr().err


def test_a_registry_that_cannot_be_reached_changes_nothing_and_says_so(
    pin_base: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = dockerfiles(tmp_path, "127.0.0.1:9/library/python:3.11-slim")
    before = bases(files)
    assert pin_base.main(*files) == 3
    assert bases(files) == before
    assert "cannot be reached" in capsys.readouterr().err


def test_a_name_is_read_as_docker_reads_it(pin_base: ModuleType) -> None:
    assert pin_base.parts("python:3.11-slim") == ("registry-1.docker.io", "library/python", "3.11-slim")
    assert pin_base.parts("bitnami/python:3") == ("registry-1.docker.io", "bitnami/python", "3")
    assert pin_base.parts("ghcr.io/a/b/python:3") == ("ghcr.io", "a/b/python", "3")
    with pytest.raises(ValueError, match="names no tag"):
        pin_base.parts("python")
