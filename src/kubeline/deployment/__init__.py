"""Renders the InferenceService of a model package, and applies it."""

from typing import TYPE_CHECKING

from kubeline.lazy import attribute_of

if TYPE_CHECKING:
    from kubeline.deployment.inference_service import Service, render

__all__ = ["Service", "render"]

if not TYPE_CHECKING:
    __getattr__ = attribute_of(__name__, dict.fromkeys(__all__, "inference_service"))
