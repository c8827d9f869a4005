"""What became of requests, known later, beside the rows of their log: joined by request id, exact or reported."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from components.load.component import load
from kubeline.errors import UserError
from tests.support.artifacts import make_artifact


def log_of(folder: Path, requests: int = 4, rows: int = 2) -> Path:
    """A payload log in two days: requests of so many rows each."""
    frame = pd.DataFrame(
        {
            "distance": [float(number) for number in range(requests * rows)],
            "request.id": [f"id-{number // rows}" for number in range(requests * rows)],
            "request.row": pd.Series([number % rows for number in range(requests * rows)], dtype="int32"),
            "request.time": pd.to_datetime(
                [f"2013-10-0{1 + number // rows % 2}T06:00Z" for number in range(requests * rows)]
            ),
        }
    ).sort_values("request.time", kind="stable")
    for day, part in frame.groupby(frame["request.time"].dt.date):
        (folder / "log" / f"date={day}").mkdir(parents=True)
        part.to_parquet(folder / "log" / f"date={day}" / "part-1.parquet", index=False)
    return folder / "log"


def labels_of(folder: Path, **columns: Any) -> Path:
    """A table of labels, as CSV."""
    pd.DataFrame({name.replace("_", "."): values for name, values in columns.items()}).to_csv(
        folder / "labels.csv", index=False
    )
    return folder / "labels.csv"


def loaded(folder: Path, source: Path, **inputs: Any) -> tuple[pd.DataFrame, dict[str, Any]]:
    data = make_artifact(folder, "Dataset", "dataset")
    load.python_func(source=str(source), dataset=data, **inputs)
    return pd.read_parquet(data.path), data.metadata


def test_labels_stand_beside_the_rows_of_their_requests_in_the_order_of_the_log(tmp_path: Path) -> None:
    ids, rows = ["id-3", "id-0", "id-0", "id-2"], [1, 0, 1, 0]
    labels = labels_of(tmp_path, request_id=ids, request_row=rows, late=["true", "false", "true", "true"])
    frame, metadata = loaded(tmp_path, log_of(tmp_path), labels=str(labels))
    assert frame["distance"].tolist() == [0, 1, 4, 5, 2, 3, 6, 7]
    assert frame["late"].astype(object).where(frame["late"].notna(), None).tolist() == [
        *(False, True, True, None),
        *(None, None, None, True),
    ]
    assert [*frame] == ["distance", "request.id", "request.row", "request.time", "late"]
    assert "warnings" not in metadata


def test_labels_that_never_come_are_missing_and_the_rows_are_there(tmp_path: Path) -> None:
    labels = labels_of(tmp_path, request_id=["another"], request_row=[0], late=["true"])
    frame, _ = loaded(tmp_path, log_of(tmp_path), labels=str(labels))
    assert len(frame) == 8
    assert frame["late"].isna().all()


def test_labels_that_come_twice_are_one_and_two_that_differ_are_none_and_reported(tmp_path: Path) -> None:
    ids, late = ["id-0", "id-0", "id-1", "id-1"], ["true", "true", "true", "false"]
    labels = labels_of(tmp_path, request_id=ids, late=late)
    frame, metadata = loaded(tmp_path, log_of(tmp_path, rows=1), labels=str(labels))
    assert frame.set_index("request.id")["late"].dropna().to_dict() == {"id-0": True}
    assert metadata["warnings"] == [
        "1 of 2 requests have labels that differ, of which the right one is not known, and are left without"
    ]


def test_the_window_the_filter_and_the_columns_are_of_the_joined_table(tmp_path: Path) -> None:
    ids, days = ["id-0", "id-1", "id-2", "id-3"], ["2013-09-30", *["2013-10-01"] * 3]
    labels = labels_of(tmp_path, request_id=ids, late=["true"] * 4, departure=days)
    log = log_of(tmp_path, rows=1)
    chosen = {"columns": ["late", "distance"], "where": "distance < 3", "at": "2013-10-02", "length": "24h"}
    frame, metadata = loaded(tmp_path, log, **chosen, options={"labels": str(labels), "time": "departure"})
    assert [*frame] == ["late", "distance"]
    assert sorted(frame["distance"]) == [1, 2]
    assert metadata["window"] == "2013-10-01T00:00:00+00:00/2013-10-02T00:00:00+00:00"
    assert metadata["source"] == str(log)
    by_request, _ = loaded(tmp_path, log, at="2013-10-02", length="24h", labels=str(labels))
    assert sorted(by_request["distance"]) == [0, 2]


def test_ids_of_digits_and_types_that_are_asked_for_keep_their_text(tmp_path: Path) -> None:
    pd.DataFrame({"request.id": ["1", "2"], "code": ["1.10", "2.20"]}).to_csv(tmp_path / "log.csv", index=False)
    labels = labels_of(tmp_path, request_id=["2", "1"], gate=["07", "7"])
    types = {"code": "text", "gate": "text", "request.id": "text"}
    frame, _ = loaded(tmp_path, tmp_path / "log.csv", labels=str(labels), types=types, rename={"gate": "stand"})
    assert frame.to_dict("list") == {"request.id": ["1", "2"], "code": ["1.10", "2.20"], "stand": ["7", "07"]}


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"id": ["id-0"], "late": ["true"]}, "joined by 'request.id', which the labels do not have"),
        ({"request_id": ["id-0"], "late": ["true"]}, "4 rows are of requests with more than one row"),
        ({"request_id": ["id-0"], "request_row": [0]}, "the labels have no column but request.id, request.row"),
        ({"request_id": ["id-0"], "request_row": [0], "distance": [1]}, "column 'distance' is in the rows and in the"),
    ],
)
def test_labels_that_cannot_be_joined_are_reported(tmp_path: Path, columns: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        loaded(tmp_path, log_of(tmp_path), labels=str(labels_of(tmp_path, **columns)))
