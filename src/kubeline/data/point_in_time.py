"""Features as they were known at the time of each row: a join by keys and time, in bounded memory.

The semantics are those of Feast's ``get_historical_features``: of the features with a row's keys whose time is not
after the row's and not older than `max_age`, the latest; of equal times, the one that was created last; missing where
there is none. Here every row stays, in its order.
"""
# ruff: noqa: S608 - names and paths in queries are quoted

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pyarrow as pa

from kubeline.addresses import redact
from kubeline.columns import type_of
from kubeline.data.dataset import open_dataset
from kubeline.data.duck import Connection
from kubeline.data.engine import connect, fetch, identifier, literal
from kubeline.data.failures import reading
from kubeline.errors import UserError, listed
from kubeline.progress import Progress

_NAIVE = ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "DATE")
_ZONED = ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ_NS")
_FINE = ("TIMESTAMP_NS", "TIMESTAMPTZ_NS")  # the others are of microseconds at most
_FAMILIES = {"string": "text", "boolean": "boolean", "integer": "number", "number": "number", "datetime": "time"}
# In a query of features, the window of times in which rows may find some.
SINCE, UNTIL = "{since}", "{until}"
_DAY = 86_400_000_000_000  # nanoseconds
_NEVER = -(1 << 100)  # of a feature that does not say when it was created


@dataclass(frozen=True)
class FeatureTable:
    """A table of features, and how a row finds its own.

    Attributes:
        source: where it is, as `load` has it.
        keys: columns of the rows to those of this table that are equal to them; empty: every row has the same features.
        time: the column that says when a feature came to be true.
        created: the column that says when it was written, which decides between equal times; empty for none.
        max_age: how old a feature may be at the time of a row; None for any age.
        delay: how long after its time a feature is known.
        by_created: whether a feature counts only from when it was created.
        zone: what zone times without one are in, of the rows and here; empty where no more is known than both say.
        columns: the features; empty for all columns but those above.
        rename: their names in the table of rows.
        prefix: stands in front of those that are not renamed.
        query: of a database, in which `SINCE` and `UNTIL` stand for the times that rows may find features of.
        file_format: as `load` has it.
        types: of columns, where inference is not wanted.
        name: of a feature view; empty elsewhere.
        version: of a feature view, for the metadata.
    """

    source: str
    keys: Mapping[str, str]
    time: str
    created: str = ""
    max_age: timedelta | None = None
    delay: timedelta = timedelta(0)
    by_created: bool = False
    zone: str = ""
    columns: Sequence[str] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    prefix: str = ""
    query: str = ""
    file_format: str = "auto"
    types: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    version: str = ""

    @property
    def shown(self) -> str:
        """What messages call it."""
        return self.name or redact(self.source)

    @property
    def own(self) -> list[str]:
        """The columns by which it is joined."""
        return list(dict.fromkeys([*self.keys.values(), self.time, *([self.created] if self.created else [])]))

    def features(self, names: Sequence[str]) -> dict[str, str]:
        """Of the columns of this table, those that are features, to their names in the table of rows."""
        chosen = self.columns or [name for name in names if name not in self.own]
        return {name: self.rename.get(name, self.prefix + name) for name in chosen}


@dataclass(frozen=True)
class Match:
    """What became of one table of features.

    Attributes:
        rows: to which features were joined.
        found: those that found some.
        oldest: the greatest age of a feature at the time of its row; None where none was found.
        later: rows whose features were created after the row's own time.
        several: rows that found several features of one time, of which the last was taken.
        timeless: rows that have no time.
        by_day: whether the times here are days, and those of the rows have hours.
    """

    rows: int
    found: int
    oldest: timedelta | None
    later: int
    several: int
    timeless: int
    by_day: bool

    def warnings(self, table: FeatureTable, time: str) -> list[str]:
        """What a user should know."""
        what = f"features of '{table.shown}'"
        found = []
        if self.timeless:
            found.append(f"{self.timeless:,} of {self.rows:,} rows have no '{time}', and so no {what}")
        if not self.found:
            found.append(f"no row found {what}; check that its keys and times are those of the rows")
        if self.later and not table.by_created:
            found.append(
                f"{self.later:,} of {self.found:,} rows have {what} that were created after the row's own '{time}' "
                f"(by '{table.created}'); by_created takes those that were there by then"
            )
        if self.several:
            found.append(
                f"{self.several:,} rows found several {what} of one time, of which the last was taken; name the column "
                "`created` that decides between them"
            )
        if self.by_day and not table.delay:
            found.append(
                f"the times of {what} are days, which count as known from their first moment on; where they sum up "
                'the day, give them a delay of "1d"'
            )
        return found


