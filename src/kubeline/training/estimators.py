"""The estimators a model can be made of: how each is built, what it takes, and where tuning searches."""

import importlib
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from kubeline.errors import PlatformError, UserError, listed
from kubeline.task import Task
from kubeline.training import thresholds

if TYPE_CHECKING:
    from optuna import Trial

# The result must not depend on the cores of the machine, so the number of threads depends on the rows alone. Threads
# cost more than they bring on few rows, most of all where processes share the cores.
THREADS = 2
MAX_ROUNDS = 1_000_000  # trees, or steps of a solver; the largest models have some ten thousand
ROWS_FOR_THREADS = 20_000

# Parameters that belong to kubeline: set elsewhere, or not convertible to ONNX (categorical_features).
_RESERVED = {
    "random_state", "n_jobs", "nthread", "num_threads", "verbose", "verbosity", "class_weight", "scale_pos_weight",
    "categorical_features", "enable_categorical", "warm_start", "callbacks", "objective", "device", "missing",
    "feature_types", "multi_class", "oob_score", "max_cat_to_onehot", "max_cat_threshold", "eval_metric",
    "early_stopping_rounds", "importance_type", "base_score", "feature_weights",
}  # fmt: skip
_FRACTIONS = {"max_features", "max_samples", "subsample", "colsample_bytree"}  # here 1.0 is all and not one


@dataclass(frozen=True)
class Range:
    """Where tuning searches for one parameter; whole numbers when both ends are."""

    low: float
    high: float
    log: bool = True

    def suggest(self, trial: "Trial", name: str) -> float:
        """The value of `name` in one trial."""
        if isinstance(self.low, int):
            return trial.suggest_int(name, self.low, int(self.high), log=self.log)
        return trial.suggest_float(name, self.low, self.high, log=self.log)


@dataclass(frozen=True)
class Estimator:
    """One family of models.

    Attributes:
        library: the distribution whose version the manifest names.
        classifier: module and class, or a function, of its classifier.
        regressor: the same of its regressor.
        defaults: parameters where kubeline's default is its own; `params` of train overrides them.
        fixed: parameters that make results repeatable, which nothing overrides.
        space: where tuning searches.
        reads_missing: whether the model itself handles missing numbers; else the median and a flag stand in.
        one_hot: whether categories become a column each and numbers are scaled, or categories become numbers.
        threaded: whether it takes a number of threads of its own.
        more: parameters that its classes take without listing them.
        only: the values of parameters that can be exported, where the library takes others as well.
        only_for_classes: the same, where classes are predicted.
        fit_bytes: what a fit holds for each number of the matrix that it is given, besides the matrix itself.
        round_thresholds: of a fitted model, in place, so that ONNX splits where the library does; None where its
            trees are float32 from the start, or it has none.
        dtype: of the matrix that it copies into one of its own unless it is so already; its values are float32.
    """

    library: str
    classifier: str
    regressor: str
    defaults: Mapping[str, Any]
    fixed: Mapping[str, Any]
    space: Mapping[str, Range]
    reads_missing: bool = True
    one_hot: bool = False
    threaded: bool = False
    more: tuple[str, ...] = ()
    only: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    only_for_classes: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    fit_bytes: float = 10.0
    round_thresholds: Callable[[Any], None] | None = None
    dtype: Literal["float32", "float64"] = "float32"

    def build(self, task: Task, params: Mapping[str, Any], seed: int, threads: int = 1) -> Any:
        """An unfitted model; see :meth:`settle` for `params`. `seed` is of everything random in it."""
        jobs = {"n_jobs": threads} if self.threaded else {}
        return self._factory(task)(**self.settle(task, params), **self.fixed, **jobs, random_state=seed)

    def settle(self, task: Task, params: Mapping[str, Any]) -> dict[str, Any]:
        """Hyperparameters over kubeline's defaults; whole floats become integers, as KFP makes floats of integers.

        Raises:
            UserError: names a parameter that the estimator does not have, or a value that cannot be exported.
        """
        factory = self._factory(task)
        known = self._parameters(factory)
        unknown = [key for key in params if key not in known]
        if unknown:
            raise UserError(
                f"'{unknown[0]}' is not a hyperparameter of {factory.__name__}; it has: {listed(sorted(known), 40)}"
            )
        settled = {**self.defaults, **{key: whole(key, value, known[key]) for key, value in params.items()}}
        _refuse_endless(settled)
        self._refuse_what_cannot_be_exported(settled, task)
        return settled

    def _refuse_what_cannot_be_exported(self, settled: Mapping[str, Any], task: Task) -> None:
        name = self.classifier.rpartition(".")[2].removesuffix("Classifier")
        only = self.only if task == "regression" else {**self.only, **self.only_for_classes}
        for key, values in only.items():
            if settled.get(key) is not None and settled[key] not in values:
                words = listed([value for value in values if value is not None])
                raise UserError(
                    f"{name} with {key} {settled[key]!r} cannot be exported to ONNX"
                    f"{'' if key in self.only else f' for {task}'}; leave {key} out, or set it to {words}"
                )
        if isinstance(rounds := settled.get("n_estimators"), int | float) and rounds < 1:
            raise UserError(f"n_estimators is {rounds:g}, and a model of no tree cannot be exported; give at least 1")

    def _factory(self, task: Task) -> Any:
        module, name = (self.regressor if task == "regression" else self.classifier).rsplit(".", 1)
        try:
            return getattr(importlib.import_module(module), name)
        except OSError as error:  # the library's own shared objects, such as OpenMP's runtime
            raise PlatformError(
                f"{self.library} cannot be loaded here ({error}); install what is missing "
                "(for libgomp.so.1 on Debian: apt-get install libgomp1)"
            ) from error

    def _parameters(self, factory: Any) -> dict[str, Any]:
        """The hyperparameters a user may set, with their defaults."""
        if hasattr(factory, "get_params"):
            every = factory().get_params() | dict.fromkeys(self.more)
        else:
            every = {key: value.default for key, value in inspect.signature(factory).parameters.items()}
        return {key: value for key, value in every.items() if key not in _RESERVED and key not in self.fixed}


