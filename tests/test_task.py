"""Every step has the same answer to what a target is."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from kubeline.data.dataset import DatasetWriter, open_dataset
from kubeline.roles import Roles
from kubeline.schema.infer import infer_schema
from kubeline.schema.profile import open_queries, profile_table
from kubeline.training.table import read

ROWS = 210
TARGETS = {
    "ratings from 1.0 to 5.0": (np.arange(ROWS) % 5 + 1.0, "multiclass"),
    "ratings from 1 to 5": (np.arange(ROWS) % 5 + 1, "multiclass"),
    "ratings in halves": (np.arange(ROWS) % 5 / 2, "regression"),
    "ratings as decimals": ([Decimal(i % 5 + 1) for i in range(ROWS)], "multiclass"),
    "twenty whole floats": (np.arange(ROWS) % 20 * 1.0, "multiclass"),
    "twenty-one whole floats": (np.arange(ROWS) % 21 * 1.0, "regression"),
    "twenty-one whole numbers": (np.arange(ROWS) % 21, "regression"),
    "two floats": (np.arange(ROWS) % 2 / 3, "binary"),
    "text": (np.where(np.arange(ROWS) % 2, "a", "b"), "binary"),
    "text of digits": ((np.arange(ROWS) % 30).astype(str), "multiclass"),
    "booleans": (np.arange(ROWS) % 2 == 0, "binary"),
    "prices": (np.arange(ROWS) * 1.5, "regression"),
}


@pytest.mark.parametrize("target", TARGETS)
def test_validate_and_train_take_a_target_for_the_same(tmp_path: Path, target: Any) -> None:
    values, task = TARGETS[target]
    table = pa.table({"x": np.arange(ROWS), "y": pa.array(values)})
    path = str(tmp_path / "table")
    with DatasetWriter(tmp_path / "table", table.schema) as writer:
        writer.write(table.to_batches()[0])
    assert read(path, Roles("y"), "auto").task == task
    with open_queries(open_dataset(path)) as queries:
        expected = infer_schema(profile_table(queries), "y").target.task
    assert expected == ("regression" if task == "regression" else "classification")
