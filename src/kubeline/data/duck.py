"""The types of DuckDB for annotations: the library itself is imported where a query runs."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection as Connection
    from duckdb import DuckDBPyRelation as Relation
else:
    Connection = Relation = Any

__all__ = ["Connection", "Relation", "errors"]


def errors() -> type[Exception]:
    """What the engine raises, for an ``except`` clause: the library is loaded when something was raised at all."""
    import duckdb

    return duckdb.Error
