"""`fetch`: from what a user types to a local folder, or one clear sentence."""

import functools
import hashlib
import json
import shutil
import socket
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFile
from mlflow import MlflowClient

from kubeline.data.limits import SETTING
from kubeline.errors import PlatformError, UserError
from kubeline.model_package import ModelPackage
from kubeline.registry import fetch, open_registry
from tests.registry.submissions import submission
from tests.support.blessed_packages import blessed
from tests.support.file_servers import endless_listing
from tests.support.http_servers import serving
from tests.support.signing_keys import signing_keys


@pytest.fixture
def website(tmp_path: Path) -> Iterator[str]:
    """The address of a real web server that shows `tmp_path`; it lists no folder."""

    class Handler(SimpleHTTPRequestHandler):
        def list_directory(self, _: object) -> None:
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with serving(functools.partial(Handler, directory=str(tmp_path))) as address:
        yield address


def test_a_path_is_itself(tmp_path: Path) -> None:
    assert fetch(str(tmp_path)) == tmp_path
    assert fetch(tmp_path.as_uri()) == tmp_path


@pytest.mark.parametrize("reference", ["", "no/such/folder", "file:///no/such/folder", "memory://no/such/folder"])
def test_a_path_where_nothing_is_is_refused(reference: str) -> None:
    with pytest.raises(UserError, match=f"there is nothing at '.*{reference[-14:]}'"):
        fetch(reference)


def test_a_signature_comes_with_its_package_where_one_is_asked_for(
    tmp_path: Path, website: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = signing_keys()
    monkeypatch.setenv("KUBELINE_PUBLIC_KEY", keys.public)
    monkeypatch.setenv("KUBELINE_SIGNING_KEY", keys.private)
    package = blessed(tmp_path).package
    fsspec.filesystem("memory").put(str(package.path), "/bucket/signed", recursive=True)
    address = f"{website}/{package.path.relative_to(tmp_path)}"
    for place in ("memory://bucket/signed", address):
        found = fetch(place)
        assert found is not None
        assert ModelPackage.open(found).digest == package.digest
    (package.path / "model.sig").unlink()
    unsigned = fetch(address)
    assert unsigned is not None
    with pytest.raises(UserError, match="is not signed"):
        ModelPackage.open(unsigned)


def test_a_package_in_object_storage_is_downloaded_whole(tmp_path: Path) -> None:
    package = blessed(tmp_path).package
    fsspec.filesystem("memory").put(str(package.path), "/bucket/model", recursive=True)
    found = fetch("memory://bucket/model/")
    assert found is not None
    assert ModelPackage.open(found).digest == package.digest


def test_a_package_on_a_web_server_is_downloaded_by_its_manifest(tmp_path: Path, website: str) -> None:
    package = blessed(tmp_path).package
    found = fetch(f"{website}/{package.path.relative_to(tmp_path)}")
    assert found is not None
    assert ModelPackage.open(found).digest == package.digest


def test_a_package_that_lacks_a_file_is_refused_and_nothing_is_left(tmp_path: Path, website: str) -> None:
    package = blessed(tmp_path).package
    (package.path / "model.onnx").unlink()
    with pytest.raises(UserError, match="there is nothing at"):
        fetch(f"{website}/{package.path.relative_to(tmp_path)}")


def test_a_folder_that_is_no_package_is_downloaded_as_it_is() -> None:
    fsspec.filesystem("memory").pipe({"/bucket/data/part-0.parquet": b"rows", "/bucket/data/part-1.parquet": b"more"})
    found = fetch("memory://bucket/data")
    assert found is not None
    assert sorted(path.name for path in found.iterdir()) == ["part-0.parquet", "part-1.parquet"]


def test_a_store_that_lists_files_for_ever_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SETTING, "0.01")
    with endless_listing(monkeypatch), pytest.raises(UserError) as refused:
        fetch("s3://bucket/flights")
    assert str(refused.value).startswith("'s3://bucket/flights' has not listed all its files within 1 s; ")


def test_a_key_cannot_name_a_file_outside_its_folder() -> None:
    store = fsspec.filesystem("memory")
    for key in ("/bucket/keys/part-0.parquet", "/bucket/keys/../../evil"):
        store.store[key] = MemoryFile(store, key, b"rows")
    with pytest.raises(UserError, match=r"'\.\./\.\./evil' at 'memory://bucket/keys' leads out of its folder"):
        fetch("memory://bucket/keys")


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/b", ".."])
def test_a_manifest_cannot_name_a_file_outside_its_folder(name: str) -> None:
    manifest = json.dumps({"files": {name: hashlib.sha256(b"").hexdigest()}}).encode()
    fsspec.filesystem("memory").pipe({"/bucket/evil/manifest.json": manifest})
    with pytest.raises(UserError, match="which is not a plain file name"):
        fetch("memory://bucket/evil")


