"""A client of a Kubernetes API server: its objects, their merge patches, and what it refuses."""

from typing import TYPE_CHECKING

from kubeline.lazy import attribute_of

if TYPE_CHECKING:
    from kubeline.kubernetes.cluster import Cluster

__all__ = ["Cluster"]

if not TYPE_CHECKING:
    __getattr__ = attribute_of(__name__, {"Cluster": "cluster"})
