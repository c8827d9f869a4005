"""From an address to the registry behind it, and to where runs are filed."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from kubeline.addresses import redact, scheme
from kubeline.errors import UserError
from kubeline.registry.interface import Registry, Tracker

if TYPE_CHECKING:
    from kubeline.registry.wandb_runs import WandbRuns


def open_registry(tracking_uri: str = "") -> Registry:
    """Open the registry at an address.

    Args:
        tracking_uri: where it is: ``model-registry+https://…`` of Kubeflow's Model Registry, ``vertex://…`` of Vertex
            AI's, ``wandb://…?registry=…`` for what stands behind the equals sign, else any tracking URI of MLflow;
            empty for the environment variable ``MLFLOW_TRACKING_URI``, else the file ``mlflow.db`` in the working
            directory, which ``mlflow ui`` reads too.

    Raises:
        UserError: when the address is none, or a step on a cluster is given none.
        PlatformError: when it cannot be reached.
    """
    uri = _given(tracking_uri)
    if is_apart(uri):
        runs, _, uri = uri.partition("?registry=")
        if not uri:
            raise UserError(
                f"Weights & Biases has the runs, but no registry with a champion: say where models are registered, as "
                f"in {redact(runs)}?registry=https://MLFLOW"
            )
        return open_registry(uri)
    if scheme(uri) in {"model-registry+https", "model-registry+http"}:  # only the kind of registry that is used
        from kubeline.registry.kubeflow_registry import KubeflowRegistry

        return KubeflowRegistry(uri)
    if scheme(uri) == "vertex":
        from kubeline.registry.vertex_registry import VertexRegistry

        return VertexRegistry(uri)
    from kubeline.registry.mlflow_registry import MLflowRegistry

    return MLflowRegistry(uri)


def open_tracker(tracking_uri: str = "") -> Tracker:
    """Open what files the runs at an address: Weights & Biases, else the registry itself.

    Args:
        tracking_uri: as for :func:`open_registry`.

    Raises:
        UserError: as for :func:`open_registry`.
        PlatformError: when it cannot be reached.
    """
    return separate_tracker(tracking_uri) or open_registry(tracking_uri)


def separate_tracker(tracking_uri: str = "") -> "WandbRuns | None":
    """The tracker that is no registry, such as Weights & Biases; None where the registry files the runs.

    Raises:
        UserError: when its address is none.
    """
    if not is_apart(tracking_uri):
        return None
    from kubeline.registry.wandb_runs import WandbRuns

    return WandbRuns(_given(tracking_uri))


def is_apart(tracking_uri: str = "") -> bool:
    """Whether runs are filed elsewhere than models are registered."""
    return scheme(_given(tracking_uri)) == "wandb"


def _given(tracking_uri: str) -> str:
    return tracking_uri or os.environ.get("MLFLOW_TRACKING_URI", "")


def of_runs(root: Path) -> str:
    """The tracking URI for runs below `root` that name none: ``MLFLOW_TRACKING_URI``, else a database beside them."""
    return os.environ.get("MLFLOW_TRACKING_URI", "") or f"sqlite:///{root.resolve()}/mlflow.db"