def join(rows: Path, tables: Sequence[tuple[FeatureTable, Path]], time: str, scratch: Path, into: Path) -> list[Match]:
    """Write the rows, in their order, with the features of each table that were known at their time.

    Args:
        rows: A dataset.
        tables: What to join, and the dataset of each, as :class:`kubeline.data.dataset.DatasetWriter` wrote it.
        time: The column of the rows' times.
        scratch: A folder that holds all, for what does not fit into memory.
        into: The Parquet file to write.

    Raises:
        UserError: when a column is missing or stands twice, when keys are of other kinds, and when it is not clear
            which of two times is the earlier one.
    """
    check_columns(open_dataset(rows).schema.names, [(each, open_dataset(at).schema.names) for each, at in tables], time)
    connection = connect(scratch)
    left = _Side(connection, rows)
    found, values = [], []
    with Progress("joining features", total=len(tables), unit="tables") as progress:
        for number, (table, folder) in enumerate(tables):
            values.append(scratch / f"values-{number}.parquet")
            with reading(table.shown):
                found.append(_Joined(connection, left, _Side(connection, folder), table, time).write(values[-1]))
            progress.add(1)
        files = [literal(str(file)) for file in [rows / "*.parquet", *values]]
        parts = " POSITIONAL JOIN ".join(f"read_parquet({file})" for file in files)
        with reading("the rows with their features"):
            connection.execute(f"COPY (SELECT * FROM {parts}) TO {literal(str(into))} (FORMAT parquet)")
    connection.close()
    return found


def check_columns(
    of_rows: Sequence[str] | None, tables: Sequence[tuple[FeatureTable, Sequence[str] | None]], time: str
) -> list[str] | None:
    """Check that what is joined by is there, and that no column stands twice; the columns of the joined table.

    The columns of the rows, and of a table of features, may be unknown: None, as the result then is.

    Raises:
        UserError: names what is missing, or is there twice.
    """
    _require(of_rows, [time], "the table of rows", "time")
    names, is_known = list(of_rows or ()), of_rows is not None
    for table, known in tables:
        _require(of_rows, table.keys, "the table of rows", f"the keys of '{table.shown}'")
        _require(known, [*table.own, *table.columns], f"'{table.shown}'", "features")
        is_known = is_known and (known is not None or bool(table.columns))
        for new in table.features(known or ()).values():
            if twin := next((name for name in names if name.casefold() == new.casefold()), ""):
                raise UserError(
                    f"the feature '{new}' of '{table.shown}' is there twice (beside '{twin}'); give its table a "
                    "prefix (of Feast: full_names), or leave it out by columns"
                )
            names.append(new)
    return names if is_known else None


def check_types(
    table: FeatureTable,
    time: str,
    of_rows: Mapping[str, pa.DataType],
    of_features: Mapping[str, pa.DataType],
    is_text_open: bool,
) -> None:
    """Check, of columns whose types are known, what :func:`join` checks of all: keys of one kind, times that compare.

    Args:
        table: of features.
        time: the column of the rows' times.
        of_rows: columns of the rows to their types.
        of_features: those of the table.
        is_text_open: whether text may be read as something else.

    Raises:
        UserError: names the columns that are not alike.
    """
    for left, right in table.keys.items():
        kinds = [side[name] for side, name in ((of_rows, left), (of_features, right)) if name in side]
        families = {_FAMILIES.get(type_of(kind), "") for kind in kinds}
        if len(families) == 2 and "" not in families and not (is_text_open and "text" in families):
            raise _unlike_keys(table, left, right, str(kinds[0]), str(kinds[1]))
    moments = [("the rows", of_rows.get(time)), (f"'{table.shown}'", of_features.get(table.time))]
    zones = {where: kind.tz for where, kind in moments if kind is not None and pa.types.is_timestamp(kind)}
    naive = [where for where, zone in zones.items() if zone is None]
    if len(zones) == 2 and len(naive) == 1 and not table.zone:
        raise _unclear_zone(naive[0], next(where for where in zones if where not in naive))


