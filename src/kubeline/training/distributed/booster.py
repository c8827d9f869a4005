"""XGBoost's own estimator, fitted by workers: what comes out is what it would have become in one process."""

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
from kubeline.training.distributed.workers import Workers
from kubeline.training.estimators import threads_for
from kubeline.typing import Array

logger = logging.getLogger(__name__)

_CHECKPOINTS = 10  # in a training
_TRIED = 100  # rows that the parameters are tried on


class ByWorkers(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Takes the place of an XGBClassifier or XGBRegressor while it is fitted.

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
            XGBoostError: when XGBoost refuses a parameter; no worker was begun then.
            PlatformError: when workers are lost again and again.
        """
        rows = np.asarray(X, dtype=np.float32)
        if len(rows) < self.workers.count:
            raise UserError(f"{len(rows)} rows cannot be divided among {self.workers.count} workers; give fewer")
        self._try(rows, y)
        job = self._job(y)
        weights = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float32)
        with home(Path(tempfile.gettempdir()) / f"kubeline-{name_of(self.purpose)}") as folder:
            write_parts(folder, self.workers.count, rows, np.asarray(y, dtype=np.float32), weights)
            (folder / JOB).write_bytes(job.to_bytes())
            with self._group(folder) as group:
                learned = run(group, folder, self.workers.count)
        self.model.load_model(bytearray(learned))
        return self

    def _try(self, rows: Array, y: Array) -> None:
        """Let XGBoost refuse parameters here, in its own words, and not in every worker."""
        from sklearn.base import clone

        some = np.unique(np.concatenate([np.arange(min(_TRIED, len(y))), np.unique(y, return_index=True)[1]]))
        if not is_classifier(self.model):
            some = some[:_TRIED]
        clone(self.model).set_params(n_estimators=1, n_jobs=1).fit(rows[some], y[some])

    def _job(self, y: Array) -> Job:
        rounds = int(self.model.get_num_boosting_rounds())
        return Job(
            params=self._params(y),
            rounds=rounds,
            checkpoint_rounds=max(1, -(-rounds // _CHECKPOINTS)),
            threads=threads_for(len(y) // self.workers.count),
            max_bin=int(self.model.max_bin or 256),
        )

    def _params(self, y: Array) -> dict[str, Any]:
        """The native parameters, as the estimator itself makes them when it is fitted."""
        given = self.model.get_xgb_params()
        params = {
            name: value for name, value in given.items() if value is not None and name not in ("missing", "n_jobs")
        }
        if is_classifier(self.model) and (classes := len(np.unique(y))) > 2:
            params |= {"objective": "multi:softprob", "num_class": classes}
        return params

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
