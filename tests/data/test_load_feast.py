"""Features as they were known at the time of each row, of repositories that Feast wrote, as Feast answers."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import adbc_driver_postgresql.dbapi as driver
import pandas as pd
import pytest
import yaml

from kubeline.errors import UserError
from kubeline.loading.feast_registry_pb2 import DataSource, Registry
from kubeline.loading.features import opened
from tests.support.feast_repositories import make_repository
from tests.support.loading import Load
from tests.support.real_servers import postgresql

ASKED: dict[str, dict[str, Any]] = {
    "references": {"columns": ["driver_stats:trips", "demand:level", "driver_stats:rate", "prices"]},
    "full-names": {"columns": ["driver_stats:rate", "demand:level"], "full_names": True},
    "as-written": {"columns": ["driver_stats"], "by_created": True},
    "service": {"columns": ["ride"], "full_names": True},
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("taxis")
    make_repository(folder, ASKED)
    return folder


def features(repository: Path, **asked: Any) -> dict[str, Any]:
    return {"features": [{"source": f"feast://{repository}", **asked}], "time": "at"}


@pytest.mark.parametrize("name", ASKED)
def test_features_are_those_that_feast_finds(repository: Path, load: Load, name: str) -> None:
    ours = load(repository / "rows.parquet", **features(repository, **ASKED[name])).frame
    feast = pd.read_parquet(repository / f"{name}.parquet").rename(columns={"event_timestamp": "at"})
    feast = feast.sort_values("ride_id", ignore_index=True)
    feast["at"] = feast["at"].dt.tz_localize(None)
    assert {*ours} == {*feast}
    pd.testing.assert_frame_equal(ours, feast[[*ours]], check_dtype=False)
    found = ours.iloc[:, 6:].notna().mean()
    assert ((found > 0.2) & (found < 1)).any()


def test_what_was_joined_names_views_versions_ages_and_what_found_nothing(repository: Path, load: Load) -> None:
    asked = {"columns": ["driver_stats:rate", "prices:fuel"]}
    joined = load(repository / "rows.parquet", **features(repository, **asked)).metadata["features"]
    assert [one["name"] for one in joined] == ["driver_stats", "prices"]
    assert joined[0]["keys"] == {"driver_id": "driver_id"}
    assert "keys" not in joined[1]
    assert (joined[0]["max_age"], joined[0]["oldest"] <= "2:00:00") == ("2:00:00", True)
    assert 0.3 < joined[0]["found"] < 1 == joined[1]["found"]
    assert " of registry " in joined[0]["version"]
    assert joined[0]["source"] == str(repository / "stats.parquet")


def test_a_registry_without_its_repository_is_read_where_its_files_have_whole_addresses(
    repository: Path, tmp_path: Path, load: Load
) -> None:
    registry = Registry()
    registry.ParseFromString((repository / "data" / "registry.db").read_bytes())
    with pytest.raises(UserError, match=r"are in 'stats.parquet', below a repository of Feast that is not known here"):
        load(repository / "rows.parquet", **features(repository / "data" / "registry.db", columns=["driver_stats"]))
    for view in registry.feature_views:
        options = view.spec.batch_source.file_options
        options.uri = f"file://{repository}/{options.uri}"
    (tmp_path / "registry.pb").write_bytes(registry.SerializeToString())
    loaded = load(repository / "rows.parquet", **features(tmp_path / "registry.pb", columns=["prices", "demand:level"]))
    assert [*loaded.frame][-2:] == ["fuel", "level"]


def test_features_in_postgresql_are_asked_for_the_times_of_the_rows(
    repository: Path, tmp_path: Path, load: Load
) -> None:
    """The registry says where, as Feast's source in PostgreSQL writes it, and feature_store.yaml how to get there."""
    registry = Registry()
    registry.ParseFromString((repository / "data" / "registry.db").read_bytes())
    for view in registry.feature_views:
        source = view.spec.batch_source
        source.ClearField("file_options")
        source.data_source_class_type = "feast.infra.offline_stores.contrib.postgres.PostgreSQLSource"
        known = {"name": "s", "query": "SELECT * FROM prices", "table": None}
        source.custom_options.configuration = json.dumps(known).encode()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "registry.db").write_bytes(registry.SerializeToString())
    with postgresql() as address:
        with closing(driver.connect(address)) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE SCHEMA shop")
            cursor.execute("CREATE TABLE shop.prices (day timestamp, fuel double precision)")
            cursor.execute("INSERT INTO shop.prices VALUES ('2024-03-01', 1.5), ('2024-03-02', 1.6), ('2025-01-01', 9)")
            connection.commit()
        place = urlsplit(address)
        store = {"type": "postgres", "host": place.hostname, "port": place.port, "database": place.path.strip("/")}
        store |= {"db_schema": "shop", "user": place.username, "password": "${FEAST_PASSWORD}", "sslmode": "disable"}
        (tmp_path / "feature_store.yaml").write_text(yaml.safe_dump({"project": "taxis", "offline_store": store}))
        loaded = load(repository / "rows.parquet", **features(tmp_path, columns=["prices"]))
    assert {*loaded.frame["fuel"]} == {1.5, 1.6}
    (joined,) = loaded.metadata["features"]
    assert joined["rows"] == 2
    assert "FEAST_PASSWORD" not in joined["source"]
    assert joined["source"].startswith("postgresql://")


