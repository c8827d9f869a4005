"""A table in, its predictions out: what the server would answer, and what no model can read quarantined."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kubeline.data.dataset import CHUNK_ROWS
from kubeline.errors import UserError
from kubeline.model_package import ModelPackage
from kubeline.model_package.package import version_of
from tests.support.artifacts import Maker


def test_each_row_has_the_answer_of_the_graph_that_serves_beside_its_own_columns(
    predicted: Maker, dataset: Maker, package: Any, flights: pd.DataFrame
) -> None:
    found = predicted(dataset(flights.head(500)), model=package)
    served = ModelPackage.open(package.path)
    expected = served.predictor().predict(flights.head(500))
    frame = found.frame
    assert list(frame.columns[: len(flights.columns)]) == list(flights.columns)
    assert frame["output.prediction"].tolist() == expected.values.tolist()
    for place, label in enumerate(served.signature.classes or ()):
        assert np.array_equal(frame[f"output.probability.{label}"], expected.probabilities[:, place])
    assert set(frame["model.version"]) == {version_of(served.digest)}
    assert (found.outputs.rows, found.outputs.quarantined) == (500, 0)
    assert found.metadata["model_version"] == version_of(served.digest)
    assert "500 of 500 rows predicted" in found.page


def test_only_the_columns_to_keep_come_along_in_their_order(
    predicted: Maker, dataset: Maker, package: Any, flights: pd.DataFrame
) -> None:
    frame = predicted(dataset(flights.head(5)), model=package, keep=["carrier", "month"]).frame
    assert list(frame.columns[:3]) == ["carrier", "month", "model.version"]


def test_rows_that_no_model_can_read_are_quarantined_with_every_reason(
    predicted: Maker, dataset: Maker, package: Any, flights: pd.DataFrame
) -> None:
    table = flights.head(6).astype({"distance": "float64"})
    table["month"] = ["1", "x", "3", "4", None, "6"]
    table.loc[1, "distance"] = np.inf
    table.loc[3, "distance"] = 1e39
    found = predicted(dataset(table), model=package, max_quarantine=0.5)
    assert found.quarantine["quarantine_reason"].tolist() == [
        "month: not a number; distance: not a finite float32",
        "distance: not a finite float32",
    ]
    assert found.quarantine["quarantine_row"].tolist() == [1, 3]
    assert found.quarantine["month"].tolist() == ["x", "4"]  # as they came
    kept = table.drop([1, 3]).assign(month=[1.0, 3.0, np.nan, 6.0])
    expected = ModelPackage.open(package.path).predictor().predict(kept)
    assert found.frame["output.prediction"].tolist() == expected.values.tolist()
    assert "4 of 6 rows predicted" in found.page
    assert "month: not a number: 1 row<" in found.page


def test_codes_that_were_loaded_as_numbers_are_text_to_a_model_that_knows_them_as_text(
    predicted: Maker, dataset: Maker, package: Any, flights: pd.DataFrame
) -> None:
    table = flights.head(4).copy()
    as_text = predicted(dataset(table.assign(carrier=["1", "2", "3", "4"])), model=package).frame
    as_number = predicted(dataset(table.assign(carrier=[1, 2, 3, 4])), model=package).frame
    assert as_number["output.probability.True"].tolist() == as_text["output.probability.True"].tolist()


def test_more_rows_quarantined_than_allowed_fail_with_the_reasons_and_leave_nothing(
    artifact: Maker, predicted: Maker, dataset: Maker, package: Any, flights: pd.DataFrame
) -> None:
    table = flights.head(4).assign(month=["x", "y", "z", "4"])
    message = r"3 of 4 rows cannot be predicted, more than max_quarantine = 0.5 allows: month: not a number \(3 rows\)"
    with pytest.raises(UserError, match=message):
        predicted(dataset(table), model=package)
    assert not Path(artifact("Dataset", "predictions").path).exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t.drop(columns=["month", "carrier"]),
            "the model needs month, carrier, which the table does not have",
        ),
        (lambda t: t.assign(month=pd.Timestamp("2013-01-01")), r"column 'month' is timestamp.*needs a number there"),
        (lambda t: t.assign(**{"output.prediction": 1}), "the table has a column 'output.prediction', which the pred"),
        (lambda t: t.head(0), "the table has no rows, so there is nothing to predict"),
    ],
    ids=["columns missing", "another type", "a name that is taken", "no rows"],
)
def test_a_table_of_which_no_row_can_be_predicted_is_refused(
    predicted: Maker, dataset: Maker, package: Any, flights: pd.DataFrame, change: Any, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        predicted(dataset(change(flights.head(4))), model=package)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"model": None}, "give one model"),
        ({"model_uri": "models:/flights@champion"}, "give one model"),
        ({"shard": "3/2"}, r"shard is '3/2'; expected .* such as 2/4"),
        ({"shard": "0/2"}, "shard is '0/2'"),
        ({"max_quarantine": 1.5}, "max_quarantine is 1.5; expected a share"),
        ({"keep": ["nope"]}, "keep 'nope' is not a column of this table"),
        ({"partition_by": ["carrier"]}, "give a destination too"),
        ({"destination": "nosuch://bucket/x"}, "destination 'nosuch://bucket/x' cannot be used"),
    ],
)
def test_parameters_that_do_not_fit_are_refused_in_a_sentence(
    predicted: Maker, dataset: Maker, package: Any, flights: pd.DataFrame, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        predicted(dataset(flights.head(4)), **{"model": package, **parameters})


def _large(folder: Path, flights: pd.DataFrame, artifact: Maker, groups: int) -> Any:
    """A dataset of several row groups, small ones, as if they were of 65,536 rows."""
    made = artifact("Dataset", "large")
    table = pa.Table.from_pandas(flights.head(40 * groups), preserve_index=False)
    Path(made.path).mkdir()
    pq.write_table(table, Path(made.path) / "part-00000.parquet", row_group_size=40)
    made.metadata["fingerprint"] = "f" * 64
    return made


@pytest.fixture
def large(tmp_path: Path, flights: pd.DataFrame, artifact: Maker) -> Any:
    return _large(tmp_path, flights, artifact, 7)


def test_shards_have_every_row_once_and_together_are_the_whole(predicted: Maker, package: Any, large: Any) -> None:
    whole = predicted(large, model=package).frame
    parts = [predicted(large, model=package, shard=f"{number}/3").frame for number in (1, 2, 3)]
    assert [len(part) for part in parts] == [120, 80, 80]
    together = pd.concat([parts[place % 3].iloc[40 * (place // 3) :][:40] for place in range(7)], ignore_index=True)
    pd.testing.assert_frame_equal(together, whole)
    assert len(predicted(large, model=package, shard="9/9").frame) == 0


def test_the_row_number_of_a_quarantined_row_counts_from_the_start_of_the_table(
    predicted: Maker, dataset: Maker, package: Any, flights: pd.DataFrame
) -> None:
    rows = CHUNK_ROWS + 10
    table = pd.concat([flights] * (rows // len(flights) + 1), ignore_index=True).head(rows)
    table = table.assign(distance=table["distance"].astype("float64"))
    table.loc[rows - 1, "distance"] = -np.inf
    assert predicted(dataset(table), model=package, shard="2/2").quarantine["quarantine_row"].tolist() == [rows - 1]


def test_a_destination_gets_the_files_of_every_shard_partitioned_and_is_complete_once_reported(
    predicted: Maker, package: Any, large: Any, tmp_path: Path
) -> None:
    goal = tmp_path / "out"
    for number in (1, 2):
        predicted(
            large,
            model=package,
            shard=f"{number}/2",
            destination=goal.as_uri(),
            partition_by=["carrier"],
            keep=["carrier", "month"],
        )
    whole = predicted(large, model=package, keep=["carrier", "month"]).frame
    stored = pd.read_parquet(goal).astype({"carrier": "str"})
    assert len(stored) == len(whole)
    assert stored["carrier"].value_counts().to_dict() == whole["carrier"].value_counts().to_dict()
    assert {path.parent.name for path in goal.rglob("*.parquet")} == {
        f"carrier={code}" for code in set(whole["carrier"])
    }
    reported = json.loads((goal / "_predictions-2-of-2.json").read_text(encoding="utf-8"))
    assert reported["rows"] == 120
    assert all((goal / name).is_file() and re.search(r"part-00002-of-00002-\d+", name) for name in reported["files"])


def test_a_shard_that_is_there_already_is_not_written_again(
    predicted: Maker, package: Any, large: Any, tmp_path: Path
) -> None:
    goal = tmp_path / "out"
    predicted(large, model=package, destination=str(goal))
    before = {path: path.stat().st_mtime_ns for path in goal.iterdir()}
    again = predicted(large, model=package, destination=str(goal))
    assert {path: path.stat().st_mtime_ns for path in goal.iterdir()} == before
    assert again.metadata["files"] == 1


def test_a_shard_that_was_cut_off_before_it_was_reported_is_written_whole(
    predicted: Maker, package: Any, large: Any, tmp_path: Path
) -> None:
    goal = tmp_path / "out"
    predicted(large, model=package, destination=str(goal))
    (goal / "_predictions-1-of-1.json").unlink()
    (part,) = goal.glob("*.parquet")
    part.write_bytes(part.read_bytes()[:100])
    predicted(large, model=package, destination=str(goal))
    assert len(pd.read_parquet(goal)) == 280


def test_predictions_of_others_at_the_destination_are_refused_or_with_overwrite_removed(
    predicted: Maker, dataset: Maker, package: Any, large: Any, flights: pd.DataFrame, tmp_path: Path
) -> None:
    goal = tmp_path / "out"
    predicted(large, model=package, destination=str(goal))
    other = dataset(flights.head(3))
    with pytest.raises(UserError, match=r"holds other predictions .*choose another destination, or set overwrite"):
        predicted(other, model=package, destination=str(goal))
    assert len(pd.read_parquet(goal)) == 280
    predicted(other, model=package, destination=str(goal), overwrite=True)
    assert len(pd.read_parquet(goal)) == 3


def test_drift_check_takes_the_predictions_as_they_are(
    predicted: Maker, dataset: Maker, package: Any, flights: pd.DataFrame
) -> None:
    from kubeline.drift.logged import LoggedAnswers

    frame = predicted(dataset(flights.head(50)), model=package).frame
    served = ModelPackage.open(package.path)
    logged = LoggedAnswers.found(frame.columns, served)
    assert logged is not None
    answers = logged.read(frame)
    assert answers is not None
    assert answers.values.tolist() == served.predictor().predict(flights.head(50)).values.tolist()
