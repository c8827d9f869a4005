"""Which test rows judge a model, how much each counts, and which of them belong together.

A row that a model was trained on says nothing about it, and one that only the champion was trained on favours the
champion: both are left out. So is a row of a group (a customer, a device) of which only one of the two saw others.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from kubeline.data.dataset import to_frame
from kubeline.data.stored import StoredTable
from kubeline.errors import UserError, counted, listed
from kubeline.evaluation.answers import Answers
from kubeline.evaluation.kept import PIECE_ROWS, Kept, Numbers, pieces
from kubeline.evaluation.numbering import Numbering, has_keys, keys_of, present
from kubeline.model_package.encoding import encode_column
from kubeline.model_package.manifest import ManifestRoles
from kubeline.roles import check_weights, scaled_weights
from kubeline.typing import Array

FEW_CLUSTERS = 10  # with fewer, their spread cannot be estimated
_ALONE = "every row is taken as independent of the others"


@dataclass(frozen=True)
class Clusters:
    """Rows that belong together.

    Attributes:
        codes: (rows judged,) from 0, or None where every row stands for itself.
        number: How many clusters, or rows, there are.
        assumed: What the intervals assume, as a sentence.
        asked: Whether the user named the column, so that too few clusters are an outcome of their own.
    """

    codes: Numbers | None
    number: int
    assumed: str
    asked: bool = False

    @property
    def few(self) -> bool:
        """Whether they are too few for an interval."""
        return self.codes is not None and self.number < FEW_CLUSTERS


@dataclass(frozen=True)
class JudgedRows:
    """The rows of the test table that judge a model.

    Attributes:
        judged: (n,) True for them.
        weights: (rows judged,) above 0, or None when all count the same.
        clusters: Which of them belong together.
        left_out: Why rows are not judged, with their number.
        unfair: Why the champion cannot be compared on them, or an empty string.
    """

    judged: Numbers
    weights: Numbers | None
    clusters: Clusters
    left_out: dict[str, int]
    unfair: str = ""


def merge(asked: ManifestRoles, package: ManifestRoles, test: Mapping[str, Any]) -> tuple[ManifestRoles, bool]:
    """The roles of the test table's columns: as asked for, else as in training, else as the table was split.

    Returns:
        The roles, and whether their group or time was named by the user rather than taken from the split.
    """
    if asked.group and asked.time:
        raise UserError(
            f"group_column '{asked.group}' and time_column '{asked.time}' say two things about which rows belong "
            "together; give one of them"
        )
    weight = asked.weight or package.weight
    for roles in (asked, package):
        if roles.group or roles.time:
            return roles.model_copy(update={"weight": weight}), True
    column, by = str(test.get("split_column", "")), test.get("split_by")
    found = {"group": ManifestRoles(group=column), "time": ManifestRoles(time=column)}.get(str(by), ManifestRoles())
    return found.model_copy(update={"weight": weight}), False


def weights_of(test: pd.DataFrame, column: str) -> Array | None:
    """(n,) the weights of all rows, or None without a column.

    Raises:
        UserError: when there is no such column, or a weight is missing, negative or infinite.
    """
    if not column:
        return None
    _require(test, column, "weight")
    weights = encode_column(test[column], "number", np.float64)
    check_weights(weights, column)
    return scaled_weights(weights)


def stored_weights(test: StoredTable, column: str) -> Kept | None:
    """The same of a stored table, some rows at a time."""
    if not column:
        return None
    _require(test, column, "weight")
    batches = test.batches([column], PIECE_ROWS)
    given = Kept.of(encode_column(to_frame(batch)[column], "number", np.float64) for batch in batches)
    if not all((given[some] >= 0).all() for some in pieces(len(given))):
        check_weights(np.asarray(given), column)
    largest = max(given[some].max() for some in pieces(len(given)))
    return Kept.of(scaled_weights(np.append(given[some], largest))[:-1] for some in pieces(len(given)))


def choose_rows(
    test: StoredTable,
    labelled: Numbers,
    model: Answers,
    champion: Answers | None,
    roles: ManifestRoles,
    *,
    asked: bool,
    min_rows: int,
) -> JudgedRows:
    """The rows with a label and a weight that no model to be judged on them was trained on.

    Args:
        test: All rows.
        labelled: (n,) True for the rows whose target is known.
        model: The model to be judged.
        champion: What it is compared with, or None.
        roles: Of the table's columns.
        asked: Whether the user named the group or time column.
        min_rows: When fewer rows are left that neither saw, the champion is not compared, and the model is judged on
            all that it did not see itself.

    Raises:
        UserError: when a column of the roles is missing or not fit, or no row is left.
    """
    rows, weights = len(test), stored_weights(test, roles.weight)
    judged: Numbers
    weighty = labelled if weights is None else _where(rows, lambda some: labelled[some] & (weights[some] > 0))
    judged = _where(rows, lambda some: weighty[some] & ~model.seen[some])
    left_out = {
        "no label": rows - _count(labelled),
        f"weight 0 in '{roles.weight}'": _count(labelled) - _count(weighty),
        "the model was trained on them": _count(weighty) - _count(judged),
    }
    if not _count(judged):
        raise UserError(
            f"the model was trained on all {_count(weighty):,} labelled test rows with a weight above 0, so none "
            "can judge it; give rows that train did not have"
            if _count(weighty)
            else f"weight column '{roles.weight}' is 0 in every labelled test row; at least one row must count"
        )
    unfair = ""
    if champion is not None and champion.package.digest != model.package.digest:
        fair, excluded, unfair = _fair(judged, model, champion, roles, min_rows)
        unfair = unfair or _too_few_left(stored_clusters(test, fair, roles, asked=asked), roles, excluded)
        if not unfair:
            judged, left_out = fair, left_out | excluded
    kept = None if weights is None else Kept.of(weights[some][judged[some]] for some in pieces(rows))
    clusters = stored_clusters(test, judged, roles, asked=asked)
    return JudgedRows(judged, kept, clusters, {why: n for why, n in left_out.items() if n}, unfair)


def _where(rows: int, holds: Callable[[slice], Array]) -> Kept:
    """(rows,) True where something holds."""
    return Kept.of(map(holds, pieces(rows)))


def _count(where: Numbers) -> int:
    return sum(int(np.count_nonzero(where[some])) for some in pieces(len(where)))


def positions_of(judged: Numbers, places: Array | Sequence[int]) -> Array:
    """Rows of the table that stand at these rising places among those judged."""
    found, before, wanted = [], 0, np.asarray(places, dtype=np.int64)
    for rows in pieces(len(judged)):
        inside = np.flatnonzero(judged[rows])
        here = wanted[(before <= wanted) & (wanted < before + len(inside))] - before
        found.append(rows.start + inside[here])
        before += len(inside)
    return np.concatenate(found)


def require_roles(test: StoredTable, roles: ManifestRoles) -> None:
    """Raise a :class:`UserError` where the table has no column of a role that judging needs."""
    if roles.weight:
        _require(test, roles.weight, "weight")
    if column := roles.group or roles.time:
        _require(test, column, "group" if roles.group else "time")


def _fair(
    judged: Numbers, model: Answers, champion: Answers, roles: ManifestRoles, min_rows: int
) -> tuple[Numbers, dict[str, int], str]:
    """The rows of `judged` that favour neither, how many are left out for what, and why that is impossible."""
    if model.package.manifest.dataset_fingerprint == champion.package.manifest.dataset_fingerprint:
        return judged, {}, ""  # both were trained on one table
    of_one = _groups_of_one(model, champion)
    new = _where(len(judged), lambda some: judged[some] & ~champion.seen[some])
    fair = _where(len(judged), lambda some: new[some] & ~of_one(some))
    seen, related = _count(judged) - _count(new), _count(new) - _count(fair)
    if _count(fair) < min_rows and (seen or related):
        grouped = f", and {related:,} more are of groups that only one saw" if related else ""
        why = (
            f"the champion was trained on {seen:,} of the {_count(judged):,} test rows{grouped}; the "
            f"{_count(fair):,} rows that favour neither are fewer than the {min_rows:,} of min_rows, so the two "
            "cannot be compared: split with the champion's seed and column, or give newer rows"
        )
        return judged, {}, why
    excluded = {"the champion was trained on them": seen}
    return fair, excluded | {f"only one of the two saw their '{roles.group}'": related}, ""


def _too_few_left(clusters: Clusters, roles: ManifestRoles, left_out: Mapping[str, int]) -> str:
    """Why the rows that favour neither cannot show how their groups or days differ; empty where they can."""
    if clusters.codes is None or not clusters.few or not sum(left_out.values()):
        return ""
    return (
        f"{sum(left_out.values()):,} test rows favour one of the two, and the others are of "
        f"{counted(clusters.number, 'value')} of '{roles.group or roles.time}', too few for an interval, so "
        "the two cannot be compared: split with the champion's seed and column, or give newer rows"
    )


def _groups_of_one(model: Answers, champion: Answers) -> Callable[[slice], Array]:
    """Of some rows, True for those of groups that one of the two models was trained on and the other was not."""
    none = np.broadcast_to(np.False_, len(model.predictions.values))
    mine, theirs = (none if one.seen_groups is None else one.seen_groups for one in (model, champion))
    return lambda some: np.asarray(mine[some] != theirs[some])


def stored_clusters(test: StoredTable, judged: Numbers, roles: ManifestRoles, *, asked: bool) -> Clusters:
    """As :func:`clusters_of`, of the rows of a stored table that judge a model."""
    column, by_day = roles.group or roles.time, not roles.group
    if not column:
        return clusters_of(pd.DataFrame(index=range(_count(judged))), roles, asked=asked)
    _require(test, column, "group" if roles.group else "time")
    kind = test.type_of(column)
    if not has_keys(kind, by_day=by_day):  # text as times, lists
        return _kept(clusters_of(test[[column]][np.asarray(judged)], roles, asked=asked))
    numbering, missing, start = Numbering(), 0, 0
    codes = Kept()
    for batch in test.batches([column], PIECE_ROWS):
        values = batch.column(0).filter(pa.array(judged[start : start + len(batch)]))
        start += len(batch)
        there = present(values)
        missing += len(values) - len(there)
        codes.add(numbering.of(keys_of(there, by_day=by_day)))
    _require_all("group" if roles.group else "time", column, missing)
    is_dated = by_day and not (pa.types.is_integer(kind) or pa.types.is_floating(kind))
    return _clusters(codes, len(numbering), roles, dated=is_dated, asked=asked)


def _kept(found: Clusters) -> Clusters:
    """The same, with the codes in a file."""
    codes = found.codes
    if codes is None:
        return found
    return replace(found, codes=Kept.of(codes[some].astype(np.int32) for some in pieces(len(codes))))


def clusters_of(rows: pd.DataFrame, roles: ManifestRoles, *, asked: bool) -> Clusters:
    """Which rows belong together.

    Args:
        rows: Those that judge a model.
        roles: Of their columns.
        asked: Whether the user named the group or time column.

    Raises:
        UserError: when that column is missing, or has no value in a row.
    """
    if roles.group:
        codes, number = _codes(rows, roles.group, "group", rows.get(roles.group))
        return _clusters(codes, number, roles, dated=False, asked=asked)
    if not roles.time:
        return Clusters(None, len(rows), _ALONE)
    _require(rows, roles.time, "time")
    values = rows[roles.time]
    dated = not pd.api.types.is_numeric_dtype(values)
    codes, number = _codes(rows, roles.time, "time", _days(values) if dated else values)
    return _clusters(codes, number, roles, dated=dated, asked=asked)


def _days(values: pd.Series) -> pd.Series:
    """The UTC day of each instant; the error of pandas would show a value."""
    try:
        return pd.to_datetime(values, utc=True).dt.floor("D")
    except (TypeError, ValueError):
        raise UserError(
            f"time column '{values.name}' holds text or values that are no times; expected timestamps, dates, numbers "
            "or ISO 8601 such as 2013-10-01, so convert it, or give it as group_column"
        ) from None


def _clusters(codes: Numbers, number: int, roles: ManifestRoles, *, dated: bool, asked: bool) -> Clusters:
    """So many groups or days, or every row alone, with what is assumed of them."""
    if roles.group:
        said = f"rows with the same '{roles.group}' belong together; different ones are independent"
        return Clusters(codes, number, said, asked=True)
    unit = "day" if dated else "value"
    if number < FEW_CLUSTERS and not asked:
        said = f"of only {number} {unit}s of '{roles.time}', the intervals do not show how {unit}s differ"
        return Clusters(None, len(codes), f"{_ALONE}; {said}")
    said = f"rows of the same {unit} of '{roles.time}' belong together; different {unit}s are independent"
    return Clusters(codes, number, said, asked)


def _codes(rows: pd.DataFrame, column: str, role: str, values: pd.Series | None) -> tuple[Array, int]:
    _require(rows, column, role)
    codes, found = pd.factorize(values)
    _require_all(role, column, int((codes < 0).sum()))
    return codes.astype(np.int64), len(found)


def _require_all(role: str, column: str, missing: int) -> None:
    if missing:
        raise UserError(f"{role} column '{column}' is missing in {counted(missing, 'test row')}; fill or remove them")


def _require(test: StoredTable | pd.DataFrame, column: str, role: str) -> None:
    if column not in test.columns:
        raise UserError(
            f"{role} column '{column}' is not a column of the test table; keep it there, or name another with "
            f"{role}_column; it has: {listed(test.columns)}"
        )
