"""Some rows of the reference as the bins of their values, kept in its profile: what columns have to do with each other.

The profile counts each column alone. These rows hold no value, only which tenth of the column it lies in, or which of
its frequent categories it is.
"""

import base64
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from kubeline.drift.bins import Bins, belonging
from kubeline.drift.profile import KeptRows, ReferenceColumn
from kubeline.typing import Array

ROWS = 10_000  # of each sample, at most
CELLS = 1_000_000  # of a wide table, fewer rows
_CACHED = 32_768  # rows
_LEADING = 20  # bits of a number by which most rows that are not looked for are left out


@dataclass(frozen=True)
class CodedRows:
    """Rows as bins.

    Attributes:
        columns: Their names.
        codes: (n, columns) the bin of each value.
        together: (n,) rows that belong together have the same number; None where every row stands for itself.
    """

    columns: list[str]
    codes: Array
    together: Array | None

    def __len__(self) -> int:
        return len(self.codes)

    @classmethod
    def of(cls, frame: pd.DataFrame, profiles: Mapping[str, ReferenceColumn], together: str = "") -> Self:
        """All rows of a table, in the bins of the reference; times have none.

        Args:
            frame: The rows.
            profiles: Of the columns.
            together: The column that says which rows belong together; empty for none.
        """
        names = [name for name, profile in profiles.items() if profile.kind != "datetime"]
        codes = np.zeros((len(frame), len(names)), dtype=np.uint8)
        for place, name in enumerate(names):
            codes[:, place] = Bins(profiles[name]).of(frame[name])
        return cls(names, codes, _numbered(frame[together]) if together else None)

    def sample(self) -> Self:
        """As many as are kept, see :func:`sampled`."""
        places = sampled(self._mixed(), self.together, size_of(len(self.columns)))
        together = None if self.together is None else self.together[places]
        return type(self)(self.columns, self.codes[places], together)

    def only(self, names: list[str]) -> Self:
        """These columns, in their order."""
        places = [self.columns.index(name) for name in names]
        return type(self)(names, self.codes[:, places], self.together)

    def kept(self) -> KeptRows:
        """As the profile keeps them."""
        together = None if self.together is None else _packed(self.together.astype("<u4"))
        return KeptRows(columns=self.columns, rows=len(self), codes=_packed(self.codes), together=together)

    @classmethod
    def read(cls, kept: KeptRows) -> Self:
        """What :meth:`kept` returned."""
        codes = np.frombuffer(_unpacked(kept.codes), np.uint8).reshape(kept.rows, len(kept.columns))
        together = None if kept.together is None else np.frombuffer(_unpacked(kept.together), "<u4").astype(np.int64)
        return cls(kept.columns, codes, together)

    def _mixed(self) -> Array:
        """(n,) a number of each row, from all over the range of 64 bits."""
        rng = np.random.default_rng(0)
        factors = rng.integers(1, 2**63, len(self.columns), dtype=np.uint64) | np.uint64(1)
        mixed = np.zeros(len(self), dtype=np.uint64)
        for start in range(0, len(self), _CACHED):
            some, codes = mixed[start : start + _CACHED], self.codes[start : start + _CACHED]
            for place, factor in enumerate(factors):
                some ^= codes[:, place]
                some *= factor
                some ^= some >> np.uint64(31)
        return mixed


def size_of(columns: int) -> int:
    """Rows that are kept of a table with so many columns."""
    return min(ROWS, CELLS // max(columns, 1))


def sampled(numbers: Array, together: Array | None, size: int) -> Array:
    """Where `size` rows are: the same ones whatever the order of all, and of a group or day as many as it has of all.

    Args:
        numbers: (n,) of each row, from all over the range of 64 bits; rows with the same number are the same.
        together: (n,) rows that belong together have the same number; None where every row stands for itself.
        size: all rows, where there are no more.
    """
    ranks = np.linspace(0, len(numbers), min(size, len(numbers)), endpoint=False).astype(np.int64)
    if together is None:
        return _places(numbers, ranks)
    order: Array = np.lexsort((numbers, together))
    return order[ranks]


def _places(numbers: Array, ranks: Array) -> Array:
    """Where the numbers of these ranks are: a sort of numbers takes a fifth of the time of one of their places."""
    wanted = np.sort(numbers)[ranks]
    leading = np.uint64(64 - _LEADING)
    has = np.zeros(1 << _LEADING, dtype=bool)
    has[wanted >> leading] = True
    likely = np.concatenate(
        [
            start + np.flatnonzero(has[numbers[start : start + _CACHED] >> leading])
            for start in range(0, len(numbers), _CACHED)
        ]
    )
    likely = likely[np.argsort(numbers[likely])]
    found: Array = likely[np.searchsorted(numbers[likely], wanted)]
    return found


def _numbered(values: pd.Series) -> Array:
    """(n,) the same number for the same group or day, also in another table."""
    codes, found = pd.factorize(belonging(values), use_na_sentinel=False)
    names = [one.strftime("%Y-%m-%d") if isinstance(one, pd.Timestamp) else str(one) for one in found]
    numbers: Array = np.array([zlib.crc32(name.encode()) for name in names], dtype=np.int64)
    return np.asarray(numbers[codes], dtype=np.int64)


def _packed(values: Array) -> str:
    return base64.b64encode(zlib.compress(np.ascontiguousarray(values).tobytes(), 9)).decode()


def _unpacked(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))
