"""Whoever follows the page on sources gets through: each run loads what there is, and trains a model of it.

S3, BigQuery, Snowflake and a cluster with the Spark operator are servers on loopback; the real Feast has made the
repository.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.support import bigquery_server, snowflake_server
from tests.support.bigquery_server import BigQuery, Field
from tests.support.feast_repositories import make_repository
from tests.support.shells import Shell, clean_environment
from tests.support.snowflake_server import Snowflake
from tests.support.spark_operator import Operator

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm_steps")]
SMALL = {"run training": "run training --set 'candidates=[{estimator: linear}]'"}
QUERY = "SELECT * FROM sales"
KINDS = {"b": ("BOOLEAN", "BOOLEAN"), "i": ("INTEGER", "FIXED"), "f": ("FLOAT", "REAL")}  # of BigQuery, of Snowflake
TEXT = ("STRING", "TEXT")


@dataclass
class Sources:
    """What the page loads from.

    Attributes:
        flights: the table that all of them have, but Feast.
        put: writes an object.
        folder: for files.
    """

    flights: pd.DataFrame
    put: Callable[[str, Any], None]
    folder: Path

    @contextmanager
    def spark(self, shell: Shell) -> Iterator[None]:
        with Operator() as operator:
            cluster = operator.write_kubeconfig(self.folder / "kubeconfig")
            shell.stands_for |= {'"version": "4.0.4",': f'"version": "4.0.4", "cluster": "{cluster}",'}
            states = [{"state": state} for state in ("SUBMITTED", "RUNNING", "COMPLETED")]
            with operator.running(*states, write=self._written):
                yield
            assert len(operator.seen) == 1

    def _written(self, address: str) -> None:
        self.put(f"s3://{address.removeprefix('s3a://')}all.parquet", self.flights)

    @contextmanager
    def bigquery(self, shell: Shell) -> Iterator[None]:
        fields = [Field(name, KINDS.get(column.dtype.kind, TEXT)[0]) for name, column in self._columns()]
        service = BigQuery({QUERY: (fields, self._rows())}, page=len(self.flights), project="PROJECT")
        with bigquery_server.served(service) as url:
            shell.environment["BIGQUERY_EMULATOR_HOST"] = url
            yield

    @contextmanager
    def snowflake(self, shell: Shell) -> Iterator[None]:
        kinds = {name: KINDS.get(column.dtype.kind, TEXT)[1] for name, column in self._columns()}
        service = Snowflake({QUERY: (kinds, [self._rows()])}, user="ORGANIZATION-ACCOUNT.LOADER")
        key = self.folder / "key.p8"
        key.write_bytes(service.key_file("secret"))
        with snowflake_server.served(service) as url:
            shell.environment |= {
                "SNOWFLAKE_HOST": url,
                "SNOWFLAKE_PRIVATE_KEY_FILE": str(key),
                "SNOWFLAKE_PRIVATE_KEY_FILE_PWD": "secret",
            }
            yield

    @contextmanager
    def feast(self, shell: Shell) -> Iterator[None]:
        repository = self.folder / "repository"
        repository.mkdir()
        make_repository(repository, {})
        rows = pd.read_parquet(repository / "rows.parquet")
        rides = pd.concat([rows, rows.assign(at=rows["at"] + pd.Timedelta("1min"))])
        rides["late"] = rides["second_id"] + np.random.default_rng(0).normal(0, 1, len(rides)) > 4
        rides.to_parquet(self.folder / "rides.parquet", index=False)
        shell.stands_for |= {
            "…": f"--set data=rides.parquet {shell.stands_for['…']}",
            "/mnt/repository": str(repository),
            "event_timestamp": "at",
            "driver_stats:rating": "driver_stats:rate",
        }
        yield

    @contextmanager
    def features(self, shell: Shell) -> Iterator[None]:
        weather = self.flights[["origin", "departure", "temp"]]
        weather = weather.rename(columns={"departure": "time_hour", "temp": "heat"})
        self.put("s3://bucket/weather.csv", weather.to_csv(index=False))
        self.put("s3://bucket/flights/all.parquet", self.flights)
        shell.stands_for |= {"…": f"--set data=s3://bucket/flights/ {shell.stands_for['…']}"}
        yield

    def _columns(self) -> list[tuple[str, "pd.Series[Any]"]]:
        return [(str(name), column) for name, column in self.flights.drop(columns="departure").items()]

    def _rows(self) -> Sequence[Sequence[str | None]]:
        """As both write them in JSON."""

        def text(value: Any) -> str | None:
            if pd.isna(value):
                return None
            return str(value).lower() if isinstance(value, (bool, np.bool_)) else str(value)

        columns = [[text(value) for value in column] for _, column in self._columns()]
        return list(zip(*columns, strict=True))


def test_the_page_on_sources(
    some_flights: pd.DataFrame, put: Callable[[str, Any], None], s3: dict[str, str], tmp_path: Path
) -> None:
    sources = Sources(some_flights, put, tmp_path)
    there = {
        "source.spark": sources.spark,
        "bigquery://": sources.bigquery,
        "snowflake://": sources.snowflake,
        "feast://": sources.feast,
        "weather": sources.features,
    }
    shell = Shell("docs/sources.md", tmp_path, environment=clean_environment(**s3))
    for command in shell.commands():
        [source] = [word for word in there if word in command]
        shell.stands_for = {**SMALL, "…": f"--set target=late --set name={there[source].__name__}"}
        with there[source](shell):
            assert "registered as" in shell.give(command)
