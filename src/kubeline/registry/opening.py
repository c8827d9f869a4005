"""From a tracking URI to the registry behind it."""

import os
from pathlib import Path

from kubeline.registry.interface import Registry


def open_registry(tracking_uri: str = "") -> Registry:
    """Open the registry at a tracking URI (today: MLflow at any URI that MLflow knows).

    Args:
        tracking_uri: where it is; empty for the environment variable ``MLFLOW_TRACKING_URI``, else the file
            ``mlflow.db`` in the working directory, which ``mlflow ui`` reads too.

    Raises:
        UserError: when a step on a cluster is given no tracking URI.
        PlatformError: when it cannot be reached.
    """
    from kubeline.registry.mlflow_registry import MLflowRegistry  # only the kind of registry that is used

    return MLflowRegistry(tracking_uri)


def of_runs(root: Path) -> str:
    """The tracking URI for runs below `root` that name none: ``MLFLOW_TRACKING_URI``, else a database beside them."""
    return os.environ.get("MLFLOW_TRACKING_URI", "") or f"sqlite:///{root.resolve()}/mlflow.db"
