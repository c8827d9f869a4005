"""Several candidates for one model: what each is, and which of them is taken."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

from kubeline.artifacts import finite
from kubeline.errors import UserError, listed
from kubeline.model_package.training_record import Candidate, TrainingRecord
from kubeline.task import Task
from kubeline.training import estimators, preprocessing
from kubeline.training.distributed.workers import require_estimator
from kubeline.training.settings import DEFAULT, TrainingSettings

if TYPE_CHECKING:
    from kubeline.model_package.package import ModelPackage
    from kubeline.training.trained import Trained

MAX = 8  # that one step trains
_FORM = '{"estimator": name, "params": {hyperparameter: value}}'


def read(given: Sequence[Any], alone: TrainingSettings) -> list[TrainingSettings]:
    """The settings of each candidate; without any given, those of the only one.

    Args:
        given: the input `candidates` of `train`.
        alone: the settings that all share, with the inputs `estimator` and `params`.

    Raises:
        UserError: names the first candidate that is not one.
    """
    if not given:
        require_estimator(alone.workers, [alone.estimator])
        return [alone]
    if alone.params or alone.estimator != DEFAULT:
        raise UserError(
            "estimator or params was given besides candidates; give each candidate its own, and nothing beside them"
        )
    if len(given) > MAX:
        raise UserError(f"{len(given)} candidates were given, and one step trains {MAX} at most; leave some out")
    found = [alone.model_copy(update=_parts(number, one)) for number, one in enumerate(given, start=1)]
    require_estimator(alone.workers, [one.estimator for one in found])
    return found


def _parts(number: int, candidate: Any) -> dict[str, Any]:
    if not isinstance(candidate, Mapping) or not candidate.keys() <= {"estimator", "params"}:
        given = listed(candidate) if isinstance(candidate, Mapping) else repr(candidate)
        raise UserError(f"candidate {number} is {given}; expected {_FORM}")
    estimator, params = candidate.get("estimator", DEFAULT), candidate.get("params", {})
    if not isinstance(estimator, str) or not isinstance(params, Mapping):
        raise UserError(f"candidate {number} has estimator {estimator!r} and params {params!r}; expected {_FORM}")
    _require_hyperparameters(number, estimator, params)
    return {"estimator": estimator, "params": params}


def _require_hyperparameters(number: int, estimator: str, params: Mapping[str, Any]) -> None:
    """See that the library knows each parameter, before hours of training the candidates in front of it."""
    found = estimators.find(estimator)
    if not params:  # there is nothing to ask its library, whose import takes seconds
        return
    refused = []
    for task in get_args(Task):  # which one it is depends on the table
        try:
            _, hyper = preprocessing.take(params, found, task)
            found.settle(task, hyper)
        except UserError as error:
            refused.append(error)
    if len(refused) == len(get_args(Task)):
        raise UserError(f"candidate {number} ({estimator}): {refused[0]}")


def candidate(settings: TrainingSettings, trained: "Trained") -> Candidate:
    """What is stored of one candidate after its training; none is chosen yet."""
    return Candidate(
        estimator=settings.estimator,
        params=finite(trained.params),
        metrics=finite(trained.metrics),
        score=finite(trained.score),
        parity=trained.parity.max_difference,
        chosen=False,
        trials=trained.tuning.trials if trained.tuning else [],
    )


def record(
    package: "ModelPackage", table: Mapping[str, Any], chosen: Candidate, candidates: Sequence[Candidate]
) -> TrainingRecord:
    """The candidates beside each other, for who compares them later.

    Args:
        package: of the one that was taken.
        table: the metadata of the table that all learned from.
        chosen: the one that was taken.
        candidates: all of them.
    """
    return TrainingRecord(
        package_digest=package.digest,
        score_name=package.manifest.score_name,
        table=finite({**table, "fingerprint": package.manifest.dataset_fingerprint}),
        candidates=[one.model_copy(update={"chosen": one is chosen}) for one in candidates],
    )
