"""What the pages need to be followed: a Docker engine, an S3, a few flights."""

import re
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import pytest

from tests.support import real_servers
from tests.support.docker_engine import docker_engine
from tests.support.pages import ROOT
from tests.support.shells import clean_environment


@pytest.fixture(scope="session")
def docker(warm_process: dict[str, str]) -> Iterator[str]:
    """The address of a Docker engine that has the images; its containers are processes of this machine."""
    with docker_engine(clean_environment()["PATH"], **warm_process) as engine:
        compiled = (ROOT / "pipelines" / "training" / "kubeflow.yaml").read_text(encoding="utf-8")
        engine.images.update(re.findall(r"image: (\S+)", compiled))
        yield engine.address
    assert len(engine.containers) > 10


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    """The variables that name an S3 with the buckets of the pages."""
    with real_servers.s3() as variables:
        yield variables


@pytest.fixture(scope="module")
def put(s3: dict[str, str]) -> "Callable[[str, pd.DataFrame | str], None]":
    """`put(address, content)`: a table or text as an object."""
    client = real_servers.s3_client(s3)

    def write(address: str, content: "pd.DataFrame | str") -> None:
        bucket, _, key = address.removeprefix("s3://").partition("/")
        body = content.encode() if isinstance(content, str) else content.to_parquet(index=False)
        client.create_bucket(Bucket=bucket)
        client.put_object(Bucket=bucket, Key=key, Body=body)

    for bucket in ("bucket", "logs", "outcomes"):
        client.create_bucket(Bucket=bucket)
    return write


@pytest.fixture(scope="module")
def some_flights(_flights: pd.DataFrame) -> pd.DataFrame:
    """A few, whose delays follow from the time of day more clearly than in truth."""
    some = _flights.iloc[::3].reset_index(drop=True)
    some["late"] = some["dep_minute"] + np.random.default_rng(0).normal(0, 120, len(some)) > 1_100
    return some
