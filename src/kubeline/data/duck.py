"""The types of DuckDB for annotations: the library itself is imported where a query runs."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection as Connection
    from duckdb import DuckDBPyRelation as Relation
else:
    Connection = Relation = Any

__all__ = ["Connection", "Relation"]
