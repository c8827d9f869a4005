"""Tables of Delta Lake and Iceberg are read at a version, with their types, and without what was deleted."""

import datetime as dt
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from deltalake.table import DeltaTable
from pyiceberg.catalog.memory import InMemoryCatalog

from kubeline.data.dataset import open_dataset
from kubeline.errors import PlatformError, UserError
from tests.support.loading import Load

MOMENT = dt.datetime(2013, 1, 1, 5, tzinfo=dt.UTC)
ROWS = pa.table(
    {
        "id": pa.array([1, 2, 3], pa.int64()),
        "small": pa.array([7, None, 9], pa.int32()),
        "price": pa.array([Decimal("1.10"), None, Decimal("-2.05")], pa.decimal128(20, 2)),
        "time": pa.array([MOMENT, None, MOMENT], pa.timestamp("us", tz="UTC")),
        "day": pa.array([dt.date(2013, 1, 1)] * 3),
        "carrier": ["UA", "B6", None],
    }
)
MORE = ROWS.slice(0, 1).set_column(0, "id", pa.array([4], pa.int64()))
TYPES = {"id": "int64", "small": "int32", "price": "double", "time": "timestamp[us, tz=UTC]", "day": "timestamp[us]"}


@pytest.fixture
def delta(tmp_path: Path) -> str:
    """Three versions: three rows, four, and three of the four; parted by carrier."""
    place = str(tmp_path / "delta table")
    write_deltalake(place, ROWS, partition_by=["carrier"])
    write_deltalake(place, MORE, mode="append")
    DeltaTable(place).delete("id = 2")
    return f"delta://{place}"


@pytest.fixture
def iceberg(tmp_path: Path) -> Any:
    """Three snapshots of the same rows, and a tag on the first."""
    catalog = InMemoryCatalog("memory", warehouse=(tmp_path / "warehouse").as_uri())
    catalog.create_namespace("db")
    table = catalog.create_table("db.flights", schema=ROWS.schema)
    table.append(ROWS)
    table.manage_snapshots().create_tag(table.current_snapshot().snapshot_id, "first").commit()
    time.sleep(0.002)  # the times of snapshots are in milliseconds
    table.append(MORE)
    table.delete("id = 2")
    return table


def ids(loaded: Any) -> list[int]:
    return sorted(open_dataset(loaded.path).to_table()["id"].to_pylist())


def test_a_delta_table_is_read_at_its_latest_version_and_the_metadata_name_it(delta: Any, load: Load) -> None:
    loaded = load(delta)
    assert ids(loaded) == [1, 3, 4]
    assert loaded.metadata["source"] == f"{delta}@v2"
    again = load(loaded.metadata["source"])
    assert again.metadata["fingerprint"] == loaded.metadata["fingerprint"]


def test_a_delta_table_is_read_at_a_version_or_a_time(delta: Any, load: Load) -> None:
    assert ids(load(f"{delta}@v0")) == [1, 2, 3]
    assert ids(load(f"{delta}@1")) == [1, 2, 3, 4]
    first = DeltaTable(delta.removeprefix("delta://")).history()[-1]["timestamp"]
    moment = dt.datetime.fromtimestamp(first / 1000, dt.UTC).isoformat()
    loaded = load(f"{delta}@{moment}")
    assert (ids(loaded), loaded.metadata["source"]) == ([1, 2, 3], f"{delta}@v0")


def test_an_iceberg_table_is_read_at_its_latest_snapshot_and_the_metadata_name_it(iceberg: Any, load: Load) -> None:
    source = iceberg.location().replace("file://", "iceberg://")
    loaded = load(source)
    assert ids(loaded) == [1, 3, 4]
    assert loaded.metadata["source"] == f"{source}@{iceberg.current_snapshot().snapshot_id}"
    assert load(loaded.metadata["source"]).metadata["fingerprint"] == loaded.metadata["fingerprint"]


