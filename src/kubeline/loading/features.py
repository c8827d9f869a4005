"""The input `features` of `load`: what it says, and the rows with the features that were known at their time."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from kubeline.addresses import scheme
from kubeline.data.dataset import open_dataset
from kubeline.data.point_in_time import FeatureTable, Match, join
from kubeline.data.timespan import Timespan, length_of
from kubeline.errors import UserError, listed
from kubeline.loading import feast
from kubeline.options import require_names

_TEXTS = ("source", "time", "created", "max_age", "delay", "zone", "prefix", "query", "format")
_KNOWN = (*_TEXTS, "keys", "columns", "rename", "types", "by_created")
_HINT = 'such as {"source": "s3://bucket/weather/", "keys": ["station"], "time": "observed"}'
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_MARGIN = timedelta(days=1)  # more than any time zone is from UTC

# Reads a table of features, of some columns in a window, as a dataset in a new folder: what is known of it.
Store = Callable[[FeatureTable, Timespan, Path], Mapping[str, Any]]


def read(given: Sequence[Any]) -> list[FeatureTable | feast.FeastFeatures]:
    """The tables as they were given; nothing is opened.

    Raises:
        UserError: names what is no description of one.
    """
    return [_read(f"features[{number}]", one) for number, one in enumerate(given)]


def opened(given: Sequence[Any]) -> list[FeatureTable]:
    """The same, where feature views of Feast are the tables that they are in its registry.

    Raises:
        UserError: as :func:`read`, and names the feature views that Feast does not have.
        PlatformError: when the registry cannot be read.
    """
    return [table for one in read(given) for table in ([one] if isinstance(one, FeatureTable) else feast.tables(one))]


def _read(where: str, given: Any) -> FeatureTable | feast.FeastFeatures:
    if not isinstance(given, Mapping):
        raise UserError(f"{where} is {given!r}; expected a table of features {_HINT}")
    if not given.get("source"):
        raise UserError(f"{where} has no source; expected a table of features {_HINT}")
    if scheme(str(given["source"])).partition("+")[0] == feast.SCHEME:
        return feast.FeastFeatures.of(given, f"{where}, a source of Feast, which knows the rest,")
    if unknown := [name for name in given if name not in _KNOWN]:
        raise UserError(f"{where} has '{unknown[0]}'; there are: {listed(_KNOWN, 20)}")
    for name in _TEXTS:
        if not isinstance(given.get(name, ""), str):
            raise UserError(f"{where} has {name} {given[name]!r}; expected a text")
    if not given.get("time"):
        raise UserError(f"{where} has no time, the column that says when a feature came to be true")
    if not isinstance(given.get("by_created", False), bool):
        raise UserError(f"{where} has by_created {given['by_created']!r}; expected true or false")
    if given.get("by_created") and not given.get("created"):
        raise UserError(f"{where} has by_created and no created; name the column that says when a feature was written")
    require_names(f"{where}.columns", given.get("columns", []))
    return FeatureTable(
        given["source"],
        _keys(where, given.get("keys")),
        given["time"],
        created=given.get("created", ""),
        max_age=_length(where, "max_age", given) if given.get("max_age") else None,
        delay=_length(where, "delay", given) if given.get("delay") else timedelta(0),
        by_created=given.get("by_created", False),
        zone=_zone(where, given.get("zone", "")),
        columns=given.get("columns", []),
        rename=_texts(where, "rename", given),
        prefix=given.get("prefix", ""),
        query=given.get("query", ""),
        file_format=given.get("format", "auto"),
        types=_texts(where, "types", given),
    )


def _keys(where: str, given: Any) -> dict[str, str]:
    if isinstance(given, list | tuple):
        require_names(f"{where}.keys", given)
        return {name: name for name in given}
    if isinstance(given, Mapping) and all(isinstance(one, str) and one for one in given.values()):
        return dict(given)
    raise UserError(
        f'{where} has keys {given!r}; expected the columns that rows and features share, such as ["station"], or of '
        'the rows to those of the features, such as {"origin": "station"}; [] where all rows have the same features'
    )


def _texts(where: str, name: str, given: Mapping[str, Any]) -> dict[str, str]:
    found = given.get(name, {})
    if not isinstance(found, Mapping) or not all(isinstance(one, str) and one for one in found.values()):
        raise UserError(f"{where} has {name} {found!r}; expected columns to texts")
    return dict(found)


def _length(where: str, name: str, given: Mapping[str, Any]) -> timedelta:
    number, unit = length_of(f"{where}.{name}", given[name])
    if unit not in _UNITS:
        raise UserError(f"{where} has {name} '{given[name]}'; months differ in length: give days, such as 30d")
    return timedelta(**{_UNITS[unit]: number})


def _zone(where: str, given: str) -> str:
    try:
        return given and ZoneInfo(given).key
    except (KeyError, ValueError, OSError):
        raise UserError(
            f"{where} has zone '{given}'; expected a name of the IANA database, such as UTC or America/New_York"
        ) from None


def joined(
    rows: Path, tables: Sequence[FeatureTable], time: str, store: Store, scratch: Path, into: Path
) -> tuple[list[dict[str, Any]], list[str]]:
    """Write the rows with the features that were known at their times.

    Args:
        rows: A dataset.
        tables: Of features.
        time: The column of the rows' times.
        store: Reads one of the tables.
        scratch: A folder for what is read.
        into: The Parquet file to write.

    Returns:
        What was joined, for the metadata, and warnings.
    """
    first, last = _range(rows, time)
    folders, known = [], []
    for number, table in enumerate(tables):
        folders.append(scratch / f"features-{number}")
        known.append(store(table, _window(table, first, last), folders[-1]))
    matches = join(rows, list(zip(tables, folders, strict=True)), time, scratch, into)
    described = [
        _described(table, folder, of_table, match)
        for table, folder, of_table, match in zip(tables, folders, known, matches, strict=True)
    ]
    warnings = [one for table, match in zip(tables, matches, strict=True) for one in match.warnings(table, time)]
    return described, warnings


def _range(rows: Path, time: str) -> tuple[datetime | None, datetime | None]:
    """The first and the last time of the rows, UTC where none is given; None where they have none."""
    dataset = open_dataset(rows)
    if time not in dataset.schema.names or not pa.types.is_timestamp(dataset.schema.field(time).type):
        return None, None  # which the join reports
    bounds: list[datetime] = []
    for batch in dataset.to_batches(columns=[time]):
        found = pc.min_max(batch[time].cast(pa.timestamp("us", batch[time].type.tz), safe=False)).as_py()
        bounds += [each if each.tzinfo else each.replace(tzinfo=UTC) for each in found.values() if each]
    return min(bounds, default=None), max(bounds, default=None)


def _window(table: FeatureTable, first: datetime | None, last: datetime | None) -> Timespan:
    """The times of the features that any row can find."""
    if first is None or last is None:
        return Timespan(column=table.time)
    margin = _MARGIN if table.zone else timedelta(0)
    try:
        since = None if table.max_age is None else first - table.max_age - margin
        return Timespan(since, last + margin + timedelta(microseconds=1), table.time)
    except OverflowError:
        return Timespan(column=table.time)


def _described(table: FeatureTable, folder: Path, known: Mapping[str, Any], match: Match) -> dict[str, Any]:
    first, last = _range(folder, table.time)
    found = {
        "name": table.name,
        "version": table.version,
        "source": known["source"],
        "keys": dict(table.keys),
        "time": table.time,
        "created": table.created,
        "by_created": table.by_created,
        "delay": str(table.delay or ""),
        "max_age": "" if table.max_age is None else str(table.max_age),
        "zone": table.zone,
        "columns": [*table.features(open_dataset(folder).schema.names).values()],
        "rows": known["rows"],
        "fingerprint": known["fingerprint"],
        "since": first.isoformat() if first else "",
        "until": last.isoformat() if last else "",
        "oldest": "" if match.oldest is None else str(match.oldest),
    }
    return {key: value for key, value in found.items() if value not in ("", {}, False)} | {
        "found": match.found / match.rows,
        "missing": match.rows - match.found,
    }
