"""Delta Lake and Iceberg tables at a version, as Arrow batches in an order that the version alone decides."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from kubeline.addresses import file_system, redact, refuse_credentials, scheme
from kubeline.data.sources import STORES, local_path, remote_errors
from kubeline.errors import PlatformError, UserError, listed

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot

_STORES = ("file", *STORES)
LAKES = tuple(f"{kind}{store}" for kind in ("delta", "iceberg") for store in ("", *(f"+{each}" for each in _STORES)))
_BATCH = 65_536  # rows that are read at a time
_NUMBER = re.compile(r"v?(\d+)[-.]")  # in front of the names of Iceberg's metadata files


@dataclass(frozen=True)
class Lake:
    """A table at a version.

    Attributes:
        reader: its rows.
        source: the address that names the version.
    """

    reader: pa.RecordBatchReader
    source: str


def open_lake(source: str) -> Lake:
    """The table at ``delta://…`` or ``iceberg://…``, at the version behind ``@`` or the latest.

    Raises:
        UserError: when there is no such table or version, or it uses what its library does not read.
        PlatformError: when the store cannot be reached, or the library is not installed.
    """
    kind, _, store = scheme(source).partition("+")
    folder, slash, last = source.partition("://")[2].rpartition("/")
    table, _, wanted = last.partition("@")  # before the last slash, it parts a container from its account
    place = f"{folder}{slash}{table}"
    address = f"{store or 'file'}://{place}"
    refuse_credentials(address, "source")
    with remote_errors(source):
        reader, version = {"delta": _delta, "iceberg": _iceberg}[kind](address, wanted)
    return Lake(reader, f"{scheme(source)}://{place}@{version}")


def missing(source: str, package: str, extra: str) -> PlatformError:
    """The error where an optional library is not installed."""
    return PlatformError(
        f"this image cannot read '{redact(source)}': the package {package} is missing; use an image with "
        f"kubeline[{extra}]"
    )


def _moment(wanted: str) -> datetime | None:
    """A version that is a time; UTC where no offset is given."""
    try:
        found = datetime.fromisoformat(wanted)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _delta(address: str, wanted: str) -> tuple[pa.RecordBatchReader, str]:
    try:
        from deltalake.exceptions import DeltaError, DeltaProtocolError, TableNotFoundError
    except ImportError:
        raise missing(address, "deltalake", "delta") from None

    try:
        table = _delta_at(address, wanted)
        dataset = table.to_pyarrow_dataset()
    except TableNotFoundError:
        raise UserError(f"there is no Delta table at '{address}'; check the address") from None
    except DeltaProtocolError as error:
        raise UserError(
            f"the Delta table at '{address}' uses what deltalake does not read ({error}); write it without, such as by "
            "REORG TABLE … APPLY (PURGE)"
        ) from None
    except DeltaError as error:
        if not wanted:
            raise
        raise UserError(f"the Delta table at '{address}' has no version '{wanted}' ({error}); choose another") from None

    def batches() -> Iterator[pa.RecordBatch]:
        for fragment in sorted(dataset.get_fragments(), key=lambda each: each.path):
            yield from fragment.to_batches(schema=dataset.schema, batch_size=_BATCH, batch_readahead=1)

    return pa.RecordBatchReader.from_batches(dataset.schema, batches()), f"v{table.version()}"


def _delta_at(address: str, wanted: str) -> "DeltaTable":
    from deltalake import DeltaTable

    plain = os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")
    options = {"allow_http": "true"} if plain else None  # it reads the rest of the environment itself
    place = local_path(address) if address.startswith("file:") else address.replace("gcs://", "gs://", 1)
    if address.startswith("file:") and not Path(place).is_dir():
        raise FileNotFoundError
    number = re.fullmatch(r"v?(\d+)", wanted)
    moment = None if number else _moment(wanted)
    if wanted and not number and moment is None:
        raise UserError(f"'{wanted}' is no version of a Delta table; expected a number such as v3, or an ISO 8601 time")
    table = DeltaTable(place, version=int(number[1]) if number else None, storage_options=options)
    if moment is not None:
        first = table.history()[-1]["timestamp"] / 1000
        if moment.timestamp() < first:
            raise UserError(
                f"the Delta table at '{address}' begins at {datetime.fromtimestamp(first, UTC).isoformat()}, after "
                f"'{wanted}'; choose a later time"
            )
        table.load_as_version(moment)
    return table


def _iceberg(address: str, wanted: str) -> tuple[pa.RecordBatchReader, str]:
    try:
        from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError
    except ImportError:
        raise missing(address, "pyiceberg", "iceberg") from None

    try:
        table = _iceberg_table(address)
    except (NoSuchTableError, NoSuchNamespaceError):
        raise UserError(f"there is no Iceberg table at '{address}'; check the address and the catalog") from None
    snapshot = _snapshot(table, wanted, address)
    scan = table.scan(snapshot_id=snapshot.snapshot_id)
    return _scanned(scan), str(snapshot.snapshot_id)


def _iceberg_table(address: str) -> "Table":
    """By its folder, or by the name of a catalog (``PYICEBERG_CATALOG__NAME__URI`` and so on say where it is)."""
    from pyiceberg.catalog import load_catalog
    from pyiceberg.table import StaticTable

    name, _, table = address.partition("://")[2].partition("/")
    if address.startswith("file:") and name not in ("", "localhost"):
        try:
            catalog = load_catalog(name)
        except ValueError as error:
            raise UserError(
                f"the catalog '{name}' of Iceberg is not known ({error}); set PYICEBERG_CATALOG__{name.upper()}__URI, "
                "or give the folder of the table as iceberg:///folder"
            ) from None
        return catalog.load_table(table.replace("/", "."))
    return StaticTable.from_metadata(_latest(address))


def _latest(folder: str) -> str:
    """The newest metadata file of a table's folder; its number stands in front of its name."""
    if folder.endswith(".metadata.json"):
        return folder
    system, path = file_system(folder)
    found: dict[int, list[str]] = {}
    for each in system.glob(f"{path.rstrip('/')}/metadata/*.metadata.json"):
        number = _NUMBER.match(str(each).rsplit("/", 1)[-1])
        found.setdefault(int(number[1]) if number else -1, []).append(str(each))
    if not found:
        raise FileNotFoundError
    newest = found[max(found)]
    if len(newest) > 1:
        raise UserError(
            f"the Iceberg table at '{folder}' has several newest metadata files: {listed(sorted(newest))}; give the "
            "one that is committed, or the name of its catalog"
        )
    return str(system.unstrip_protocol(newest[0]))


