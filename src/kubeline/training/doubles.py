"""Columns of numbers as doubles, one after the other in the same memory.

What is given back to the system after each column and taken again for the next is cleared by it each time, which for
millions of rows takes as long as some of the passes over them.
"""

import threading

import numpy as np
import pyarrow as pa
import pyarrow.types as pat

from kubeline.typing import Array


class Doubles(threading.local):
    """Room for the values of one column, of its own for each thread.

    Args:
        rows: of the columns.
    """

    def __init__(self, rows: int):
        self._room = np.empty(rows)

    def read(self, column: pa.ChunkedArray) -> Array | None:
        """(rows,) float64, missing values as NaN, until the next is read; None where they are no numbers of 64 bits."""
        if not (pat.is_integer(column.type) or pat.is_floating(column.type)):
            return None
        place = 0
        for chunk in column.chunks:
            self._room[place : place + len(chunk)] = chunk.to_numpy(zero_copy_only=False)
            place += len(chunk)
        return self._room
