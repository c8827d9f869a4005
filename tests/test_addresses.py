"""Addresses as they may be shown: without credentials, and still telling the place."""

import pytest

from kubeline.addresses import redact, scheme


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
        ("data/2013-?.csv", "data/2013-?.csv"),
        ("s3://bucket/2013-?.csv", "s3://bucket/2013-?.csv"),
        ("s3://bucket/t.csv?versionId=1", "s3://bucket/t.csv"),
        ("models:/flights@champion", "models:/flights@champion"),
    ],
)
def test_credentials_are_taken_out_of_addresses(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize(
    ("address", "found"),
    [("S3://bucket/key", "s3"), ("mysql+pymysql://host/db", "mysql+pymysql"), ("models:/flights", ""), ("a/b.csv", "")],
)
def test_a_scheme_is_told_in_lower_case_and_a_path_has_none(address: str, found: str) -> None:
    assert scheme(address) == found
