"""What is found out about a table while a model learns from it."""

import os
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kubeline.columns import Kind
from kubeline.drift.coded_rows import ROWS
from kubeline.roles import Roles
from kubeline.training.table import read
from kubeline.training.table_facts import Background, TableFacts
from tests.support.artifacts import Maker


@pytest.mark.skipif(sys.platform != "linux", reason="a thread has no priority of its own")
def test_it_takes_the_time_that_the_fit_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    def priority(table: Any, kinds: Mapping[str, Any], roles: Roles) -> int:
        return os.nice(0)

    monkeypatch.setattr(TableFacts, "of", priority)
    with Background(Roles("y")) as background:
        found: Any = background.facts(None, {})  # type: ignore[arg-type]
    assert found == min(19, os.nice(0) + 10)


@pytest.mark.parametrize("group", ["", "customer"])
def test_the_rows_that_the_package_keeps_as_bins_are_the_same_in_any_order_of_the_table(
    dataset: Maker, group: str
) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=2 * ROWS), "k": rng.choice(["a", "b"], 2 * ROWS)})
    frame = frame.assign(customer=rng.integers(0, 900, 2 * ROWS), y=rng.random(2 * ROWS) < 0.3)
    roles = Roles("y", group=group)
    kinds: dict[str, Kind] = {"x": "number", "k": "category"}
    one, other = (
        TableFacts.of(read(dataset(each, name).path, roles, "auto"), kinds, roles)
        for name, each in {"one": frame, "other": frame.sample(frac=1, random_state=0)}.items()
    )
    assert one.sample == other.sample
    assert one.sample["rows"] == ROWS
    assert (one.sample["together"] is None) is (group == "")
