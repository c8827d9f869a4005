"""New and vanished categories, and missing values: of interest even where the effect of the column is small."""

import math
from collections.abc import Iterator, Mapping, Sequence

from kubeline.drift.compare import Counter
from kubeline.drift.profile import CategoryProfile
from kubeline.drift.result import ColumnDrift, DriftRule, Notable
from kubeline.drift.statistics import CLEAR_ROWS, MIN_EXPECTED
from kubeline.drift.window import CategoryCounter
from kubeline.errors import listed

MIN_SHARE = 0.01  # by which the share of missing values has changed


def findings(counters: Mapping[str, Counter], columns: Sequence[ColumnDrift], rule: DriftRule) -> list[Notable]:
    """What stands out, in the order of the columns; no part of the verdict.

    Args:
        counters: The window's counts.
        columns: How each column compares.
        rule: Samples with fewer rows than it asks for show nothing.
    """
    known = [one for one in columns if min(one.reference.rows, one.current.rows) >= rule.min_rows]
    return [found for one in known for found in _of(one, counters[one.name])]


def _of(column: ColumnDrift, counter: Counter) -> Iterator[Notable]:
    if column.unseen and column.unseen.rows >= MIN_EXPECTED and column.unseen.certain:
        shown = listed(list(column.unseen.most_frequent), limit=5)
        share = column.unseen.rows / column.current.rows
        text = f"{share:.2%} of its rows hold categories that the reference does not have: {shown}"
        if share > _share_of_singles(counter):
            yield Notable(kind="new_categories", column=column.name, text=text)
    if isinstance(counter, CategoryCounter) and (gone := _vanished(counter, column.current.rows)):
        text = f"no row holds {listed([f'{name} ({share:.1%})' for name, share in gone.items()], limit=5)} any more"
        yield Notable(kind="vanished_categories", column=column.name, text=text)
    before, now = column.reference.missing_share, column.current.missing_share
    error = math.sqrt(before * (1 - before) / column.reference.rows + now * (1 - now) / column.current.rows)
    if abs(now - before) >= max(MIN_SHARE, 4 * error):
        text = f"{now:.1%} of its values are missing, where {before:.1%} were"
        yield Notable(kind="missing", column=column.name, text=text)


def _share_of_singles(counter: Counter) -> float:
    """What of new categories is to be expected of a column whose categories never end (Good 1953), and its error."""
    assert isinstance(counter.profile, CategoryProfile)  # noqa: S101 (of a column with unseen categories)
    once = sum(count == 1 for count in counter.profile.counts.values()) / max(counter.profile.rows, 1)
    return once + 3 * math.sqrt((once + 1 / counter.counts.rows) / counter.counts.rows)


def _vanished(counter: CategoryCounter, rows: int) -> dict[str, float]:
    """Categories of which none is left where many were to be expected, with their share in the reference."""
    profile = counter.profile
    shares = {name: count / profile.rows for name, count in profile.counts.items() if not counter.counts.listed[name]}
    return {name: share for name, share in shares.items() if share * rows >= CLEAR_ROWS}
