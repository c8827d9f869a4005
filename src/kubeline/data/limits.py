"""How much one source may ask of `load` before someone says that it is meant: small files can stand for huge tables.

Every limit is as large as ``KUBELINE_LOAD_LIMITS`` says: 10 makes each ten times what it is by default.
"""

import os

from kubeline.errors import UserError

SETTING = "KUBELINE_LOAD_LIMITS"
ADVICE = f"if that is meant, set {SETTING}=10, which makes every limit of load ten times as large"

DOWNLOAD = 1 << 38  # bytes that one source may send,
DOWNLOAD_SECONDS = 12 * 3600  # and seconds that it may take for it
LISTING_SECONDS = 120  # that a store may take to list what lies in it; in that time it names a million files
COLUMNS = 10_000  # of one table
FILES = 10_000  # in one archive
UNPACKED = 1 << 30  # bytes that may come out of compressed files, however small they are,
RATIO = 200  # and more when they are no more than so many times as many: tables are packed 3 to 50 times
PAGES = 1 << 30  # bytes of one column in one row group of a Parquet file that is packed more than `RATIO` times
CHUNK = 512 << 20  # bytes of the rows that are held at a time
JSON_LINE = 16 << 20  # bytes of one line of JSON
ROW = 512 << 10  # bytes of text in one row of a typed file, which may hold it once for any number of rows
CSV_LINE = 8 << 20  # bytes of one row of CSV
MEMORY_MB = 512  # of the engine


def scaled(limit: int) -> int:
    """The limit, as many times as large as the setting says.

    Raises:
        UserError: when the setting is no positive number.
    """
    given = os.environ.get(SETTING, "").strip() or "1"
    try:
        factor = float(given)
    except ValueError:
        factor = 0.0
    if not 0 < factor < 1e6:
        raise UserError(f"{SETTING} is '{given}'; expected a number above 0, such as 10 for limits ten times as large")
    return max(1, int(limit * factor))


def memory() -> int:
    """Megabytes of the engine, besides what many columns need; it works with no less than the default."""
    return max(MEMORY_MB, scaled(MEMORY_MB))


class Unpacking:
    """What may still come out of the compressed files of one source.

    Args:
        packed: bytes of the files as they came.
    """

    def __init__(self, packed: int):
        self._most = scaled(max(UNPACKED, RATIO * packed))
        self._left = self._most

    def take(self, size: int, name: str) -> None:
        """Count bytes that were unpacked from the file called `name`.

        Raises:
            UserError: when they are too many.
        """
        self._left -= size
        if self._left < 0:
            raise UserError(f"'{name}' unpacks to more than {readable(self._most)}, far more than tables do; {ADVICE}")


def readable(size: float) -> str:
    """Bytes in the unit that suits them."""
    units = ["bytes", "kB", "MB", "GB", "TB"]
    while size >= 1024 and len(units) > 1:
        size /= 1024
        units.pop(0)
    return f"{size:,.0f} {units[0]}"
