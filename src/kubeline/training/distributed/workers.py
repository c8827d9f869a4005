"""How many workers a training has, and where they are. It is checked in seconds before a run: nothing heavy here."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from kubeline.errors import UserError, listed
from kubeline.quantities import read_quantity
from kubeline.settings import Settings

ESTIMATORS = ("xgboost", "lightgbm")  # those that learn with workers
MAX = 256
_IMAGE = "^[A-Za-z0-9_.:/@-]{0,500}$"


class Workers(Settings):
    """The input `workers` of `train`.

    Attributes:
        count: how many.
        image: of their pods; empty for processes of the step.
        cpu: of each pod.
        memory: of each pod.
        namespace: of the pods; empty for that of the step.
        runtime: the ClusterTrainingRuntime that they are made by.
        cluster: ``in-cluster``, or a kubeconfig.
        host: by which the pods reach the step; empty for its own address.
    """

    group = "workers"

    count: int = Field(ge=1, le=MAX, description=f"a whole number from 1 to {MAX}")
    image: str = Field(default="", pattern=_IMAGE, description="the name of an image, the one of the step")
    cpu: str = "2"
    memory: str = "2Gi"
    namespace: str = ""
    runtime: str = Field(default="xgboost-distributed", min_length=1, description="the name of a runtime")
    cluster: str = Field(default="in-cluster", min_length=1, description="in-cluster, or a kubeconfig")
    host: str = ""

    @property
    def are_pods(self) -> bool:
        """Whether they are pods of a TrainJob."""
        return bool(self.image)

    @model_validator(mode="after")
    def _of_pods(self) -> Self:
        of_pods = sorted(self.model_fields_set - {"count", "image"})
        if of_pods and not self.image:
            raise ValueError(f"has {of_pods[0]} but no image; name the image of the pods, or leave {of_pods[0]} out")
        for name in ("cpu", "memory"):
            if read_quantity(f"{name} of workers", getattr(self, name)) <= 0:
                raise ValueError(f"has {name} '{getattr(self, name)}'; expected more than 0")
        return self


def require_estimator(given: Mapping[str, Any], estimators: list[str]) -> None:
    """Raise a :class:`UserError` for workers where nothing is trained that has any."""
    workers = Workers.read(given)
    if workers is not None and not set(ESTIMATORS) & set(estimators):
        raise UserError(
            f"workers are for the estimators {listed(ESTIMATORS)}, and trained is {listed(estimators)}; choose one of "
            "them, or leave workers out"
        )
