"""Files that are configured are read when they are small regular files, whatever stands in their place."""

import os
from pathlib import Path

import pytest

from kubeline.data import kafka
from kubeline.errors import KubelineError, PlatformError, UserError
from kubeline.http.credentials import bearer
from kubeline.http.exchange import Peer
from kubeline.model_package import signing, trust
from kubeline.mounted import mounted_text
from kubeline.notification.channels import URLS_FILE, addresses
from kubeline.schema.document import read_schema
from kubeline.training import model_file


@pytest.fixture
def pipe(tmp_path: Path) -> str:
    """A FIFO that nobody writes to."""
    place = tmp_path / "pipe.pkl"
    os.mkfifo(place)
    return str(place)


def test_a_link_to_a_small_file_is_read_as_kubernetes_mounts_it(tmp_path: Path) -> None:
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data" / "token").write_text("word")
    (tmp_path / "token").symlink_to("..data/token")
    assert mounted_text(str(tmp_path / "token")) == "word"


def test_a_pipe_a_device_a_folder_and_a_large_file_are_errors(tmp_path: Path, pipe: str) -> None:
    for place in (pipe, "/dev/zero", str(tmp_path)):
        with pytest.raises(OSError, match="it is no regular file"):
            mounted_text(place)
    (tmp_path / "large").write_bytes(b"x" * (2**20 + 1))
    with pytest.raises(OSError, match="it has more than a MiB"):
        mounted_text(str(tmp_path / "large"))


def test_a_key_that_is_a_pipe_or_a_device_is_refused_in_a_sentence(pipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (trust.PUBLIC_KEY, trust.SIGNING_KEY):
        for place in (pipe, "/dev/zero"):
            with monkeypatch.context() as patch:
                patch.setenv(variable, place)
                with pytest.raises(UserError, match=f"{variable} holds no .* key that can be used: .*no regular file"):
                    signing.check()


def test_no_token_setting_or_channel_is_waited_for(pipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        PlatformError, match=r"the token of Prometheus cannot be read from .* \(it is no regular file\)"
    ):
        bearer(pipe, "", Peer("https://h"), "Prometheus")
    monkeypatch.setenv(URLS_FILE, pipe)
    assert addresses() == []
    for place, reason in ((pipe, "it is no regular file"), ("/none", "No such file or directory")):
        monkeypatch.setenv(kafka.SETTINGS, place)
        with pytest.raises(UserError, match=rf"the file that {kafka.SETTINGS} names cannot be read \({reason}\)"):
            kafka.client_properties()


def test_a_schema_and_a_model_of_others_are_no_pipes(pipe: str) -> None:
    for read in (lambda: read_schema(pipe), lambda: model_file.read(f"file://{pipe}", "0" * 64)):
        with pytest.raises(KubelineError, match="is no regular file, and a pipe or a device may never end"):
            read()
