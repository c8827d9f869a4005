"""How many workers a training has, and where they are. It is checked in seconds before a run: nothing heavy here."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from kubeline.errors import UserError, listed
from kubeline.options import is_number
from kubeline.quantities import read_quantity

ESTIMATORS = ("xgboost", "lightgbm")  # those that learn with workers
MAX = 256
_OF_PODS = {
    "cpu": "2",
    "memory": "2Gi",
    "namespace": "",
    "runtime": "xgboost-distributed",
    "cluster": "in-cluster",
    "host": "",
}
_KEYS = ("count", "image", *_OF_PODS)
_IMAGE = re.compile(r"[\w.:/@-]{1,500}", re.ASCII)


@dataclass(frozen=True)
class Workers:
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

    count: int
    image: str = ""
    cpu: str = _OF_PODS["cpu"]
    memory: str = _OF_PODS["memory"]
    namespace: str = _OF_PODS["namespace"]
    runtime: str = _OF_PODS["runtime"]
    cluster: str = _OF_PODS["cluster"]
    host: str = _OF_PODS["host"]

    @property
    def are_pods(self) -> bool:
        """Whether they are pods of a TrainJob."""
        return bool(self.image)

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Self | None:
        """What was given; None where nothing was.

        Raises:
            UserError: names what is no setting of workers.
        """
        if not given:
            return None
        if unknown := [key for key in given if key not in _KEYS]:
            raise UserError(f"workers has '{unknown[0]}'; there are: {listed(_KEYS)}")
        count = given.get("count")
        if not is_number(count, whole=True) or not 1 <= count <= MAX:  # type: ignore[operator]
            raise UserError(f"workers has count {count!r}; expected a whole number from 1 to {MAX}")
        words = {key: value for key, value in given.items() if key != "count"}
        if wrong := [key for key, value in words.items() if not isinstance(value, str)]:
            raise UserError(f"workers has {wrong[0]} {words[wrong[0]]!r}; expected text")
        return cls(int(count), **words).checked(set(words))  # type: ignore[arg-type]

    def checked(self, given: set[str]) -> Self:
        """The same, when it can be.

        Raises:
            UserError: when it cannot.
        """
        if not self.image and given - {"image"}:
            name = sorted(given - {"image"})[0]
            raise UserError(f"workers has {name} but no image; name the image of the pods, or leave {name} out")
        if self.image and not _IMAGE.fullmatch(self.image):
            raise UserError(f"workers has image '{self.image}'; expected the name of an image, the one of the step")
        for name in ("cpu", "memory"):
            if read_quantity(f"{name} of workers", getattr(self, name)) <= 0:
                raise UserError(f"workers has {name} '{getattr(self, name)}'; expected more than 0")
        if not self.runtime or not self.cluster:
            raise UserError("workers has an empty runtime or cluster; leave it out for the default")
        return self


def require_estimator(given: Mapping[str, Any], estimators: list[str]) -> None:
    """Raise a :class:`UserError` for workers where nothing is trained that has any."""
    workers = Workers.read(given)
    if workers is not None and not set(ESTIMATORS) & set(estimators):
        raise UserError(
            f"workers are for the estimators {listed(ESTIMATORS)}, and trained is {listed(estimators)}; choose one of "
            "them, or leave workers out"
        )
