"""The toy pipeline: a loop, a condition and an exit handler, as the real ones have."""

from tests.support.toy_pipeline import toy

__all__ = ["toy"]
