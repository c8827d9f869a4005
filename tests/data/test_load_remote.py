"""Sources on other machines: read through real clients from loopback servers, and failing in one sentence."""

import errno
import gzip
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubeline.data.sources import STORES, remote_errors
from kubeline.errors import PlatformError, UserError
from tests.support.file_servers import S3, CloudStorage, Web, serving_files
from tests.support.loading import Load

FILES = {"jan.csv": b"a,b\n1,x\n", "feb.csv.gz": gzip.compress(b"a,b\n2,y\n"), "notes.md": b"# Notes"}


@pytest.fixture
def web() -> Iterator[str]:
    with serving_files(Web, FILES) as address:
        yield address


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    objects = {f"bucket/2013/{name}": body for name, body in FILES.items() if "csv" in name}
    objects["bucket/other/mar.csv"] = b"c\n1\n"
    with serving_files(S3, objects) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield "s3://bucket"


def test_a_file_is_read_from_a_web_server(web: str, load: Load) -> None:
    loaded = load(f"{web}/data/jan.csv")
    assert loaded.frame.to_dict("list") == {"a": [1], "b": ["x"]}
    assert loaded.metadata["source"] == f"{web}/data/jan.csv"


def test_what_a_web_address_hides_stays_hidden(web: str, load: Load) -> None:
    loaded = load(f"{web.replace('//', '//user:pass@')}/private/jan.csv?signature=abc")
    assert loaded.metadata["source"] == f"{web}/private/jan.csv"
    with pytest.raises(UserError) as caught:
        load(f"{web.replace('//', '//user:pass@')}/none.csv?signature=abc")
    assert str(caught.value) == f"there is nothing at '{web}/none.csv'; check the address"


def test_an_address_that_leads_to_itself_is_reported_in_a_sentence(web: str, load: Load) -> None:
    with pytest.raises(PlatformError, match=r"/around/jan.csv' leads from one address to the next without end; give"):
        load(f"{web}/around/jan.csv")


def test_a_download_whose_connection_breaks_goes_on_where_it_broke(load: Load) -> None:
    lines = "a,b\n" + "".join(f"{number},x\n" for number in range(100_000))
    with serving_files(Web, {"t.csv": lines.encode()}) as address:
        loaded = load(f"{address}/piece/t.csv")
    assert loaded.frame["a"].tolist() == list(range(100_000))


def test_a_file_that_changed_when_its_connection_broke_is_fetched_anew(load: Load) -> None:
    with serving_files(Web, {"t.csv": b"a,b\n1,first version\n2,first version\n"}) as address:
        loaded = load(f"{address}/changed/t.csv")
    assert loaded.frame.to_dict("list") == {"A": [1, 2], "B": ["FIRST VERSION"] * 2}


def test_a_server_that_is_not_there_is_named(load: Load) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(
            PlatformError, match=rf"^'http://127.0.0.1:{port}/t.csv' could not be read \(Cannot connect"
        ):
            load(f"http://127.0.0.1:{port}/t.csv")


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("private/jan.csv", "^the server refused '.*' with HTTP 401; check the credentials$"),
        ("broken/jan.csv", "^the server answered '.*' with HTTP 503; try again later$"),
        (
            "cut/jan.csv",
            r"^'.*' could not be read \(.*received 8 of 16 bytes.*\); check the address, the network and the",
        ),
    ],
)
def test_a_web_server_that_fails_is_a_platform_error(
    path: str, sentence: str, web: str, load: Load, tmp_path: Path
) -> None:
    with pytest.raises(PlatformError, match=sentence):
        load(f"{web}/{path}")
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


@pytest.mark.parametrize("place", ["2013", "2013/", "2013/*.csv*"])
def test_a_folder_and_a_glob_are_read_from_s3(place: str, s3: str, load: Load) -> None:
    loaded = load(f"{s3}/{place}")
    assert loaded.frame.to_dict("list") == {"a": [2, 1], "b": ["y", "x"]}
    assert loaded.metadata["source"] == f"{s3}/{place}"


def test_one_object_is_read_from_s3_under_each_of_its_schemes(s3: str, load: Load) -> None:
    for source in (f"{s3}/2013/feb.csv.gz", f"{s3.replace('s3:', 's3a:')}/2013/feb.csv.gz"):
        assert load(source).frame["a"].tolist() == [2]


@pytest.mark.parametrize("place", ["2013/none.csv", "none/", "2013/*.parquet"])
def test_nothing_at_an_address_of_s3_is_reported(place: str, s3: str, load: Load) -> None:
    with pytest.raises(UserError, match=f"^there is nothing at '{s3}/{place}'; check the address$".replace("*", r"\*")):
        load(f"{s3}/{place}")


def test_s3_without_credentials_is_reported(
    s3: str, load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(PlatformError, match=r"could not be read .*credentials"):
        load(f"{s3}/2013/jan.csv")


def test_objects_are_read_from_google_cloud_storage(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = {f"bucket/2013/{name}": body for name, body in FILES.items() if "csv" in name}
    with serving_files(CloudStorage, objects) as address:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        assert load("gs://bucket/2013/*.csv*").frame["a"].tolist() == [2, 1]
        assert load("gs://bucket/2013/jan.csv").frame["a"].tolist() == [1]


def test_a_store_that_fails_is_distinguished_from_a_full_disk() -> None:
    reported = r"^'s3://b/t.csv' could not be read \(.*Internal Server Error\); check"
    with pytest.raises(PlatformError, match=reported), remote_errors("s3://b/t.csv"):
        raise OSError(121, "Internal Server Error")  # what s3fs makes of an answer 500
    with pytest.raises(OSError, match="No space left"), remote_errors("s3://b/t.csv"):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_every_store_has_a_client() -> None:
    import fsspec

    for scheme in STORES:
        assert fsspec.get_filesystem_class(scheme).protocol


def test_a_copy_of_a_remote_file_is_removed_in_the_end(
    web: str, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    import tempfile

    tempfile.tempdir = None  # read TMPDIR again
    try:
        load(f"{web}/jan.csv")
    finally:
        tempfile.tempdir = None
    assert not list(Path(tmp_path / "scratch").iterdir())
