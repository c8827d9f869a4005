"""The rows of a group or day are found some rows at a time, and are those that are found of the whole column."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kubeline.data.dataset import read_frame
from kubeline.data.stored import StoredTable
from kubeline.errors import UserError
from kubeline.evaluation.rows import clusters_of, stored_clusters
from kubeline.model_package.manifest import ManifestRoles

ROWS = 3_000
GROUP, TIME = ManifestRoles(group="of"), ManifestRoles(time="of")
RNG = np.random.default_rng(0)
DRAWN = RNG.integers(-40, 40, ROWS)
COLUMNS: dict[str, pd.Series] = {
    "whole numbers beyond a double": pd.Series(DRAWN.astype(np.int64) + 2**60),
    "numbers, minus zero too": pd.Series(np.where(DRAWN % 2, DRAWN * 0.5, -0.0) * np.where(DRAWN % 3, 1, -1)),
    "texts": pd.Series([f"customer {one} é" for one in DRAWN]),
    "times before and after 1970": pd.Timestamp("1970-01-05 07:30") + pd.to_timedelta(pd.Series(DRAWN * 7), unit="h"),
    "times of a zone": pd.Series(pd.Timestamp("2024-03-30 22:10", tz="Europe/Berlin") + pd.to_timedelta(DRAWN, "h")),
    "dates": pd.Series((pd.Timestamp("2024-01-01") + pd.to_timedelta(DRAWN, "D")).date),
    "truths": pd.Series(DRAWN > 0),
}
JUDGED = RNG.random(ROWS) < 0.6


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubeline.evaluation.rows.PIECE_ROWS", 512)


@pytest.mark.parametrize(
    ("roles", "name"), [*((GROUP, name) for name in COLUMNS), *((TIME, name) for name in COLUMNS if name != "texts")]
)
def test_rows_have_the_numbers_that_the_whole_column_gives_them(
    roles: ManifestRoles, name: str, dataset: Callable[..., Any]
) -> None:
    path = dataset(pd.DataFrame({"of": COLUMNS[name]}), "test").path
    found = stored_clusters(StoredTable(path), JUDGED, roles, asked=True)
    whole = clusters_of(read_frame(path)[JUDGED], roles, asked=True)
    assert found.codes is not None
    assert whole.codes is not None
    np.testing.assert_array_equal(np.asarray(found.codes), whole.codes[:])
    assert (found.number, found.assumed) == (whole.number, whole.assumed)


def test_texts_are_taken_as_times_where_they_are_such(dataset: Callable[..., Any]) -> None:
    texts = pd.Series([f"2024-01-{1 + one % 28:02}" for one in range(ROWS)])
    found = stored_clusters(StoredTable(dataset(pd.DataFrame({"of": texts}), "test").path), JUDGED, TIME, asked=True)
    assert found.number == 28


@pytest.mark.parametrize("name", ["texts", "numbers, minus zero too"])
def test_missing_values_of_all_judged_rows_are_counted(name: str, dataset: Callable[..., Any]) -> None:
    values = COLUMNS[name].astype(object)
    values[[5, 2_900]] = None
    table = StoredTable(dataset(pd.DataFrame({"of": values}), "test").path)
    with pytest.raises(UserError, match="group column 'of' is missing in 2 test rows"):
        stored_clusters(table, np.ones(ROWS, dtype=bool), GROUP, asked=True)
