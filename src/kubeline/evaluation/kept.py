"""Numbers of rows that stay in temporary files: of any number of rows, some are in memory at a time."""

import ctypes
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, Self

import numpy as np
import pyarrow as pa
from numpy.lib.mixins import NDArrayOperatorsMixin

from kubeline.errors import PlatformError
from kubeline.typing import Array

PIECE_ROWS = 1 << 17  # of which numbers are in memory at a time
_M_MMAP_THRESHOLD = -3  # of malloc.h
WHOLE_ROWS = 1 << 20  # up to which rows are drawn out of one permutation, and beyond it by strata


def pieces(rows: int, width: int = 1, start: int = 0) -> Iterator[slice]:
    """All rows in order, so many at a time that what is computed of them takes little memory; one piece at least.

    Args:
        rows: Where they end.
        width: How many numbers each row has.
        start: Where they begin.
    """
    step = max(1, PIECE_ROWS // max(width // 8, 1))
    for first in range(start, max(rows, start + 1), step):
        yield slice(first, min(first + step, rows))


def sample_rows(rows: int, most: int, rng: np.random.Generator) -> Array:
    """At most so many of the rows, at random and in their order; of very many, one of each stretch of equal length."""
    if rows <= WHOLE_ROWS:
        return np.sort(rng.permutation(rows)[:most])
    if rows <= most:
        return np.arange(rows)
    ends = np.arange(most + 1) * rows // most
    return ends[:-1] + (rng.random(most) * np.diff(ends)).astype(np.int64)


def keep_little() -> None:
    """Let the GNU C library give back every block of a MiB and more at once.

    By itself it learns from the blocks that are freed, up to 32 MiB, and from then on keeps holes of that size.
    """
    if hasattr(ctypes.CDLL(None), "mallopt"):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 1 << 20)


def release() -> None:
    """Give back the memory that Arrow and the GNU C library keep of what has been read, for what is read next."""
    pa.default_memory_pool().release_unused()
    if hasattr(ctypes.CDLL(None), "malloc_trim"):
        ctypes.CDLL(None).malloc_trim(0)


class Numbers(Protocol):
    """(n,) or (n, m) numbers, of which the rows of a slice are had at a time: an array, or what reads or makes them."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> Array: ...


class _Rows(NDArrayOperatorsMixin):
    """What is used like an array: as a whole it is read into one."""

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, rows: Any) -> Array:
        """The rows of a slice, a mask or row numbers as an array, or that of one number."""
        if isinstance(rows, slice):
            start, stop, _ = rows.indices(len(self))
            return self._some(slice(start, max(start, stop)))
        if isinstance(rows, int | np.integer):
            one: Array = self[rows : rows + 1][0]
            return one
        wanted = np.asarray(rows)
        if wanted.dtype == bool:
            return np.concatenate([self[some][wanted[some]] for some in pieces(len(self))])
        none = self[:0]
        found = np.empty((len(wanted), *none.shape[1:]), none.dtype)
        for some in pieces(len(self)):
            inside = (some.start <= wanted) & (wanted < some.stop)
            if inside.any():
                found[inside] = self[some][wanted[inside] - some.start]
        return found

    def _some(self, rows: slice) -> Array:
        raise NotImplementedError

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(self[:], dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **settings: Any) -> Any:
        return getattr(ufunc, method)(
            *(np.asarray(one) if isinstance(one, _Rows) else one for one in inputs), **settings
        )


class Kept(_Rows):
    """Numbers in a temporary file of their own, which is gone when nobody has them any more."""

    def __init__(self) -> None:
        self.file = tempfile.TemporaryFile(prefix="kubeline-", buffering=0)  # noqa: SIM115
        self._rows, self._none = 0, np.empty(0)

    @classmethod
    def of(cls, parts: Iterable[Array]) -> Self:
        """The rows of some parts in their order, which are of one type and width; one part at least."""
        kept = cls()
        for part in parts:
            kept.add(part)
        return kept

    def add(self, part: Array) -> None:
        """Some rows more.

        Raises:
            PlatformError: when the disk is full.
        """
        self._none = part[:0]
        left = memoryview(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
        try:
            while left:
                left = left[self.file.write(left) :]
        except OSError as error:
            raise PlatformError(
                f"the folder of temporary files, {tempfile.gettempdir()}, does not take what is kept of the test rows "
                f"({error.strerror}); give the step more disk, or set TMPDIR to a folder on a larger one"
            ) from error
        self._rows += len(part)

    def __len__(self) -> int:
        return self._rows

    def _some(self, rows: slice) -> Array:
        found = np.empty((rows.stop - rows.start, *self._none.shape[1:]), self._none.dtype)
        if found.size:
            each = found.nbytes // len(found)
            left, place = memoryview(found.reshape(-1).view(np.uint8).data), rows.start * each
            while left:
                read = os.preadv(self.file.fileno(), [left], place)
                left, place = left[read:], place + read
        return found


class Computed(_Rows):
    """Numbers that are computed when they are asked for, of some rows at a time."""

    def __init__(self, rows: int, make: Callable[[slice], Array]):
        self._rows, self._make = rows, make

    def __len__(self) -> int:
        return self._rows

    def _some(self, rows: slice) -> Array:
        return self._make(rows)
