"""What a package says of a table alone, whatever model learned from it; found out while that is fitted."""

import os
import sys
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from kubeline.columns import Kind
from kubeline.model_package.manifest import ManifestRoles
from kubeline.roles import Roles
from kubeline.training.doubles import Doubles

if TYPE_CHECKING:  # loaded on the thread that needs them
    import pandas as pd

    from kubeline.drift.profile import ReferenceColumn
    from kubeline.training.table import TrainingTable

# What a training needs when its model is fitted, and no part of scikit-learn: two threads that import parts of one
# library wait for each other.
_LATER = ("serving_form", "parity", "package_files", "training_report")
_NICE = 10  # a tenth of the time of a core that another thread wants as well


@dataclass(frozen=True)
class TableFacts:
    """Of all rows of the table, those held out included.

    Attributes:
        columns: the profile of each column that the model reads.
        labels: the profile of the target.
        sample: some rows as the bins of their values.
        clusters: how many groups or days the rows are of, where a column says so.
        training_rows: the content of ``training_rows.parquet``.
    """

    columns: "dict[str, ReferenceColumn]"
    labels: "ReferenceColumn"
    sample: dict[str, Any]
    clusters: int | None
    training_rows: bytes

    @classmethod
    def of(cls, table: "TrainingTable", kinds: Mapping[str, Kind], roles: Roles) -> Self:
        """Of a table, the kinds of the columns that a model reads, and the roles of its columns."""
        doubles = Doubles(len(table.y))
        # one after the other: a frame of all would take as much as the table
        columns = {name: _profile(table, name, kind, doubles) for name, kind in kinds.items()}
        del doubles
        return cls(
            columns, _labels(table), _sample(table, columns, roles), _clusters(table, roles), _rows(table, kinds, roles)
        )


class Background:
    """A thread that finds out about a table, once for all candidates, and loads what is needed after the fit."""

    def __init__(self, roles: Roles):
        self._roles = roles
        self._workers = ThreadPoolExecutor(1)
        self._begun: dict[tuple[str, ...], Future[TableFacts]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._workers.shutdown(cancel_futures=True)

    def begin(self, table: "TrainingTable", kinds: Mapping[str, Kind]) -> None:
        """Begin to find out what :meth:`facts` returns."""
        if not self._begun:
            self._workers.submit(_load)
            self._workers.submit(_give_way)
        if tuple(kinds) not in self._begun:
            self._begun[tuple(kinds)] = self._workers.submit(TableFacts.of, table, dict(kinds), self._roles)

    def facts(self, table: "TrainingTable", kinds: Mapping[str, Kind]) -> TableFacts:
        """What is known of the table, of which all candidates have the same rows."""
        self.begin(table, kinds)
        return self._begun[tuple(kinds)].result()


def _load() -> None:
    for name in _LATER:
        import_module(f"kubeline.training.{name}")


def _give_way() -> None:
    """Take the time that the fit leaves: its threads wait for each other, and so for one that shares its core."""
    if sys.platform == "linux":  # elsewhere a thread has no priority of its own
        os.nice(_NICE)


def _frame(table: "TrainingTable", name: str) -> "pd.DataFrame":
    from kubeline.data.dataset import to_frame

    return to_frame(table.raw.select([name]))


def _profile(table: "TrainingTable", name: str, kind: Kind, doubles: Doubles) -> "ReferenceColumn":
    from kubeline.drift import profile
    from kubeline.drift.values import counted
    from kubeline.training.categories import Categories

    if kind == "number" and (values := doubles.read(table.raw.column(name))) is not None:
        return profile.sorted_in_place(values)
    if kind == "category" and isinstance(coded := table.encoded.columns[name], Categories):
        return profile.category_profile(kind, *counted(coded.texts, coded.counts().tolist(), len(table.y)))
    return profile.column(_frame(table, name)[name], kind)


def _sample(table: "TrainingTable", columns: "Mapping[str, ReferenceColumn]", roles: Roles) -> dict[str, Any]:
    """Some rows as the bins of their values."""
    from kubeline.data.dataset import to_frame
    from kubeline.drift.coded_rows import CodedRows, sampled, size_of

    column = roles.group or roles.time
    together = CodedRows.of(_frame(table, column), {}, column).together if column else None
    places = sampled(
        table.hashes.values, together, size_of(sum(known.kind != "datetime" for known in columns.values()))
    )
    frame = to_frame(table.raw.select([*columns, *([column] if column else [])]).take(places))
    return CodedRows.of(frame, columns, column).kept().model_dump(mode="json")


def _labels(table: "TrainingTable") -> "ReferenceColumn":
    import pandas as pd

    from kubeline.drift.profile import column

    if table.classes is None:
        return column(pd.Series(table.y), "number")
    return column(pd.Series(pd.Categorical.from_codes(table.y, table.classes)), "category")


def _clusters(table: "TrainingTable", roles: Roles) -> int | None:
    """How many groups or days the rows are of, where a column says so."""
    from kubeline.evaluation.rows import clusters_of

    column = roles.group or roles.time
    if not column:
        return None
    return clusters_of(_frame(table, column), manifest_roles(roles), asked=True).number


def manifest_roles(roles: Roles) -> ManifestRoles:
    """As the manifest of a package has them."""
    return ManifestRoles(
        weight=roles.weight,
        group=roles.group,
        time=roles.time,
        exclude=sorted(set(roles.exclude)),
        personal=sorted(set(roles.personal)),
    )


def _rows(table: "TrainingTable", kinds: Mapping[str, Kind], roles: Roles) -> bytes:
    """All rows of the table: those held out have chosen the model, so it is not judged on them either."""
    from kubeline.model_package.training_rows import TrainingRows

    group = roles.group or (roles.split_column if roles.split_by == "group" else "")
    return TrainingRows.of(table.raw, [*kinds, roles.target], group, table.hashes.values).to_bytes()
