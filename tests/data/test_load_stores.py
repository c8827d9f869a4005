"""Whole object stores on loopback: files, compressed files, partitions, and tables of Delta Lake among them."""

import base64
import gzip
import urllib.parse
from collections.abc import Iterator

import boto3
import pyarrow as pa
import pytest
import urllib3
from deltalake import write_deltalake

from kubeline.data.dataset import open_dataset
from kubeline.errors import UserError
from tests.support import real_servers
from tests.support.file_servers import Azure, serving_files
from tests.support.loading import Load

FILES = {
    "flights/carrier=UA/jan.csv": b"a,b\n1,x\n",
    "flights/carrier=B6/feb.csv.gz": gzip.compress(b"a,b\n2,y\n"),
    "flights/_SUCCESS": b"",
    "names/with [brackets] & more?.csv": b"a\n7\n",
}
ROWS = [{"a": 2, "b": "y", "carrier": "B6"}, {"a": 1, "b": "x", "carrier": "UA"}]


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with real_servers.s3() as variables, pytest.MonkeyPatch.context() as environment:
        for name, value in variables.items():
            environment.setenv(name, value)
        client = boto3.client("s3")
        client.create_bucket(Bucket="bucket")
        for name, body in FILES.items():
            client.put_object(Bucket="bucket", Key=name, Body=body)
        yield "s3://bucket"


@pytest.fixture(scope="module")
def gcs() -> Iterator[str]:
    with real_servers.google_cloud_storage() as address, pytest.MonkeyPatch.context() as environment:
        environment.setenv("STORAGE_EMULATOR_HOST", address)
        post(f"{address}/storage/v1/b", b'{"name": "bucket"}', "application/json")
        for name, body in FILES.items():
            key = urllib.parse.quote(name, safe="")
            post(f"{address}/upload/storage/v1/b/bucket/o?uploadType=media&name={key}", body, "text/plain")
        yield "gs://bucket"


@pytest.fixture(scope="module")
def azure() -> Iterator[str]:
    blobs = {f"bucket/{name}": body for name, body in FILES.items()}
    with serving_files(Azure, blobs) as address, pytest.MonkeyPatch.context() as environment:
        key = base64.b64encode(b"key").decode()
        environment.setenv(
            "AZURE_STORAGE_CONNECTION_STRING",
            f"DefaultEndpointsProtocol=http;AccountName=account;AccountKey={key};BlobEndpoint={address}/account;",
        )
        yield "abfs://bucket"


def post(address: str, body: bytes, kind: str) -> None:
    assert urllib3.request("POST", address, body=body, headers={"Content-Type": kind}).status == 200


@pytest.fixture(params=["s3", "gcs", "azure"])
def store(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue(request.param)


def test_partitions_of_a_store_are_read_with_their_columns(store: str, load: Load) -> None:
    assert open_dataset(load(f"{store}/flights").path).to_table().to_pylist() == ROWS


def test_a_key_of_a_store_that_looks_like_a_glob_is_a_file(store: str, load: Load) -> None:
    assert load(f"{store}/names/with [brackets] & more?.csv").frame["a"].tolist() == [7]


def test_nothing_in_a_store_is_reported(store: str, load: Load) -> None:
    with pytest.raises(UserError, match=f"^there is nothing at '{store}/nothing'; check the address$"):
        load(f"{store}/nothing")


def test_a_delta_table_in_a_store_is_read_and_its_folder_is_refused(s3: str, load: Load) -> None:
    options = {"allow_http": "true", "aws_conditional_put": "etag"}
    write_deltalake(f"{s3}/lake/flights", pa.table({"a": [1, 2]}), storage_options=options)
    loaded = load("delta+s3://bucket/lake/flights")
    assert loaded.frame["a"].tolist() == [1, 2]
    assert loaded.metadata["source"] == "delta+s3://bucket/lake/flights@v0"
    with pytest.raises(UserError, match=r"give delta\+s3://bucket/lake/flights \(and behind @ the version\)$"):
        load(f"{s3}/lake/flights")
