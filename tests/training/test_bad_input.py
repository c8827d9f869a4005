"""Bad tables and parameters: one sentence that says what to do, and nothing left on disk."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from components.train.component import train as component
from kubeline.artifacts import publish
from kubeline.data.dataset import write_dataset
from kubeline.errors import UserError
from tests.support.artifacts import Maker
from tests.support.training_tables import Train, for_task, mixed_table


def changed(**columns: Any) -> pd.DataFrame:
    """The small table with some columns added or replaced."""
    return for_task(mixed_table(300), "binary").assign(**columns)


def at(row: int, value: Any, rows: int = 300, rest: Any = 1.0) -> np.ndarray:
    """An array of `rest` with `value` in one row."""
    values = np.full(rows, rest, dtype=object)
    values[row] = value
    return values


ROWS = np.arange(300)
BAD: dict[str, tuple[Any, dict[str, Any], str]] = {
    "unknown target": (changed(), {"target": "late"}, "target 'late' is not a column of this table; it has: size"),
    "one class": (changed(y="no"), {}, "target 'y' has the one value no in every row"),
    "missing labels": (changed(y=at(3, None, rest=True)), {}, "target 'y' is missing in 1 of 300 rows"),
    "a constant target of a regression": (changed(y=2.5), {"task": "regression"}, "has the one value 2.5 in every row"),
    "a text target of a regression": (
        changed(y=np.where(ROWS % 2, "a", "b")),
        {"task": "regression"},
        "needs a target of",
    ),
    "a date as target": (changed(y=pd.Timestamp("2020-01-01")), {}, "target 'y' has the type timestamp"),
    "infinite target": (changed(y=at(7, np.inf).astype(float) * ROWS), {}, "column 'y' holds inf in row 7"),
    "a class with a single row": (
        changed(y=at(5, "rare", rest="a")),
        {},
        "class 'rare' of target 'y' has a single row",
    ),
    "three classes for binary": (
        changed(y=ROWS % 3),
        {"task": "binary"},
        "needs a target of two classes, but 'y' has 3",
    ),
    "too many classes": (
        pd.DataFrame({"size": 1.0, "y": [f"c{i // 2}" for i in range(2_002)]}),
        {},
        "has 1,001 different values, and at most 1,000",
    ),
    "unknown task": (changed(), {"task": "ranking"}, "task is 'ranking'; expected one of: auto, binary"),
    "infinite feature": (changed(size=at(9, -np.inf).astype(float)), {}, "column 'size' holds -inf in row 9"),
    "larger than float32": (changed(size=at(9, 1e39).astype(float)), {}, "column 'size' holds 9e+99 in row 9"),
    "a text in a column of numbers": (
        changed(size=[*(f"{i}.5" for i in ROWS[:-1]), "unknown"]),
        {},
        "column 'size' holds numbers as text and, in row 299, 'aaaaaaa'",
    ),
    "a column of lists": (changed(size=[[1]] * 300), {}, "column 'size' has the type list<"),
    "no feature left": (changed()[["size", "y"]], {"exclude": ["size"]}, "no feature is left"),
    "only empty features": (changed()[["y"]].assign(a=None, b=np.nan), {}, "no feature is left"),
    "unknown weight": (changed(), {"weight_column": "w"}, "weight column 'w' is not a column of this table"),
    "unknown group": (changed(), {"group_column": "g"}, "group column 'g' is not a column of this table"),
    "unknown time": (changed(), {"time_column": "t"}, "time column 't' is not a column of this table"),
    "unknown exclude": (changed(), {"exclude": ["e"]}, "excluded column 'e' is not a column of this table"),
    "target as weight": (changed(), {"weight_column": "y"}, "column 'y' is given as target and as weight"),
    "group and time": (
        changed(),
        {"group_column": "city", "time_column": "sold/at"},
        "group_column 'city' and time_column 'sold/at' ask for two different splits",
    ),
    "negative weight": (changed(w=at(4, -1.0).astype(float)), {"weight_column": "w"}, "'w' holds -9.9 in row 4"),
    "missing weight": (changed(w=at(4, None).astype(float)), {"weight_column": "w"}, "'w' is missing in 1 row;"),
    "no weight at all": (changed(w=0.0), {"weight_column": "w"}, "weight column 'w' is 0 in every row"),
    "text as weight": (changed(w="x"), {"weight_column": "w"}, "column 'w' holds 'a' of type str where a number"),
    "missing group": (changed(), {"group_column": "city"}, "group column 'city' is missing in"),
    "a single group": (changed(g=1), {"group_column": "g"}, "a single group"),
    "missing time": (changed(), {"time_column": "sold/at"}, "time column 'sold/at' is missing in"),
    "a single time": (changed(t=1), {"time_column": "t"}, "too few different times"),
    "a class only in the last rows": (
        changed(t=ROWS, y=np.where(ROWS > 280, "new", "old")),
        {"time_column": "t"},
        "class 'new' has no row to learn from besides those held out for validation",
    ),
    "a class only in the first rows": (
        changed(t=ROWS, y=np.where(ROWS < 50, "first", "old")),
        {"time_column": "t"},
        "the rows held out for validation are all of class 'old'",
    ),
    "fewer rows than folds": (
        changed().head(40).assign(y=[True] * 5 + [False] * 35),
        {"tuning_trials": 1, "folds": 10},
        "tuning with 10 folds needs at least 10 rows in the smallest class, but there are 4",
    ),
    "fewer groups than folds": (changed(g=ROWS % 4), {"group_column": "g", "tuning_trials": 1}, "at least 5 groups"),
    "one fold": (changed(), {"tuning_trials": 1, "folds": 1}, "folds is 1; expected at least 2, for cross-validation"),
    "one row": (changed().head(1), {}, "the dataset has 1 row;"),
    "no row": (changed().head(0), {}, "the dataset has 0 rows"),
    "unknown estimator": (changed(), {"estimator": "prophet"}, "estimator 'prophet' is not known; choose one of: hist"),
    "unknown hyperparameter": (
        changed(),
        {"params": {"n_estimators": 10}},
        "'n_estimators' is not a hyperparameter of HistGradientBoostingClassifier; it has: early_stopping",
    ),
    "reserved hyperparameter": (changed(), {"params": {"categorical_features": ["city"]}}, "is not a hyperparameter"),
    "bad value of a hyperparameter": (
        changed(),
        {"params": {"max_iter": -1}},
        "refuses its parameters: The 'max_iter'",
    ),
    "so many rounds that they would not end": (
        changed(),
        {"params": {"max_iter": 1e308}},
        "max_iter is 1e+308, and so many rounds would not end; give 1,000,000 at most",
    ),
    "so many trees that they would not end": (
        changed(),
        {"estimator": "lightgbm", "params": {"n_estimators": 10_000_000}},
        "n_estimators is 1e+07, and so many rounds would not end",
    ),
    "bad value for lightgbm": (
        changed(),
        {"estimator": "lightgbm", "params": {"num_leaves": 1}},
        "estimator lightgbm refuses its parameters",
    ),
    "bad value for xgboost": (
        changed(),
        {"estimator": "xgboost", "params": {"max_depth": "deep"}},
        "estimator xgboost refuses its parameters",
    ),
    "bad regularization": (
        changed(),
        {"estimator": "linear", "params": {"regularization": -1.0}},
        "estimator linear refuses its parameters",
    ),
    "unknown encoding": (changed(), {"params": {"category_encoding": "hash"}}, "category_encoding 'hash' is not known"),
    "target encoding of many classes": (
        changed(y=ROWS % 3),
        {"params": {"category_encoding": "target"}},
        "cannot be exported for multiclass",
    ),
    "no category to distinguish": (changed(), {"params": {"max_categories": 0}}, "max_categories is 0"),
    "unknown date part": (
        changed(),
        {"params": {"date_parts": ["week"]}},
        "date_parts is week; expected some of: year",
    ),
    "calibrated regression": (changed(y=ROWS * 1.5), {"calibration": "sigmoid"}, "a regression has none"),
    "unknown calibration": (changed(), {"calibration": "beta"}, "calibration is 'beta'; expected one of"),
    "balanced regression": (changed(y=ROWS * 1.5), {"balanced": True}, "a regression has none"),
    "everything held out": (changed(), {"validation_fraction": 1.0}, "validation_fraction is 1; expected a share"),
    "no tolerance": (changed(), {"tolerance": 0.0}, "tolerance is 0; expected more than 0"),
    "a tolerance that float32 cannot keep": (
        changed(),
        {"tolerance": 1e-12, "params": {"max_iter": 5}},
        "ONNX (model.onnx) and scikit-learn disagree beyond the tolerance 1e-12 on",
    ),
    "negative seed": (changed(), {"seed": -1}, "seed is -1; expected a whole number"),
    "negative trials": (changed(), {"tuning_trials": -1}, "tuning_trials is -1"),
    "no minute": (changed(), {"tuning_trials": 1, "tuning_minutes": 0.0}, "tuning_minutes is 0"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_in_one_sentence_and_leaves_nothing(name: str, artifact: Maker, tmp_path: Path) -> None:
    frame, parameters, sentence = BAD[name]
    dataset = artifact("Dataset", "dataset")
    table = pa.Table.from_pandas(frame, preserve_index=False)
    with publish(dataset.path) as path:
        write_dataset(dataset, table.schema, table.to_batches(), path, source="test")
    outputs = {kind.lower(): artifact(kind, kind.lower()) for kind in ("Model", "Metrics", "HTML")}
    with pytest.raises(UserError) as caught:
        component.python_func(
            dataset=dataset,
            model=outputs["model"],
            metrics=outputs["metrics"],
            report=outputs["html"],
            **{"target": "y", **parameters},
        )
    words = str(caught.value)
    assert sentence in words
    assert "\n" not in words
    assert [path.name for path in Path(tmp_path).iterdir()] == ["dataset"]
    assert not any(output.metadata for output in outputs.values())


def test_the_parity_error_names_the_row_and_both_predictions_and_no_value_of_it(train: Train) -> None:
    sentence = (
        r"on row \d+ of the dataset, where scikit-learn predicts a probability of '\w+' of 0\.\d+ and ONNX 0\.\d+;"
    )
    with pytest.raises(UserError, match=sentence):
        train(for_task(mixed_table(), "binary"), tolerance=1e-12)
