"""What happens to columns before the model, fitted inside it and exported with it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from kubeline.columns import Kind
from kubeline.dates import DATE_PARTS
from kubeline.errors import UserError, listed
from kubeline.task import Task
from kubeline.training.estimators import Estimator

if TYPE_CHECKING:
    import pandas as pd

Encoding = Literal["ordinal", "one_hot", "target"]
Folds = Callable[[], list[tuple[Any, Any]]]  # pairs of places: to learn from, and to encode
Frequent = Callable[[str, int], list[Any]]
ENCODINGS = ("ordinal", "one_hot", "target")


@dataclass(frozen=True)
class Preprocessing:
    """How columns become numbers.

    Attributes:
        category_encoding: a number for each category by its frequency, a column for each, or the mean of the target.
        max_categories: the most frequent categories that are distinguished; rarer and unseen ones are one bucket.
        date_parts: of `DATE_PARTS`.
    """

    category_encoding: Encoding
    max_categories: int = 254  # the bins of the gradient boosting, less the bucket and the missing value
    date_parts: Sequence[str] = DATE_PARTS


def take(params: Mapping[str, Any], estimator: Estimator, task: Task) -> tuple[Preprocessing, dict[str, Any]]:
    """Part the settings of preprocessing from the hyperparameters of the estimator.

    Raises:
        UserError: when a setting has a value that is not allowed.
    """
    rest = dict(params)
    encoding = rest.pop("category_encoding", "one_hot" if estimator.one_hot else "ordinal")
    if encoding not in ENCODINGS:
        raise UserError(f"category_encoding '{encoding}' is not known; choose one of: {listed(ENCODINGS)}")
    if encoding == "target" and task == "multiclass":
        raise UserError("category_encoding 'target' cannot be exported for multiclass; choose ordinal or one_hot")
    most = rest.pop("max_categories", 254)
    if not isinstance(most, (int, float)) or most != int(most) or most < 1:
        raise UserError(f"max_categories is {most!r}; expected a whole number of at least 1")
    parts = rest.pop("date_parts", DATE_PARTS)
    wrong = [part for part in parts if part not in DATE_PARTS]
    if wrong or not parts:
        raise UserError(f"date_parts is {listed(parts) or 'empty'}; expected some of: {listed(DATE_PARTS)}")
    return Preprocessing(encoding, int(most), tuple(parts)), rest


def build(
    encoded: "pd.DataFrame",
    kinds: Mapping[str, Kind],
    estimator: Estimator,
    settings: Preprocessing,
    task: Task,
    folds: Folds,
    frequent: Frequent,
) -> Any:
    """An unfitted ColumnTransformer whose output is float32, so that ONNX splits trees where scikit-learn does.

    Args:
        encoded: some rows of the table, for the types of its columns.
        kinds: the kind of each feature.
        estimator: decides what numbers need.
        settings: how categories and dates become numbers.
        task: for target encoding.
        folds: for target encoding, see :func:`kubeline.training.holdout.encoding_folds`; made when it is asked for.
        frequent: of a column, so many of its most frequent categories in the rows to learn from.
    """
    from sklearn.compose import ColumnTransformer

    from kubeline.training.numbers import Differences
    from kubeline.training.transformers import DateParts, MissingFlags

    every = [name for name, kind in kinds.items() if kind in ("number", "boolean")]
    wide = [name for name in every if encoded[name].dtype == np.float64]
    numbers = [name for name in every if name not in wide]
    texts = [name for name, kind in kinds.items() if kind == "category" and encoded[name].dtype == object]
    codes = [name for name, kind in kinds.items() if kind == "category" and name not in texts]  # of derived columns
    dates = [name for name, kind in kinds.items() if kind == "datetime"]
    steps: list[tuple[str, Any, list[str]]] = []
    if numbers:
        steps.append(("numbers", _numbers(estimator), numbers))
    if numbers and not estimator.reads_missing:
        steps.append(("missing", MissingFlags(), numbers))
    if wide:
        steps.append(("differences", _after(Differences(), estimator), wide))
    if wide and not estimator.reads_missing:
        steps.append(("missing differences", MissingFlags(), wide))
    for title, categories in (("categories", texts), ("codes", codes)):
        if categories:
            steps.append((title, _categories(encoded, categories, settings, task, folds, frequent), categories))
    if dates:
        steps.append(("dates", _after(DateParts(settings.date_parts), estimator), dates))
    return ColumnTransformer(steps, sparse_threshold=0.3 if estimator.one_hot else 0.0)


def forget_folds(columns: Any) -> None:
    """Leave the number of folds where a fitted ColumnTransformer holds the rows of each, which no prediction needs."""
    for transformers in (columns.transformers, columns.transformers_):
        for name, transformer, _ in transformers:
            if name in ("categories", "codes") and not isinstance(getattr(transformer, "cv", 0), int):
                transformer.set_params(cv=len(transformer.cv))


def _numbers(estimator: Estimator) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if estimator.reads_missing:
        return "passthrough"
    # a column may be all missing in one fold, and must keep its place there
    imputer = SimpleImputer(strategy="median", keep_empty_features=True)
    return make_pipeline(imputer, StandardScaler()) if estimator.one_hot else imputer


def _after(transformer: Any, estimator: Estimator) -> Any:
    """A transformer that makes numbers, and what the estimator needs done to these."""
    from sklearn.pipeline import make_pipeline

    return transformer if estimator.reads_missing else make_pipeline(transformer, _numbers(estimator))


def _categories(
    encoded: "pd.DataFrame", names: list[str], settings: Preprocessing, task: Task, folds: Folds, frequent: Frequent
) -> Any:
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder

    if settings.category_encoding == "target":
        # the mean that a row is given while fitting is of other rows than itself
        return TargetEncoder(target_type="continuous" if task == "regression" else "binary", cv=folds())
    # rarest first: the bucket of rare and unseen ones is -1, next to the rarest
    kept = [frequent(name, settings.max_categories)[::-1] for name in names]
    if encoded[names[0]].dtype != object:  # codes, which are in the order of frequency, and must be sorted
        kept = [sorted(values) for values in kept]
    if settings.category_encoding == "one_hot":
        return OneHotEncoder(categories=kept, handle_unknown="ignore", dtype=np.float32)
    return OrdinalEncoder(categories=kept, handle_unknown="use_encoded_value", unknown_value=-1, dtype=np.float32)
