"""Runs a compiled pipeline on this machine."""

from typing import TYPE_CHECKING

from kubeline.lazy import attribute_of

if TYPE_CHECKING:
    from kubeline.local.overview import write_overview
    from kubeline.local.result import RunResult

__all__ = ["RunResult", "write_overview"]

if not TYPE_CHECKING:
    __getattr__ = attribute_of(__name__, {"RunResult": "result", "write_overview": "overview"})
