"""A row as the bins of its values, which the reference defines: what a window and its reference are both written in."""

import numpy as np
import pandas as pd

from kubeline.drift.profile import CategoryProfile, NumberProfile, ReferenceColumn
from kubeline.drift.values import numbers, text
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
        """(n,) the bin of each row."""
        if isinstance(self._profile, NumberProfile):
            values = numbers(column, self._profile.kind)
            place = np.searchsorted(self._profile.edges, values)
            return np.where(np.isnan(values), self.number - 1, place)
        words = text(column, self._profile.kind)
        place = self._names.get_indexer(words)
        return np.where(words.isna(), self.number - 1, np.where(place < 0, len(self._names), place))


def belonging(values: pd.Series) -> pd.Series:
    """What rows that belong together have in common: the day of a time, and any other value itself."""
    return values.dt.floor("D") if pd.api.types.is_datetime64_any_dtype(values) else values
