"""Addresses as they may be shown: without credentials, and still telling the place."""

import pytest

from kubeline.addresses import credentials, redact, refuse_credentials, scheme
from kubeline.errors import UserError


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://bucket/key", "s3://bucket/key"),
        ("postgresql://me:p@ss/word@host:5432/db?sslmode=require", "postgresql://host:5432/db"),
        ("mysql+pymysql://me:p@ss/word@host/db?ssl_key=k", "mysql+pymysql://host/db"),
        ("https://store/key?X-Amz-Signature=abc&x=1", "https://store/key"),
        ("https://me:p@ss@host/x", "https://host/x"),
        ("failed: https://me:secret@host/x?sig=1 (again)", "failed: https://host/x (again)"),
        ("from https://me:secret@one/x to https://me:secret@two/y", "from https://one/x to https://two/y"),
        ("s3://bucket/model@v1/t.csv", "s3://bucket/model@v1/t.csv"),
        (
            "abfss://container@account.dfs.core.windows.net/t.csv",
            "abfss://container@account.dfs.core.windows.net/t.csv",
        ),
        ("wasbs://container@account/t.csv?sv=2022&sig=abc", "wasbs://container@account/t.csv"),
        ("kafka://a:9092,b:9092/flights@0:1-4,1:3-9", "kafka://a:9092,b:9092/flights@0:1-4,1:3-9"),
        ("kafka://me:secret@a:9092/flights", "kafka://a:9092/flights"),
        ("delta://data/flights@v3", "delta://data/flights@v3"),
        ("delta+s3://AKIA:se/cr+et@bucket/flights@v3", "delta+s3://bucket/flights@v3"),
        ("iceberg+abfs://c@account/flights@main", "iceberg+abfs://c@account/flights@main"),
        ("data/2013-?.csv", "data/2013-?.csv"),
        ("s3://bucket/2013-?.csv", "s3://bucket/2013-?.csv"),
        ("s3://bucket/t.csv?versionId=1", "s3://bucket/t.csv"),
        ("models:/flights@champion", "models:/flights@champion"),
        ("s3://AKIA:se/cr+et@bucket/key", "s3://bucket/key"),
        ("s3://AKIA:secret@bucket/model@v1", "s3://bucket/model@v1"),
        ("https://me:p/w@host/x", "https://host/x"),
        ("http://mlflow:5000/a@b", "http://mlflow:5000/a@b"),
        ("http://[::1]:5000/a@b", "http://[::1]:5000/a@b"),
        ("https://host/page#part", "https://host/page#part"),
        ("https://host/page#access_token=abc", "https://host/page"),
        ("https://host/x;jsessionid=abc123", "https://host/x;jsessionid=***"),
        ("x.db?key=hunter2&mode=ro", "x.db?key=***&mode=ro"),
        ("//me:hunter2@host/x", "//host/x"),
        ("jdbc:postgresql://host/db?user=u&password=hunter2", "jdbc:postgresql://host/db"),
        ("data/a;b=c.csv", "data/a;b=c.csv"),
        ("host=db password=hunter2 user=me", "host=db password=*** user=me"),
        ("AccountName=a;AccountKey=abc123==;End", "AccountName=a;AccountKey=***;End"),
        ('{"password": "hunter2", "port": 1}', '{"password": "***", "port": 1}'),
        ("Authorization: Bearer ey1234567890.abc", "Authorization: Bearer ***"),
        ("https://hooks.slack.com/services/T0/B0/abc failed", "https://hooks.slack.com/*** failed"),
    ],
)
def test_credentials_are_taken_out_of_addresses(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize(
    ("address", "found"),
    [("S3://bucket/key", "s3"), ("mysql+pymysql://host/db", "mysql+pymysql"), ("models:/flights", ""), ("a/b.csv", "")],
)
def test_a_scheme_is_reported_in_lower_case_and_a_path_has_none(address: str, found: str) -> None:
    assert scheme(address) == found


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("s3://AKIAKEY:se%2Fcret@bucket/key", {"AKIAKEY", "se%2Fcret", "se/cret"}),
        ("postgresql://somebody:p@ss/word@host/db", {"p@ss/word"}),
        ("https://ghp_token@host/x", {"ghp_token"}),
        ("https://host/x?sig=abc%3D&v=1&se=2026", {"abc%3D", "abc=", "2026"}),
        ("s3://bucket/2013-?.csv", set()),
        ("s3://bucket/model@v1/t.csv", set()),
        ("abfss://container@account/t.csv", set()),
        ("plain words", set()),
    ],
)
def test_what_is_secret_in_an_address_is_known_as_it_stands_there_and_decoded(address: str, found: set[str]) -> None:
    assert credentials(address) == found


@pytest.mark.parametrize("address", ["s3://AKIAKEY:se/cret@bucket/key", "gs://token@bucket", "minio://k:s@b/x"])
def test_a_store_whose_address_holds_a_key_is_refused_without_it(address: str) -> None:
    with pytest.raises(UserError, match=r"^source '\w+://b") as error:
        refuse_credentials(address, "source")
    assert not [word for word in ("AKIAKEY", "cret", "token", "k:s") if word in str(error.value).replace("_KEY", "")]


@pytest.mark.parametrize("address", ["s3://bucket/a@b", "abfss://container@account/x", "s3://bucket/*.csv", "a/b.csv"])
def test_a_store_whose_address_holds_none_is_taken(address: str) -> None:
    refuse_credentials(address, "source")