def _unlike_keys(table: FeatureTable, left: str, right: str, of_left: str, of_right: str) -> UserError:
    return UserError(
        f"the key '{left}' is {of_left} in the rows, and '{right}' is {of_right} in '{table.shown}'; read both alike "
        "by types"
    )


def _unclear_zone(naive: str, other: str) -> UserError:
    return UserError(
        f"the times of {naive} have no time zone, and those of {other} have one; name the zone of the former as `zone` "
        "of the feature table, such as UTC or America/New_York"
    )


def _require(known: Sequence[str] | None, wanted: Iterable[str], where: str, what: str) -> None:
    for name in wanted:
        if known is not None and name not in known:
            raise UserError(f"{what} names the column '{name}', which is not there; {where} has: {listed(known)}")


class _Side:
    """A dataset of one side of a join: its columns' types, and where each row stands."""

    position = (
        "CAST(regexp_extract(filename, 'part-([0-9]+)[.]parquet$', 1) AS BIGINT) * 1099511627776 + file_row_number"
    )

    def __init__(self, connection: Connection, folder: Path):
        files = literal(str(folder / "*.parquet"))
        self.relation = f"read_parquet({files}, filename = true, file_row_number = true)"
        scan = connection.sql(f"SELECT * FROM read_parquet({files})")
        self.kinds = dict(zip(scan.columns, map(str, scan.types), strict=True))

    def moment(self, column: str, zone: str = "") -> str:
        """SQL of a time in nanoseconds since 1970, UTC."""
        name, kind = identifier(column), self.kinds[column]
        plain = f"CAST({name} AS {'TIMESTAMPTZ' if kind in _ZONED else 'TIMESTAMP'})"
        moment = f"CAST(epoch_us({plain}) AS HUGEINT) * 1000"
        if kind in _FINE:
            moment = f"CAST(epoch_ns({name}) AS HUGEINT)"
        if zone and kind in _NAIVE:
            moment += f" + (epoch_us(timezone({literal(zone)}, {plain})) - epoch_us({plain})) * 1000"
        return moment

    def require_time(self, column: str, where: str) -> None:
        if self.kinds[column] not in (*_NAIVE, *_ZONED):
            raise UserError(
                f"the column '{column}' of {where} holds no times (but {self.kinds[column]}); read it as such by "
                f'types, for example {{"{column}": "time"}} or a format such as %d/%m/%Y %H:%M'
            )


