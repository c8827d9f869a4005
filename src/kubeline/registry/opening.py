"""From an address to the registry behind it."""

import os
from pathlib import Path

from kubeline.addresses import scheme
from kubeline.registry.interface import Registry


def open_registry(tracking_uri: str = "") -> Registry:
    """Open the registry at an address.

    Args:
        tracking_uri: where it is: ``model-registry+https://…`` of Kubeflow's Model Registry, ``vertex://…`` of Vertex
            AI's, else any tracking URI of MLflow; empty for the environment variable ``MLFLOW_TRACKING_URI``, else the
            file ``mlflow.db`` in the working directory, which ``mlflow ui`` reads too.

    Raises:
        UserError: when the address is none, or a step on a cluster is given none.
        PlatformError: when it cannot be reached.
    """
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI", "")
    if scheme(uri) in {"model-registry+https", "model-registry+http"}:  # only the kind of registry that is used
        from kubeline.registry.kubeflow_registry import KubeflowRegistry

        return KubeflowRegistry(uri)
    if scheme(uri) == "vertex":
        from kubeline.registry.vertex_registry import VertexRegistry

        return VertexRegistry(uri)
    from kubeline.registry.mlflow_registry import MLflowRegistry

    return MLflowRegistry(uri)


def of_runs(root: Path) -> str:
    """The tracking URI for runs below `root` that name none: ``MLFLOW_TRACKING_URI``, else a database beside them."""
    return os.environ.get("MLFLOW_TRACKING_URI", "") or f"sqlite:///{root.resolve()}/mlflow.db"
