"""Target encoding while fitting: a row is encoded by rows that are held out from it as validation rows are."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from kubeline.training import holdout
from kubeline.training.table import TrainingTable
from tests.support.training_tables import Train

TARGET = {"params": {"category_encoding": "target", "max_iter": 20}}


def _households(rows_each: int, number: int = 250) -> pd.DataFrame:
    """Rows that share the target with their household, whose name no later household has; ``x`` predicts it partly."""
    rng = np.random.default_rng(1)
    household = np.repeat(np.arange(number), rows_each)
    y = np.repeat(rng.integers(0, 2, number), rows_each)
    return pd.DataFrame(
        {
            "x": y + rng.normal(size=len(y)),
            "name": [f"household {each}" for each in household],
            "household": household,
            "y": np.where(y == 1, "yes", "no"),
        }
    )


def test_a_group_does_not_leak_its_own_target(train: Train) -> None:
    # the name was trusted, which says nothing of another household: an AUC of 0.5 where x gives 0.75
    package = train(_households(4), group_column="household", **TARGET)

    assert package.manifest.metrics["roc_auc"] > 0.7


def test_later_rows_do_not_leak_into_earlier_ones(train: Train) -> None:
    frame = _households(4)
    frame["household"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(frame["household"], unit="D")

    package = train(frame, time_column="household", **TARGET)

    assert package.manifest.metrics["roc_auc"] > 0.7


def test_a_copy_does_not_leak_the_target_of_its_row(train: Train) -> None:
    frame = _households(1, 1000).drop(columns="household")
    package = train(pd.concat([frame, frame, frame]), **TARGET)

    assert package.manifest.metrics["roc_auc"] > 0.65


def _table(**given: Any) -> TrainingTable:
    rows = len(given["y"])
    plain = dict.fromkeys(
        ("raw", "encoded", "given", "kinds", "transform", "positive_class", "weights", "groups", "times", "hashes")
    )
    return TrainingTable(
        **{**plain, "task": "binary", "classes": ["a", "b"], "equal": np.arange(rows), "notes": [], **given}
    )


@pytest.mark.parametrize("moments", [1, 2, 3, 7, 40])
def test_by_time_every_row_is_encoded_once_and_never_by_one_of_its_moment_or_later(moments: int) -> None:
    rng = np.random.default_rng(0)
    times = rng.integers(0, moments, 40).astype(float)
    table = _table(y=rng.integers(0, 2, 40), times=times)

    pairs = holdout.encoding_folds(table, np.arange(40), seed=0)

    assert sorted(np.concatenate([held for _, held in pairs])) == list(range(40))
    after = [held for learned, held in pairs if times[learned].max() < times[held].min()]
    inside = [held for learned, held in pairs if times[learned].max() >= times[held].min()]  # the first block
    assert times[np.concatenate(inside)].max() < min([times[held].min() for held in after], default=np.inf)
    assert all(len(learned) for learned, _ in pairs)
    assert len(after) >= min(3, moments - 1)


def test_rows_of_a_single_group_are_refused(train: Train) -> None:
    frame = _households(1)
    frame["household"] = [1, 2] * 125

    with pytest.raises(Exception, match="rows of other groups, and the rows to learn from are of a single one"):
        train(frame, group_column="household", **TARGET)


def test_the_package_does_not_hold_the_rows_of_each_fold(train: Train) -> None:
    import io

    import joblib

    package = train(_households(4), group_column="household", **TARGET)
    model = joblib.load(io.BytesIO((package.path / "model.joblib").read_bytes()))
    encoder = model.model["columns"].named_transformers_["categories"]

    assert encoder.cv == holdout.ENCODING_FOLDS
