"""JSON merge patches (RFC 7396): applying one, and finding the one that is needed."""

from collections.abc import Callable, Mapping
from typing import Any

_Patching = Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]


def merge(document: Any, patch: Any) -> Any:
    """A document with a JSON merge patch applied (RFC 7396); neither is changed."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(document) if isinstance(document, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def merge_patch(live: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The smallest merge patch that makes `live` hold everything in `wanted`; what `live` holds beyond it stays."""
    return _patch(live, wanted, merge_patch)


def replacing(live: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The merge patch that leaves exactly `wanted`: what `live` holds beyond it is removed."""
    return {key: None for key in live if key not in wanted} | _patch(live, wanted, replacing)


def _patch(live: Mapping[str, Any], wanted: Mapping[str, Any], of_inner: _Patching) -> dict[str, Any]:
    patch: dict[str, Any] = {}
    for key, value in wanted.items():
        there = live.get(key)
        if isinstance(value, Mapping) and isinstance(there, Mapping):
            if inner := of_inner(there, value):
                patch[key] = inner
        elif key not in live or there != value:
            patch[key] = value
    return patch