def test_a_manifest_of_something_else_is_refused() -> None:
    fsspec.filesystem("memory").pipe({"/bucket/app/manifest.json": b'{"icons": []}'})
    with pytest.raises(UserError, match=r"manifest\.json at .* is not one of a model package"):
        fetch("memory://bucket/app")


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(UserError, match="cannot read 'ftpx://host/model'"):
        fetch("ftpx://host/model")


def test_a_web_server_that_is_down_is_reported_without_the_password_in_its_address() -> None:
    with pytest.raises(PlatformError, match="cannot read 'http://127") as caught:
        fetch(f"http://bob:sEcret@127.0.0.1:{_closed_port()}/model?token=sEcret")
    assert "sEcret" not in str(caught.value)


def test_a_registered_model_is_found_by_alias_and_by_number(tmp_path: Path, tracking_uri: str) -> None:
    given = blessed(tmp_path)
    registry = open_registry(tracking_uri)
    registry.point("champion", registry.register(submission(given)))
    for reference in ("models:/flights@champion", "models:/flights/1"):
        found = fetch(reference, tracking_uri)
        assert found is not None
        assert ModelPackage.open(found).digest == given.package.digest


@pytest.mark.parametrize("reference", ["models:/flights@champion", "models:/flights/7", "models:/others@champion"])
def test_what_the_registry_does_not_have_is_none(reference: str, tmp_path: Path, tracking_uri: str) -> None:
    open_registry(tracking_uri).register(submission(blessed(tmp_path)))
    assert fetch(reference, tracking_uri) is None


def test_a_version_that_something_else_registered_is_no_package(tracking_uri: str) -> None:
    """As MLflow registers a model of scikit-learn: nothing says of a package."""
    client = MlflowClient(tracking_uri)
    client.create_registered_model("flights")
    client.create_model_version("flights", "file:///models/of/others")
    client.set_registered_model_alias("flights", "champion", "1")
    with pytest.raises(
        UserError, match=r"models:/flights/1 is no model package: .* aliases \(champion\) from that version"
    ):
        fetch("models:/flights@champion", tracking_uri)


def test_looking_into_a_registry_that_was_never_used_is_none_and_makes_no_database(tmp_path: Path) -> None:
    assert fetch("models:/flights@champion", f"sqlite:///{tmp_path}/mlflow.db") is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "reference", ["models:/flights", "models:flights@champion", "models:/a/b/c", "models:/a/latest"]
)
def test_a_reference_that_cannot_be_understood_is_refused(reference: str) -> None:
    with pytest.raises(UserError, match="write models:/NAME@ALIAS or models:/NAME/VERSION"):
        fetch(reference)


def test_a_registry_that_is_down_is_reported_in_one_sentence_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(PlatformError, match="cannot reach the MLflow registry at http://127") as caught:
        fetch("models:/flights@champion", f"http://bob:sEcret@127.0.0.1:{_closed_port()}")
    assert "sEcret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_gone_are_reported_with_the_place_they_should_be_at(tmp_path: Path, tracking_uri: str) -> None:
    version = open_registry(tracking_uri).register(submission(blessed(tmp_path)))
    shutil.rmtree(version.source.removeprefix("file://"))
    with pytest.raises(PlatformError, match=r"models:/flights/1 should lie at .* but nothing is there"):
        fetch(version.uri, tracking_uri)


def _closed_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port: int = unused.getsockname()[1]
        return port


def test_a_manifest_of_200_mb_is_not_downloaded_as_one(tmp_path: Path) -> None:
    fsspec.filesystem("memory").pipe({"/bucket/large/manifest.json": b" " * 5_000_000})
    with pytest.raises(UserError, match=r"manifest\.json at .* has more than 4,194,304 bytes"):
        fetch("memory://bucket/large")


def test_a_file_of_another_size_than_the_manifest_says_is_not_downloaded(tmp_path: Path, website: str) -> None:
    package = blessed(tmp_path).package
    with (package.path / "model.onnx").open("ab") as file:
        file.truncate(2**40)
    with pytest.raises(UserError, match=r"model\.onnx at .* has 1,099,511,627,776 bytes, but the manifest says 9;"):
        fetch(f"{website}/{package.path.relative_to(tmp_path)}")


def test_another_package_than_the_registered_one_is_not_taken(tmp_path: Path, tracking_uri: str) -> None:
    given, other = blessed(tmp_path), blessed(tmp_path, seed=1)
    version = open_registry(tracking_uri).register(submission(given))
    found = fetch(version.uri, tracking_uri)
    assert found is not None
    shutil.rmtree(found)
    shutil.copytree(other.package.path, found)
    with pytest.raises(
        UserError, match=f"registered as package {given.package.digest[:12]}, but {other.package.digest[:12]}"
    ):
        fetch(version.uri, tracking_uri)