def _refuse_endless(settled: Mapping[str, Any]) -> None:
    """A training that would go on for years is known before it begins."""
    for name in ("n_estimators", "max_iter"):
        value = settled.get(name)
        if isinstance(value, int | float) and value > MAX_ROUNDS:
            raise UserError(f"{name} is {value:.4g}, and so many rounds would not end; give {MAX_ROUNDS:,} at most")


def whole(name: str, value: Any, default: Any) -> Any:
    """An integer again, where KFP made a float of it; see the fractions above for the exceptions."""
    if not isinstance(value, float) or not value.is_integer() or isinstance(default, float):
        return value
    return value if name in _FRACTIONS and value == 1 else int(value)


def threads_for(rows: int) -> int:
    """Threads to fit so many rows with."""
    return THREADS if rows >= ROWS_FOR_THREADS else 1


def find(name: str) -> Estimator:
    """The estimator of that name.

    Raises:
        UserError: lists the names there are.
    """
    if name not in ESTIMATORS:
        raise UserError(f"estimator '{name}' is not known; choose one of: {listed(ESTIMATORS)}")
    return ESTIMATORS[name]


def logistic(regularization: float = 1.0, max_iter: int = 1000, random_state: int = 0) -> Any:
    """Logistic regression with an L2 penalty; a greater `regularization` means smaller coefficients."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(
        C=1.0 / regularization if regularization else math.inf, max_iter=max_iter, random_state=random_state
    )


def ridge(regularization: float = 1.0, max_iter: int | None = None, random_state: int = 0) -> Any:
    """Ridge regression; a greater `regularization` means smaller coefficients."""
    from sklearn.linear_model import Ridge

    return Ridge(alpha=regularization, max_iter=max_iter, random_state=random_state)


_RATE = Range(0.01, 0.3)
_ROUNDS = Range(50, 500)
_L2 = Range(1e-3, 10.0)

ESTIMATORS: Mapping[str, Estimator] = {
    "hist_gradient_boosting": Estimator(
        library="scikit-learn",
        classifier="sklearn.ensemble.HistGradientBoostingClassifier",
        regressor="sklearn.ensemble.HistGradientBoostingRegressor",
        # 'auto' would hold out random rows above 10,000, across time and groups
        defaults={"early_stopping": False},
        fixed={},
        dtype="float64",
        round_thresholds=thresholds.of_boosted_histograms,
        space={
            "learning_rate": _RATE,
            "max_iter": _ROUNDS,
            "max_leaf_nodes": Range(8, 128),
            "min_samples_leaf": Range(5, 200),
            "l2_regularization": _L2,
        },
    ),
    "lightgbm": Estimator(
        library="lightgbm",
        classifier="lightgbm.LGBMClassifier",
        regressor="lightgbm.LGBMRegressor",
        defaults={},
        fixed={"deterministic": True, "force_row_wise": True, "verbose": -1},
        threaded=True,
        more=("monotone_constraints", "interaction_constraints"),
        round_thresholds=thresholds.of_lightgbm,
        space={
            "learning_rate": _RATE,
            "n_estimators": _ROUNDS,
            "num_leaves": Range(8, 128),
            "min_child_samples": Range(5, 200),
            "reg_lambda": _L2,
            "colsample_bytree": Range(0.5, 1.0, log=False),
        },
    ),
    "xgboost": Estimator(
        library="xgboost-cpu",
        classifier="xgboost.XGBClassifier",
        regressor="xgboost.XGBRegressor",
        defaults={},
        fixed={"tree_method": "hist", "device": "cpu"},
        threaded=True,
        only={"booster": ("gbtree",), "multi_strategy": ("one_output_per_tree",)},
        only_for_classes={"num_parallel_tree": (1,)},
        space={
            "learning_rate": _RATE,
            "n_estimators": _ROUNDS,
            "max_depth": Range(3, 9, log=False),
            "min_child_weight": Range(1.0, 50.0),
            "reg_lambda": _L2,
            "colsample_bytree": Range(0.5, 1.0, log=False),
        },
    ),
    "random_forest": Estimator(
        library="scikit-learn",
        classifier="sklearn.ensemble.RandomForestClassifier",
        regressor="sklearn.ensemble.RandomForestRegressor",
        # trees grown to the last row make a model of hundreds of megabytes; this bounds it near 10 MB a class
        defaults={"max_leaf_nodes": 1024, "min_samples_leaf": 2},
        fixed={},
        threaded=True,
        space={
            "max_leaf_nodes": Range(64, 2048),
            "min_samples_leaf": Range(1, 50),
            "max_features": Range(0.1, 1.0, log=False),
        },
        reads_missing=False,
        fit_bytes=18.0,
        round_thresholds=thresholds.of_a_forest,
    ),
    "linear": Estimator(
        library="scikit-learn",
        classifier="kubeline.training.estimators.logistic",
        regressor="kubeline.training.estimators.ridge",
        defaults={},
        fixed={},
        space={"regularization": Range(1e-4, 1e3)},
        reads_missing=False,
        one_hot=True,
        fit_bytes=26.0,
    ),
}
