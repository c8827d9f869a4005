"""A row as the bins of its values, which the reference defines: what a window and its reference are both written in."""

import numpy as np
import pandas as pd

from kubeline.drift.profile import CategoryProfile, NumberProfile, ReferenceColumn
from kubeline.drift.values import coded, numbers
from kubeline.typing import Array

TOP = 20  # categories with a bin of their own


class Bins:
    """The bins of a column, which are known before its rows.

    Attributes:
        number: How many there are; the last one is for missing values.
    """

    def __init__(self, profile: ReferenceColumn) -> None:
        self._profile = profile
        if isinstance(profile, CategoryProfile):
            ranked = sorted(profile.counts.items(), key=lambda item: (-item[1], item[0]))
            self._names = pd.Index([name for name, _ in ranked[:TOP]], dtype=object)
            self.number = len(self._names) + 2  # the rest, and missing
        else:
            self.number = len(profile.edges) + 2

    def of(self, column: pd.Series) -> Array:
        """(n,) the bin of each row, integers."""
        if isinstance(self._profile, NumberProfile):
            values = numbers(column, self._profile.kind)
            place: Array = np.zeros(len(values), dtype=np.uint8 if self.number <= 2**8 else np.int64)
            above = np.empty(len(values), dtype=bool)
            for edge in self._profile.edges:  # of so few, ten times as fast as searchsorted
                np.greater(values, edge, out=above)
                place += above.view(np.uint8)
            place[np.isnan(values)] = self.number - 1
            return place
        codes, names = coded(column, self._profile.kind)
        known = self._names.get_indexer(pd.Index(names, dtype=object))
        of_name = np.where(known < 0, len(self._names), known)
        missing = [not name for name in names]
        of_code = np.append(np.where(missing, self.number - 1, of_name), self.number - 1)  # the last is of code -1
        return np.asarray(of_code[codes], dtype=np.int64)


def belonging(values: pd.Series) -> pd.Series:
    """What rows that belong together have in common: the day of a time, and any other value itself."""
    return values.dt.floor("D") if pd.api.types.is_datetime64_any_dtype(values) else values