@pytest.mark.parametrize(
    ("kind", "source", "table"),
    [
        ("bigquery", "bigquery://shop?location=EU", "`shop.taxis.prices`"),
        ("snowflake", "snowflake://ann@org-acc/DB/PUBLIC?warehouse=W&role=R", '"DB"."S"."PRICES"'),
    ],
)
def test_features_in_a_warehouse_are_a_query_there(
    repository: Path, tmp_path: Path, kind: str, source: str, table: str
) -> None:
    registry = Registry()
    registry.ParseFromString((repository / "data" / "registry.db").read_bytes())
    for view in registry.feature_views:
        place = view.spec.batch_source
        place.ClearField("file_options")
        if kind == "bigquery":
            place.bigquery_options.table = "shop.taxis.prices"
        else:
            place.snowflake_options.MergeFrom(DataSource.TableOptions(table="PRICES", schema="S", database="DB"))
    (tmp_path / "registry.db").write_bytes(registry.SerializeToString())
    stores = {
        "bigquery": {"type": "bigquery", "location": "EU"},
        "snowflake": {"account": "org-acc", "user": "ann", "database": "DB", "warehouse": "W", "role": "R"},
    }
    settings = {"project": "taxis", "registry": str(tmp_path / "registry.db"), "offline_store": stores[kind]}
    (tmp_path / "feature_store.yaml").write_text(yaml.safe_dump(settings))
    (found,) = opened([{"source": f"feast://{tmp_path}", "columns": ["prices"]}])
    assert found.source == source
    mark = table[0]
    day, fuel = f"{mark}day{mark}", f"{mark}fuel{mark}"
    window = f"{day} >= '{{since}}' AND {day} < '{{until}}'"
    assert found.query == f"SELECT {day}, {fuel} FROM {table} AS features WHERE {window}"  # noqa: S608


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"columns": ["none:x"]}, "has no feature view or service 'none'; it has: d"),
        ({"columns": ["driver_stats:x"]}, "the feature view 'driver_stats' has no feature 'x'; it has: trips, rate"),
        (
            {"columns": ["doubled"]},
            r"'doubled' is an on-demand feature view of Feast, which Feast alone can compute; h",
        ),
        (
            {"columns": ["prices"], "by_created": True},
            "the source of the feature view 'prices' has no created timestam",
        ),
        ({"columns": ["prices"], "project": "other"}, "no feature view of the project 'other'; name one as project: t"),
        (
            {"columns": "prices"},
            "which knows the rest, has columns 'prices'; expected features of Feast as view:feature",
        ),
        (
            {"columns": ["prices"], "time": "day"},
            r"features\[0\], a source of Feast, which knows the rest, has 'time'; there are: source, columns",
        ),
        ({"columns": ["driver_stats:rate", "ride"]}, "the feature 'rate' of 'second' is there twice .* full_names"),
    ],
)
def test_what_feast_does_not_have_is_one_sentence(
    repository: Path, load: Load, asked: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        load(repository / "rows.parquet", **features(repository, **asked))


@pytest.mark.parametrize(
    ("settings", "content", "sentence"),
    [
        ("", b"", r"there is no '.*feature_store.yaml'; give the folder of a repository of Feast, or the address of a"),
        ("project: p", b"", r"there is no registry of Feast at '.*registry.db'; run feast apply where its repository"),
        ("project: p", b"no", r"'.*registry.db' is no registry of Feast; give that which feast apply wrote"),
        (
            "registry: {registry_type: sql, path: x}",
            b"",
            r"is one of the type 'sql', and only files are read here; have",
        ),
    ],
)
def test_a_repository_that_cannot_be_read_is_one_sentence(
    tmp_path: Path, settings: str, content: bytes, sentence: str
) -> None:
    (tmp_path / "data").mkdir()
    if settings:
        (tmp_path / "feature_store.yaml").write_text(settings)
    if content:
        (tmp_path / "data" / "registry.db").write_bytes(content)
    with pytest.raises(UserError, match=sentence):
        opened([{"source": f"feast://{tmp_path}", "columns": ["prices"]}])
