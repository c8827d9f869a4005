"""The toy pipeline of the local room."""

from tests.support.toy_pipeline import toy

__all__ = ["toy"]