class _Joined:
    """The rows and one table of features."""

    def __init__(self, connection: Connection, rows: _Side, features: _Side, table: FeatureTable, time: str):
        self._connection, self._rows, self._features, self._table, self._time = connection, rows, features, table, time
        rows.require_time(time, "the rows")
        for column in [table.time, *([table.created] if table.created else [])]:
            features.require_time(column, f"'{table.shown}'")
        self._check_zones()
        for left, right in table.keys.items():
            self._check_kinds(left, right)
        self._keys = [f"k{number}" for number in range(len(table.keys))]

    def _check_zones(self) -> None:
        table = f"'{self._table.shown}'"
        sides = {"the rows": self._rows.kinds[self._time], table: self._features.kinds[self._table.time]}
        naive = [where for where, kind in sides.items() if kind in _NAIVE]
        if len(naive) == 1 and not self._table.zone:
            raise _unclear_zone(naive[0], next(where for where in sides if where not in naive))

    def _check_kinds(self, left: str, right: str) -> None:
        kinds = self._rows.kinds[left], self._features.kinds[right]
        if _family(kinds[0]) != _family(kinds[1]):
            raise _unlike_keys(self._table, left, right, *kinds)

    def write(self, into: Path) -> Match:
        """Write the features of each row, in the order of the rows."""
        matched = into.with_suffix(".matched")
        self._copy(self._matched(), matched)
        pairs = f"read_parquet({literal(str(matched))})"
        by_day = self._is_by_day()
        ((rows, found, oldest, later, several, timeless),) = fetch(
            self._connection,
            "SELECT count(*), count(q), max(age), count(*) FILTER (later), count(*) FILTER (several), "
            f"count(*) FILTER (timeless) FROM {pairs}",
        )
        names = self._table.features([*self._features.kinds])
        taken = ", ".join(f"f.{identifier(old)} AS {identifier(new)}" for old, new in names.items())
        read = ", ".join(map(identifier, names))
        self._copy(
            f"SELECT {taken} FROM {pairs} AS m LEFT JOIN (SELECT {read}, {_Side.position} AS p "
            f"FROM {self._features.relation}) AS f ON m.q = f.p ORDER BY m.p",
            into,
        )
        age = None if oldest is None else timedelta(microseconds=oldest)
        return Match(rows, found, age, later, several, timeless, by_day)

    def _copy(self, query: str, into: Path) -> None:
        self._connection.execute(f"COPY ({query}) TO {literal(str(into))} (FORMAT parquet)")

    def _matched(self) -> str:
        """For each row (`p`) the place (`q`) of the feature that it found, and what is to be said of that."""
        zone, most = self._table.zone, self._table.max_age
        left = "".join(f"{identifier(name)} AS {key}, " for name, key in zip(self._table.keys, self._keys, strict=True))
        moment = self._rows.moment(self._time, zone)
        rows = f"SELECT {left}{moment} AS moment, {_Side.position} AS p FROM {self._rows.relation}"
        on = "".join(f"r.{key} = w.{key} AND " for key in self._keys)
        young = f"r.moment - w.best.t <= {_nanoseconds(most)}" if most is not None else "true"
        pairs = (
            f"SELECT r.p, r.moment, w.best.t AS t, w.best.c AS c, w.n, CASE WHEN {young} THEN w.best.p END AS q "
            f"FROM ({rows}) AS r ASOF LEFT JOIN ({self._known()}) AS w ON {on}r.moment >= w.v"
        )
        # what is of 128 bits does not go to the file as it is
        return (
            "SELECT p, q, CASE WHEN q IS NOT NULL THEN CAST((moment - t) // 1000 AS BIGINT) END AS age, "
            "moment IS NULL AS timeless, q IS NOT NULL AND c > moment AS later, q IS NOT NULL AND n > 1 AS several "
            f"FROM ({pairs})"
        )

    def _known(self) -> str:
        """For each moment `v` at which something became known of a key, the best of what is known from then on.

        Of features that count from their own time on, that is the last one of that time. One that is created later
        than a newer one never counts: the best one is a running maximum.
        """
        table, zone = self._table, self._table.zone
        right = "".join(f"{identifier(n)} AS {k}, " for n, k in zip(table.keys.values(), self._keys, strict=True))
        time = self._features.moment(table.time, zone)
        created = self._features.moment(table.created, zone) if table.created else "NULL"
        known = f"{time} + {_nanoseconds(table.delay)}"
        if table.by_created:
            known = f"greatest({known}, {created})"
        every = (
            f"SELECT {right}{known} AS v, {time} AS t, coalesce({created}, {_NEVER}) AS c, {_Side.position} AS p "
            f"FROM {self._features.relation} WHERE {identifier(table.time)} IS NOT NULL"
        )
        best, keys = "max(struct_pack(t := t, c := c, p := p))", "".join(f"{key}, " for key in self._keys)
        if not table.by_created:
            several = "1" if table.created else "count(*)"
            return f"SELECT {keys}v, {best} AS best, {several} AS n FROM ({every}) GROUP BY {keys}v"
        by = f"PARTITION BY {keys.rstrip(', ')} " if keys else ""
        running = f"{best} OVER ({by}ORDER BY v, t, c, p ROWS UNBOUNDED PRECEDING) AS best"
        last = f"row_number() OVER (PARTITION BY {keys}v ORDER BY t DESC, c DESC, p DESC)"
        return f"SELECT {keys}v, best, 1 AS n FROM (SELECT {keys}v, {running}, {last} AS l FROM ({every})) WHERE l = 1"

    def _is_by_day(self) -> bool:
        def with_hours(side: _Side, column: str) -> bool:
            query = f"SELECT count(*) FILTER ({side.moment(column)} % {_DAY} <> 0) FROM {side.relation}"
            return bool(fetch(self._connection, query)[0][0])

        return not with_hours(self._features, self._table.time) and with_hours(self._rows, self._time)


def _nanoseconds(length: timedelta) -> int:
    return length // timedelta(microseconds=1) * 1000


def _family(kind: str) -> str:
    """What a key is, for whether two can be equal: numbers of any width can."""
    if kind in ("VARCHAR", "BOOLEAN", "BLOB") or kind in (*_NAIVE, *_ZONED):
        return "time" if kind in (*_NAIVE, *_ZONED) else kind
    return "number"
