"""Which of two classes recall and its like speak of."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kubeline.errors import UserError
from tests.support.training_tables import Train

ROWS = 600


def table(rare: str, other: str, share: float = 0.1) -> pd.DataFrame:
    """A target of which `rare` has a share of the rows, and cannot be predicted from the only feature."""
    rng = np.random.default_rng(0)
    y = np.where(np.arange(ROWS) < share * ROWS, rare, other)
    return pd.DataFrame({"x": rng.normal(size=ROWS), "y": rng.permutation(y)})


def test_without_a_word_the_rarer_class_is_the_positive_one_and_the_report_says_so(
    train: Train, tmp_path: Path
) -> None:
    package = train(table("fraud", "legit"))
    assert package.signature.classes == ["fraud", "legit"]
    assert package.signature.positive_class == "fraud"
    assert package.metadata()["positive_class"] == "fraud"
    page = (tmp_path / "report").read_text()
    assert "the positive class is &#39;fraud&#39;, 60 of 600 rows (the rarer of the two" in page.replace("The", "the")
    assert "f1 of &#39;fraud&#39;" in page


def test_a_model_that_never_says_fraud_has_no_f1_of_fraud(train: Train) -> None:
    """It had an f1 of .95, that of 'legit', the last by the alphabet."""
    assert train(table("fraud", "legit")).manifest.metrics["f1"] < 0.3
    assert train(table("fraud", "legit"), positive_class="legit").manifest.metrics["f1"] > 0.9


@pytest.mark.parametrize(
    ("values", "wanted", "found"),
    [
        ([True, False], "", "True"),
        ([False, True], "", "False"),
        ([False, True], "true", "True"),
        ([0, 1], "1.0", "1"),
        ([1.0, 0.0], "", "1"),
        (["no", "yes"], "yes", "yes"),
    ],
)
def test_the_positive_class_is_found_in_every_form_of_two_classes(
    train: Train, values: list[Any], wanted: str, found: str
) -> None:
    """The first of the values is the rarer one."""
    rng = np.random.default_rng(0)
    y = np.array(values)[(np.arange(ROWS) % 5 > 0).astype(int)]
    package = train(pd.DataFrame({"x": rng.normal(size=ROWS), "y": y}), positive_class=wanted)
    assert package.signature.positive_class == found


def test_of_two_equally_frequent_classes_the_last_is_positive(train: Train) -> None:
    frame = pd.DataFrame({"x": np.random.default_rng(0).normal(size=ROWS), "y": np.arange(ROWS) % 2 == 0})
    assert train(frame).signature.positive_class == "True"


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (table("fraud", "legit"), "positive_class 'theft' is not a class of the target; it has: fraud, legit"),
        (
            table("fraud", "legit").assign(y=np.arange(ROWS) % 3),
            "of two classes, but the task is",
        ),
        (
            table("fraud", "legit").assign(y=np.arange(ROWS) / 7),
            "of two classes, but the task is",
        ),
    ],
)
def test_a_positive_class_that_is_none_is_refused(train: Train, frame: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        train(frame, positive_class="theft")
