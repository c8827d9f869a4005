"""Predictions that go to an object store, through the real client."""

import json
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

from kubeline.errors import PlatformError, UserError
from tests.support.artifacts import Maker
from tests.support.file_servers import S3, serving_files


@pytest.fixture
def objects(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """What is in the store of `s3://`, by bucket and key."""
    held: dict[str, bytes] = {}
    with serving_files(S3, held) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield held


def test_files_and_their_summary_are_objects_and_others_are_replaced_only_when_asked(
    predicted: Maker, dataset: Maker, package: Any, flights: pd.DataFrame, objects: dict[str, bytes]
) -> None:
    goal = "s3://bucket/predictions/october"
    predicted(dataset(flights.head(200)), model=package, destination=goal, partition_by=["origin"])
    reported = json.loads(objects["bucket/predictions/october/_predictions-1-of-1.json"])
    assert reported["rows"] == 200
    assert sorted(objects) == sorted(
        f"bucket/predictions/october/{name}" for name in [*reported["files"], "_predictions-1-of-1.json"]
    )
    other = dataset(flights.head(3))
    with pytest.raises(UserError, match=rf"^destination '{goal}' holds other predictions"):
        predicted(other, model=package, destination=goal)
    predicted(other, model=package, destination=goal, overwrite=True)
    assert sorted(objects) == [
        "bucket/predictions/october/_predictions-1-of-1.json",
        "bucket/predictions/october/part-00001-of-00001-0.parquet",
    ]


def test_a_store_that_is_not_there_is_reported_and_nothing_is_written(
    artifact: Maker,
    predicted: Maker,
    dataset: Maker,
    package: Any,
    flights: pd.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with pytest.raises(PlatformError, match=r"^destination 's3://bucket/x' cannot be read or written: "):
        predicted(dataset(flights.head(3)), model=package, destination="s3://bucket/x")
