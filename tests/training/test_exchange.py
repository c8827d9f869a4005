"""The server of a training step: what it gives and takes, from whom, and what a worker does when it is gone."""

import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubeline.errors import PlatformError
from kubeline.training.distributed.exchange import Remote
from kubeline.training.distributed.server import Served, serve


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    (tmp_path / "part-0").write_bytes(bytes(range(256)) * 10_000)
    (tmp_path / "other").write_bytes(b"of someone else")
    with serve(tmp_path, 1, "127.0.0.1") as running:
        yield running


def ask(served: Served, name: str, token: str, content: bytes | None = None, certificate: str = "") -> int:
    context = ssl.create_default_context(cadata=certificate or served.certificate)
    headers = {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"{served.url}/{name}", content, headers, method="PUT" if content else "GET")  # noqa: S310
    try:
        with urllib.request.urlopen(request, context=context) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_worker_fetches_its_rows_and_leaves_what_it_made(served: Served, tmp_path: Path) -> None:
    remote = Remote(served.url, served.token, served.certificate)
    found = remote.fetch("part-0")
    assert found is not None
    assert found.read_bytes() == bytes(range(256)) * 10_000
    assert remote.fetch("checkpoint") is None
    remote.put("checkpoint", b"so far")
    assert (tmp_path / "checkpoint").read_bytes() == b"so far"


def test_who_does_not_show_the_token_gets_nothing(served: Served, tmp_path: Path) -> None:
    assert ask(served, "part-0", "") == 401
    assert ask(served, "part-0", "wrong") == 401
    assert ask(served, "nothing", "wrong") == 401
    assert ask(served, "model", "wrong", b"a model") == 401
    assert not (tmp_path / "model").exists()


def test_only_the_files_of_the_training_are_given_and_taken(served: Served, tmp_path: Path) -> None:
    assert ask(served, "part-0", served.token) == 200
    assert ask(served, "other", served.token) == 404
    assert ask(served, "../part-0", served.token) == 404
    assert ask(served, "part-0", served.token, b"other rows") == 404
    assert ask(served, "model", served.token, b"a model") == 204
    assert ask(served, "model", served.token) == 404


def test_a_server_with_another_certificate_is_not_talked_to(served: Served, tmp_path: Path) -> None:
    with serve(tmp_path, 1, "127.0.0.1") as other, pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY"):
        ask(served, "part-0", served.token, certificate=other.certificate)


def test_a_worker_whose_step_is_gone_ends_with_a_sentence(tmp_path: Path) -> None:
    with serve(tmp_path, 1, "127.0.0.1") as gone:
        remote = Remote(gone.url, gone.token, gone.certificate, waits=(0.01,))
    sentence = f"sending checkpoint failed: the training step at {gone.url} does not answer"
    with pytest.raises(PlatformError, match=sentence):
        remote.put("checkpoint", b"so far")
    with pytest.raises(PlatformError, match="fetching part-0 failed"):
        remote.fetch("part-0")
