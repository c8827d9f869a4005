"""``model.joblib`` takes the table as it came, or refuses it: it never takes one column for another."""

from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest

from kubeline.errors import UserError
from tests.support.training_tables import Train, for_task, mixed_table


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_raw_table_is_answered_as_onnx_answers_it(train: Train, task: str) -> None:
    """Given raw columns, 96 % of the prices of houses were others, without a word."""
    frame = for_task(mixed_table(), task)
    package = train(frame)
    model = joblib.load(package.path / "model.joblib")
    expected = package.predictor(1).predict(frame)
    shuffled = frame[frame.columns[::-1]].assign(other="ignored")
    for table in (frame, shuffled, frame.drop(columns="y"), frame.convert_dtypes()):
        if task == "regression":
            assert model.predict(table) == pytest.approx(expected.values, rel=1e-5)
        else:
            assert (model.predict(table) == expected.values).all()
            assert model.predict_proba(table) == pytest.approx(expected.probabilities, abs=1e-5)
            assert model.classes_.tolist() == package.signature.classes
    assert model.feature_names_in_.tolist() == package.signature.names


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.drop(columns="rooms"), "column 'rooms' is missing; the model needs size, rooms"),
        (lambda frame: frame.rename(columns=str.upper), "column 'size' is missing"),
        (
            lambda frame: frame.assign(size=frame["size"].astype(str)),
            "column 'size' holds 'aaa' of type str",
        ),
        (lambda frame: frame.assign(city=1.5), "column 'city' holds 9.9 of type float where text is expected"),
        (lambda frame: frame.to_numpy(), "takes a pandas DataFrame, whose columns have names, but was given ndarray"),
    ],
)
def test_another_table_is_refused(train: Train, mixed: pd.DataFrame, change: Any, message: str) -> None:
    model = joblib.load(train(mixed).path / "model.joblib")
    with pytest.raises(UserError, match=message):
        model.predict(change(mixed))


def test_account_numbers_stay_exact(train: Train) -> None:
    frame = pd.DataFrame({"x": 1_234_567_890 + np.arange(400) % 2, "y": np.arange(400) % 2 == 0})
    model = joblib.load(train(frame).path / "model.joblib")
    assert (model.predict(frame) == frame["y"].astype(str)).all()
