"""An estimator of XGBoost or LightGBM, fitted by workers: it becomes what it would have become in one process."""

import hashlib
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, is_classifier

from kubeline.errors import UserError
from kubeline.training.distributed.group import Group, Processes, home, run
from kubeline.training.distributed.job import JOB, Job, write_parts
from kubeline.training.distributed.libraries import LIBRARIES
from kubeline.training.distributed.workers import Workers
from kubeline.training.estimators import threads_for
from kubeline.typing import Array

logger = logging.getLogger(__name__)

_CHECKPOINTS = 10  # in a training
_TRIED = 100  # rows that the parameters are tried on


class ByWorkers(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Takes the place of an estimator of :data:`LIBRARIES` while it is fitted.

    Attributes:
        model: the estimator, fitted afterwards as by itself.
    """

    def __init__(self, model: Any, workers: Workers, purpose: str) -> None:
        """See :func:`fit`; `purpose` is the same for each try of one training, and for no other."""
        self.model = model
        self.workers = workers
        self.purpose = purpose

    def fit(self, X: Any, y: Array, sample_weight: Array | None = None) -> Self:
        """Fit the model.

        Args:
            X: float32, shape (rows, columns).
            y: positions of classes, or numbers; shape (rows,).
            sample_weight: shape (rows,), or None.

        Raises:
            UserError: when there are fewer rows than workers.
            XGBoostError, LightGBMError: when the library refuses a parameter; no worker was begun then.
            PlatformError: when workers are lost again and again.
        """
        rows = np.asarray(X, dtype=np.float32)
        if len(rows) < self.workers.count:
            raise UserError(f"{len(rows)} rows cannot be divided among {self.workers.count} workers; give fewer")
        job = self._job(rows, y)
        weights = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float32)
        with home(Path(tempfile.gettempdir()) / f"kubeline-{name_of(self.purpose)}") as folder:
            write_parts(folder, self.workers.count, rows, np.asarray(y, dtype=np.float32), weights)
            (folder / JOB).write_bytes(job.to_bytes())
            with self._group(folder) as group:
                learned = run(group, folder, self.workers.count)
        LIBRARIES[job.library].put(self.model, learned)
        return self

    def _job(self, rows: Array, y: Array) -> Job:
        library = LIBRARIES[type(self.model).__module__.partition(".")[0]]
        some = np.unique(np.concatenate([np.arange(min(_TRIED, len(y))), np.unique(y, return_index=True)[1]]))
        if not is_classifier(self.model):
            some = some[:_TRIED]
        rounds = library.rounds(self.model)
        return Job(
            library=library.name,
            params=library.params(self.model, rows[some], y[some]),
            rounds=rounds,
            threads=threads_for(len(y) // self.workers.count),
            checkpoint_rounds=max(1, -(-rounds // _CHECKPOINTS)),
        )

    @contextmanager
    def _group(self, folder: Path) -> Iterator[Group]:
        workers = self.workers
        logger.info("%d workers learn, as %s", workers.count, "pods" if workers.are_pods else "processes")
        if not workers.are_pods:
            yield Processes(folder, workers.count)
            return
        from kubeline.kubernetes import Cluster
        from kubeline.kubernetes.namespace import namespace_of
        from kubeline.training.distributed.server import own_address, serve
        from kubeline.training.distributed.train_job import TrainJob

        cluster = Cluster.connect(workers.cluster)
        namespace = namespace_of(workers.namespace, workers.cluster)
        with serve(folder, workers.count, workers.host or own_address()) as served:
            yield TrainJob(cluster, name_of(self.purpose), namespace, workers, served)


def name_of(purpose: str) -> str:
    """A name for what one training leaves behind while it runs."""
    return f"train-{hashlib.sha256(purpose.encode()).hexdigest()[:16]}"
