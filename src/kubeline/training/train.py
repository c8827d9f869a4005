"""Train a model and write it as a verified model package."""

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kubeline.artifacts import Artifact, describe, publish, step
from kubeline.data.ahead import importing
from kubeline.data.dataset import fingerprint as content_of
from kubeline.data.dataset import open_dataset
from kubeline.errors import UserError
from kubeline.model_package import signing
from kubeline.model_package.package import ModelPackage
from kubeline.roles import Roles
from kubeline.training import estimators, memory
from kubeline.training.candidates import candidate, record
from kubeline.training.candidates import read as read_candidates
from kubeline.training.settings import TrainingSettings
from kubeline.training.table_facts import Background

if TYPE_CHECKING:  # libraries that take a second, and are loaded while the rows are read
    from kubeline.model_package.training_record import Candidate
    from kubeline.training.table import TrainingTable
    from kubeline.training.trained import Trained

logger = logging.getLogger(__name__)


@step
def run(
    dataset: Artifact,
    model: Artifact,
    metrics: Artifact,
    report: Artifact,
    *,
    target: str,
    exclude: Sequence[str] = (),
    group_column: str = "",
    time_column: str = "",
    weight_column: str = "",
    candidates: Sequence[Any] = (),
    derive: Mapping[str, str] | None = None,
    transform: Artifact | None = None,
    **parameters: Any,
) -> None:
    """Train on `dataset` and write the package, its metrics and the report.

    The parameters are those of `components/train`; the further ones are fields of :class:`TrainingSettings`.

    Raises:
        UserError: one sentence about what in the table or the parameters is wrong; nothing is written then.
    """
    roles = Roles(target, tuple(exclude), group_column, time_column, weight_column, *_known(dataset))
    settings = TrainingSettings(derive=_expressions(derive or {}, transform), purpose=model.uri, **parameters)
    settings.check()
    signing.check()
    with Background(roles) as background:
        asked = read_candidates(candidates, settings)
        trained, chosen, every = _best(dataset.path, roles, asked, background)
        from kubeline.training.package_files import write
        from kubeline.training.training_report import render

        with publish(model.path) as folder:
            package = write(folder, trained, roles, settings.seed, _fingerprint(dataset), background)
            known = record(package, dataset.metadata, chosen, every)
            render(trained, package, asked, known).write(report.path)
    known.write(metrics)
    _describe(model, metrics, package, trained)


def _describe(model: Artifact, metrics: Artifact, package: ModelPackage, trained: "Trained") -> None:
    describe(model, package.metadata())
    describe(metrics, {**trained.metrics, "parity_max_difference": trained.parity.max_difference})


def _expressions(derive: Mapping[str, str], transform: Artifact | None) -> dict[str, str]:
    if not derive and transform is None:
        return {}
    from kubeline.transform.document import expressions

    return expressions(derive, transform)


def _fingerprint(dataset: Artifact) -> str:
    return str(dataset.metadata.get("fingerprint") or content_of(dataset.path))


def _best(
    path: str, roles: Roles, candidates: Sequence[TrainingSettings], background: Background
) -> "tuple[Trained, Candidate, list[Candidate]]":
    """Train each candidate on the same rows; the one with the best score, the first of equals, and how all did."""
    memory.check(path, candidates, roles, len(candidates[0].derive))
    from kubeline.training.table import read

    with importing("sklearn.ensemble", "kubeline.training.learning", "skl2onnx"):
        first = candidates[0]  # all have the same table
        table = read(path, roles, first.task, first.positive_class, first.derive)
        logger.info("%d rows and %d features are in memory", len(table.y), len(table.kinds))
    import sklearn.ensemble  # noqa: F401  loads the thread pools that are to be limited
    from threadpoolctl import threadpool_limits

    with threadpool_limits(estimators.threads_for(len(table.y))):
        return _best_of(table, roles, candidates, background)


def _best_of(
    table: "TrainingTable", roles: Roles, candidates: Sequence[TrainingSettings], background: Background
) -> "tuple[Trained, Candidate, list[Candidate]]":
    from kubeline.training.learning import fit

    every, best = [], None
    for number, settings in enumerate(candidates, start=1):
        logger.info("candidate %d of %d: %s", number, len(candidates), settings.estimator)
        try:
            trained = fit(table, roles, settings, background)
        except UserError as error:
            raise UserError(
                f"candidate {number} ({settings.estimator}): {error}" if len(candidates) > 1 else str(error)
            ) from error
        every.append(candidate(settings, trained))
        logger.info("%s: %s %.5g on the held-out rows", settings.estimator, trained.score_name, trained.score)
        if best is None or trained.score > best[0].score:
            best = (trained, every[-1])
    assert best is not None  # noqa: S101 (there is at least one candidate)
    return *best, every


def _known(dataset: Artifact) -> tuple[str, str, tuple[str, ...]]:
    """What `split` divided the table by, its column, and what `validate` found personal, if it is there."""
    present = set(open_dataset(dataset.path).schema.names)
    by, column = (str(dataset.metadata.get(key, "")) for key in ("split_by", "split_column"))
    personal = tuple(name for name in dataset.metadata.get("personal", ()) if name in present)
    return (by, column, personal) if column in present else ("", "", personal)
