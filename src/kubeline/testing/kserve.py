"""The embedded KServe, where it is installed."""

from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from kubeline.errors import UserError


def embedded_kserve(
    folder: str | Path, mode: Literal["knative", "standard"] = "knative"
) -> AbstractContextManager[Any]:
    """A cluster with KServe on the loopback while the block runs; see docs/embedded-kserve.md for what it has.

    Args:
        folder: of its files: the kubeconfig, logs.
        mode: of deployment.

    Raises:
        UserError: when the distribution is not installed.
    """
    try:
        start = import_module("embedded_kserve").start
    except ModuleNotFoundError as error:
        if error.name != "embedded_kserve":
            raise
        raise UserError(
            "embedded_kserve is not installed, which is a distribution of its own; install it from a clone of Kubeline "
            "(pip install ./embedded_kserve), or skip the test where it is not there"
        ) from error
    found: AbstractContextManager[Any] = start(folder, mode=mode)
    return found