def test_an_iceberg_table_is_read_at_a_snapshot_a_tag_or_a_time(iceberg: Any, load: Load) -> None:
    source = iceberg.location().replace("file://", "iceberg://")
    first = iceberg.history()[0]
    moment = dt.datetime.fromtimestamp(first.timestamp_ms / 1000, dt.UTC).isoformat()
    for version in (first.snapshot_id, "first", moment):
        assert ids(load(f"{source}@{version}")) == [1, 2, 3]
    assert ids(load(iceberg.metadata_location.replace("file://", "iceberg://"))) == [1, 3, 4]


def test_types_of_lakes_are_kept(delta: Any, iceberg: Any, load: Load) -> None:
    for source in (f"{delta}@v0", iceberg.location().replace("file://", "iceberg://") + "@first"):
        table = open_dataset(load(source).path).to_table()
        assert {field.name: str(field.type) for field in table.schema if field.name in TYPES} == TYPES
        row = table.filter(pa.compute.field("id") == 3).to_pylist()[0]
        day = dt.datetime.fromisoformat("2013-01-01")
        assert row == {"id": 3, "small": 9, "price": -2.05, "time": MOMENT, "day": day, "carrier": None}


def test_columns_and_filter_apply_to_a_lake(delta: Any, load: Load) -> None:
    assert load(delta, columns=["id"], where="carrier = 'UA' AND id > 1").frame.to_dict("list") == {"id": [4]}


@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        ("v9", "^the Delta table at '.*' has no version 'v9' .*; choose another$"),
        ("2013-01-01", "^the Delta table at '.*' begins at 20.*, after '2013-01-01'; choose a later time$"),
        (
            "yesterday",
            "^'yesterday' is no version of a Delta table; expected a number such as v3, or an ISO 8601 time$",
        ),
    ],
)
def test_a_version_that_a_delta_table_does_not_have_is_reported(
    version: str, sentence: str, delta: Any, load: Load
) -> None:
    with pytest.raises(UserError, match=sentence):
        load(f"{delta}@{version}")


@pytest.mark.parametrize("version", ["12", "2013-01-01", "second", "²"])  # the last is a digit, and no number
def test_a_snapshot_that_an_iceberg_table_does_not_have_is_reported(version: str, iceberg: Any, load: Load) -> None:
    with pytest.raises(UserError, match=f"^the Iceberg table at '.*' has no snapshot '{version}'; choose another$"):
        load(f"{iceberg.location().replace('file://', 'iceberg://')}@{version}")


@pytest.mark.parametrize("kind", ["delta", "iceberg"])
def test_a_lake_that_is_not_there_is_reported(kind: str, tmp_path: Path, load: Load) -> None:
    with pytest.raises(UserError, match=r"^there is nothing at '.*/nothing'; check the address$"):
        load(f"{kind}://{tmp_path}/nothing")


def test_a_catalog_that_is_not_known_is_reported(load: Load) -> None:
    with pytest.raises(
        UserError, match=r"^the catalog 'nowhere' of Iceberg is not known .*PYICEBERG_CATALOG__NOWHERE__"
    ):
        load("iceberg://nowhere/db.flights")


def test_the_folder_of_a_lake_is_not_taken_for_its_files(delta: Any, iceberg: Any, load: Load) -> None:
    for source in (delta, iceberg.location().replace("file://", "iceberg://")):
        folder = source.partition("://")[2]
        with pytest.raises(UserError, match=r"^'.*' is a table of .*; give .* \(and behind @ the version\)$") as caught:
            load(folder)
        assert f"give {source.replace(' ', '%20')} (" in str(caught.value)


@pytest.mark.parametrize(("kind", "package"), [("delta", "deltalake"), ("iceberg", "pyiceberg")])
def test_a_library_that_is_not_installed_is_named(
    kind: str, package: str, load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in (package, f"{package}.exceptions"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(PlatformError, match=f"the package {package} is missing; use an image with kubeline.{kind}.$"):
        load(f"{kind}://{tmp_path}")
