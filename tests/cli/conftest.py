"""The toy pipeline of the local room."""

from tests.local.conftest import toy

__all__ = ["toy"]
