"""The embedded API server for the client."""

from tests.support.kubernetes_api import server

__all__ = ["server"]
