"""A server starts with a verified model or not at all."""

import re
import socket
import time
from pathlib import Path

import pytest

from kubeline.model_client.server import ServerFailedError, start
from tests.support.packages import write_tiny_package
from tests.support.server_process import serve
from tests.support.signing_keys import signing_keys


def flip_a_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("name", ["schema.json", "golden.json"])
def test_a_tampered_package_ends_the_server_with_one_sentence(tmp_path: Path, name: str) -> None:
    write_tiny_package(tmp_path / "package")
    flip_a_byte(tmp_path / "package" / name)
    ended = serve(tmp_path / "package")
    assert ended.returncode == 2
    assert ended.stdout == ""
    (sentence,) = ended.stderr.strip().splitlines()
    assert sentence.startswith(f"error: {name} of the model package")


def test_a_tampered_package_never_becomes_ready(tmp_path: Path) -> None:
    package = write_tiny_package(tmp_path / "package")
    flip_a_byte(tmp_path / "package" / "serving.onnx")
    with (
        start(package, tmp_path / "log") as server,
        pytest.raises(ServerFailedError, match=r"exit code 2; its last words: error: serving\.onnx .* was changed"),
    ):
        server.wait_until_ready(time.monotonic(), timeout_seconds=240)


def test_another_package_than_the_blessed_one_is_refused(tmp_path: Path) -> None:
    package = write_tiny_package(tmp_path / "package")
    ended = serve(tmp_path / "package", "--package_digest", "0" * 64)
    assert ended.returncode == 2
    assert f"is {package.digest[:12]}, but 000000000000 was blessed for this deployment" in ended.stderr


def test_the_blessed_package_is_served_when_its_digest_is_asked_for(tmp_path: Path) -> None:
    package = write_tiny_package(tmp_path / "package")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("KUBELINE_PACKAGE_DIGEST", package.digest)
        with start(package, tmp_path / "log") as server:
            server.wait_until_ready(time.monotonic(), timeout_seconds=240)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_where_a_public_key_is_configured_a_package_that_nobody_signed_is_not_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: str
) -> None:
    write_tiny_package(tmp_path / "package")
    monkeypatch.setenv("KUBELINE_PUBLIC_KEY", signing_keys().public)
    ended = serve(tmp_path / "package", "--workers", workers)
    assert ended.returncode == 2
    assert ended.stdout == ""
    (sentence,) = ended.stderr.strip().splitlines()
    assert re.match(r"error: the model package at .* is not signed, but KUBELINE_PUBLIC_KEY asks for", sentence)


def test_a_package_that_a_trusted_key_signed_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = signing_keys()
    monkeypatch.setenv("KUBELINE_SIGNING_KEY", keys.private)
    monkeypatch.setenv("KUBELINE_PUBLIC_KEY", keys.public)
    with start(write_tiny_package(tmp_path / "package"), tmp_path / "log") as server:
        server.wait_until_ready(time.monotonic(), timeout_seconds=240)


def test_a_folder_without_a_package_is_refused(tmp_path: Path) -> None:
    ended = serve(tmp_path)
    assert ended.returncode == 2
    assert "there is no model package at" in ended.stderr


def test_a_model_that_onnx_runtime_cannot_load_is_reported_in_a_sentence(tmp_path: Path) -> None:
    write_tiny_package(tmp_path / "package", model=b"not a model")
    ended = serve(tmp_path / "package")
    assert ended.returncode == 2
    assert "ONNX Runtime cannot run serving.onnx" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("option", ["--http_port", "--grpc_port"])
def test_a_port_in_use_is_refused(tmp_path: Path, option: str) -> None:
    write_tiny_package(tmp_path / "package")
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = serve(tmp_path / "package", option, str(port))
    assert ended.returncode == 3
    assert f"cannot listen on port {port}" in ended.stderr


@pytest.mark.parametrize(
    ("option", "value"),
    [("--workers", "0"), ("--http_port", "70000"), ("--max_rows", "0"), ("--max_queue_ms", "-1"), ("--unknown", "1")],
)
def test_an_option_that_means_nothing_is_refused_by_its_name(tmp_path: Path, option: str, value: str) -> None:
    ended = serve(tmp_path, option, value)
    assert ended.returncode == 2
    assert option in ended.stderr.splitlines()[-1]


def test_options_of_kserves_server_that_mean_nothing_here_are_taken(tmp_path: Path) -> None:
    ended = serve(tmp_path, "--max_threads", "4", "--enable_docs_url", "true", "--predictor_host", "x")
    assert "there is no model package at" in ended.stderr


def test_the_readme_lists_every_option(tmp_path: Path) -> None:
    reported = set(re.findall(r"^  (--[a-z_]+)", serve(tmp_path, "--help").stdout, flags=re.MULTILINE))
    readme = Path(__file__).parents[2] / "serving" / "README.md"
    table = readme.read_text(encoding="utf-8").partition("## Options")[2].partition("## Where")[0]
    assert len(reported) > 20
    assert reported == set(re.findall(r"`(--[a-z_]+)`", table)) - {"--max_threads"}
