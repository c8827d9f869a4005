"""From a tracking URI to the registry behind it."""

from kubeline.registry.interface import Registry


def open_registry(tracking_uri: str = "") -> Registry:
    """Open the registry at a tracking URI (today: MLflow at any URI that MLflow knows).

    Args:
        tracking_uri: where it is; empty for the environment variable ``MLFLOW_TRACKING_URI``, else the file
            ``mlflow.db`` in the working directory, which is also where ``mlflow ui`` looks.

    Raises:
        UserError: when a step on a cluster is given no tracking URI.
        PlatformError: when it cannot be reached.
    """
    from kubeline.registry.mlflow_registry import MLflowRegistry  # only the kind of registry that is used

    return MLflowRegistry(tracking_uri)
