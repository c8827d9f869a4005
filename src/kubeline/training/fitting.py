"""One fit: preprocessing and estimator on some rows of a table."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from kubeline.columns import Kind
from kubeline.errors import UserError
from kubeline.model_package.predictor import Predictions
from kubeline.training import constraints, estimators, preprocessing
from kubeline.training.calibration import Calibrated, Method
from kubeline.training.distributed.workers import ESTIMATORS, Workers
from kubeline.training.holdout import encoding_folds
from kubeline.training.matrix import learns_nothing, matrix
from kubeline.training.table import TrainingTable
from kubeline.training.target import Moved
from kubeline.typing import Array

_FEW = 2  # rows, by which a ColumnTransformer knows the columns


@dataclass(frozen=True)
class Recipe:
    """How a model is made, apart from the rows.

    Attributes:
        estimator: name of the estimator.
        params: hyperparameters and settings of preprocessing.
        balanced: whether every class has the same total weight.
        seed: of everything random.
    """

    estimator: str
    params: Mapping[str, Any]
    balanced: bool
    seed: int

    def check(self, table: TrainingTable) -> None:
        """Raise a :class:`UserError` for a name that is not known, before anything takes time."""
        estimator = estimators.find(self.estimator)
        _, rest = preprocessing.take(self.params, estimator, table.task)
        estimator.settle(table.task, rest)
        named, rest = constraints.take(rest)
        constraints.check(named, table.kinds, table.task)
        with _refusals(self.estimator):
            estimator.build(table.task, rest, self.seed)
        if self.balanced and table.classes is None:
            raise UserError("balanced gives classes equal weight, and a regression has none; leave balanced off")

    def fit(
        self,
        table: TrainingTable,
        rows: Array,
        kinds: Mapping[str, Kind],
        workers: Workers | None = None,
        purpose: str = "",
    ) -> Any:
        """A fitted scikit-learn Pipeline; of a regression, within :class:`Moved`.

        Args:
            table: the table.
            rows: positions to learn from.
            kinds: the features to use.
            workers: that XGBoost or LightGBM learns with, where there are any.
            purpose: of the fit, see :class:`kubeline.training.distributed.booster.ByWorkers`.

        Raises:
            UserError: when a hyperparameter has a value that the estimator refuses.
        """
        from sklearn.pipeline import Pipeline

        estimator = estimators.find(self.estimator)
        settings, params = preprocessing.take(self.params, estimator, table.task)
        named, params = constraints.take(params)
        columns = preprocessing.build(
            table.encoded.rows(rows[:_FEW]), kinds, estimator, settings, table.task,
            folds=lambda: encoding_folds(table, rows, self.seed),
            frequent=lambda name, most: table.frequent(name, rows, most),
        )  # fmt: skip
        at_once = learns_nothing(columns, estimator, settings.category_encoding)
        encoded = table.encoded.rows(rows[:_FEW] if at_once else rows)
        if at_once:
            columns.fit(encoded)
        model = estimator.build(table.task, params, self.seed, estimators.threads_for(len(table.y)))
        fitter = _fitter(model, workers if self.estimator in ESTIMATORS else None, purpose)
        steps = Pipeline([*([] if at_once else [("columns", columns)]), ("model", fitter)])
        pipeline: Any = steps
        y = table.y[rows]
        if table.task == "regression":
            pipeline = Moved.around(pipeline, y, keep_origin=_needs_positive(params))
        if named:
            fitted = columns if at_once else columns.fit(encoded, y)
            model.set_params(**constraints.placed(named, fitted, as_text=self.estimator == "xgboost"))
        given = matrix(columns, table, rows, estimator) if at_once else encoded
        with _refusals(self.estimator):
            pipeline.fit(given, y, model__sample_weight=self.weights(table, rows))
        steps.steps[:] = [("columns", columns), ("model", model)]
        preprocessing.forget_folds(columns)
        if estimator.round_thresholds is not None:
            estimator.round_thresholds(model)
        if estimator.threaded and estimator.library == "scikit-learn":
            model.set_params(n_jobs=1)  # threads would sum the trees' answers in changing order
        return pipeline

    def weights(self, table: TrainingTable, rows: Array) -> Array | None:
        """The weight of each row, or None when all count the same.

        Their mean is one: libraries hold sums of weights against bounds of their own, such as the least of a leaf, and
        of weights that add up to one no tree would have a branch.
        """
        given = table.weights_to_learn(rows)
        given = given / given.mean() if given is not None and given.any() else given
        if not self.balanced:
            return given
        counts = np.bincount(table.y[rows], given)
        classes = len(table.classes or ())
        balance: Array = np.divide(counts.sum(), classes * counts, out=np.zeros(len(counts)), where=counts > 0)
        return balance[table.y[rows]] * (1.0 if given is None else given)


def calibrate(pipeline: Any, method: Method, table: TrainingTable, rows: Array) -> Calibrated:
    """Calibrate a fitted pipeline on rows that it did not learn from."""
    return Calibrated(pipeline, method).fit(table.encoded.rows(rows), table.y[rows], table.weights_to_learn(rows))


def predict(model: Any, encoded: pd.DataFrame, classes: list[str] | None) -> Predictions:
    """Predictions of the scikit-learn form of a model."""
    if classes is None:
        return Predictions(np.asarray(model.predict(encoded), dtype=np.float64).reshape(-1), None)
    probabilities = np.asarray(model.predict_proba(encoded), dtype=np.float64)
    return Predictions(np.array(classes, dtype=object)[probabilities.argmax(axis=1)], probabilities)


def _fitter(model: Any, workers: Workers | None, purpose: str) -> Any:
    """What fits a model: itself, or its workers."""
    if workers is None:
        return model
    from kubeline.training.distributed.booster import ByWorkers

    return ByWorkers(model, workers, purpose)


def _needs_positive(params: Mapping[str, Any]) -> bool:
    """Whether the loss is of targets above zero: the model is then of their logarithm, or of ratios."""
    return bool({params.get("loss"), params.get("criterion")} & {"poisson", "gamma"})


@contextmanager
def _refusals(estimator: str) -> Iterator[None]:
    """What a library says of a value that it does not take, which each has its own exceptions for."""
    try:
        yield
    except (ValueError, TypeError, ArithmeticError, LookupError) as error:
        raise _refused(estimator, error) from error
    except Exception as error:
        if type(error).__name__ not in ("LightGBMError", "XGBoostError"):
            raise
        raise _refused(estimator, error) from error


def _refused(estimator: str, error: Exception) -> UserError:
    words = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return UserError(f"estimator {estimator} refuses its parameters: {words[-1]}")
