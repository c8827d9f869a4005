"""Pipelines of the KFP SDK as YAML that a back end stores whole, and that is the same whenever it is compiled."""

from typing import TYPE_CHECKING

from kubeline.lazy import attribute_of

if TYPE_CHECKING:
    from kubeline.compiling.compact import compact
    from kubeline.compiling.text import compiled_text

__all__ = ["compact", "compiled_text"]

if not TYPE_CHECKING:
    __getattr__ = attribute_of(__name__, {"compact": "compact", "compiled_text": "text"})