def _snapshot(table: "Table", wanted: str, address: str) -> "Snapshot":
    is_number = wanted.isascii() and wanted.isdigit()  # '²' is a digit, and no number
    moment = None if is_number else _moment(wanted)
    if not wanted:
        found = table.current_snapshot()
    elif is_number:
        found = table.snapshot_by_id(int(wanted))
    elif moment is not None:
        found = table.snapshot_as_of_timestamp(int(moment.timestamp() * 1000))
    else:
        found = table.snapshot_by_name(wanted)
    if found is None:
        what = f"no snapshot '{wanted}'" if wanted else "no snapshot yet, and so no rows"
        raise UserError(f"the Iceberg table at '{address}' has {what}; choose another")
    return found


def _scanned(scan: Any) -> pa.RecordBatchReader:
    """The rows, a data file at a time: the library's own reader takes all files at once."""
    from pyiceberg.io.pyarrow import ArrowScan, schema_to_pyarrow

    schema = schema_to_pyarrow(scan.projection(), include_field_ids=False)
    reader = ArrowScan(scan.table_metadata, scan.io, scan.projection(), scan.row_filter, scan.case_sensitive)
    tasks = sorted(scan.plan_files(), key=lambda task: task.file.file_path)

    def batches() -> Iterator[pa.RecordBatch]:
        for task in tasks:
            for batch in reader.to_record_batches([task]):
                for start in range(0, batch.num_rows, _BATCH):
                    yield batch.slice(start, _BATCH).cast(schema)

    return pa.RecordBatchReader.from_batches(schema, batches())
