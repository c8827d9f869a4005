"""Columns that are not where they seem: in the names of folders, and in an index that is none."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from kubeline.errors import UserError
from tests.support.artifacts import make_artifact
from tests.support.file_servers import S3, serving_files
from tests.support.loading import Load
from tests.support.training import trained


@pytest.fixture
def partitioned(tmp_path: Path) -> Path:
    """A table that Hive, Spark or pandas parted by two columns; its files do not hold them."""
    frame = pd.DataFrame(
        {"year": [2012, 2013, 2013, 2013], "carrier": ["UA", "UA", "B6/x", None], "delay": [1, 2, 3, 4]}
    )
    for (year, carrier), part in frame.groupby(["year", "carrier"], dropna=False):
        name = "__HIVE_DEFAULT_PARTITION__" if pd.isna(carrier) else carrier.replace("/", "%2F")
        folder = tmp_path / "flights" / f"year={year}" / f"carrier={name}"
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"delay": part["delay"].to_numpy()}), folder / "part-0.parquet")
    (tmp_path / "flights" / "_SUCCESS").touch()
    (tmp_path / "flights" / "_temporary" / "year=1999").mkdir(parents=True)
    (tmp_path / "flights" / "_temporary" / "year=1999" / "part-0.parquet").write_text("unfinished")
    return tmp_path / "flights"


def expected() -> list[tuple[int, int, str | None]]:
    return [(1, 2012, "UA"), (2, 2013, "UA"), (3, 2013, "B6/x"), (4, 2013, None)]


@pytest.mark.parametrize("place", ["{0}", "{0}/", "{0}/*/*/*.parquet", "{0}/year=*/**/*.parquet"])
def test_partitions_of_two_levels_keep_their_columns(place: str, partitioned: Path, load: Load) -> None:
    if place.startswith("{0}/*/*"):
        (partitioned / "_temporary" / "year=1999" / "part-0.parquet").unlink()
    frame = load(place.format(partitioned)).frame.sort_values("delay")
    assert list(frame.columns) == ["delay", "year", "carrier"]
    assert list(frame.itertuples(index=False, name=None)) == expected()


def test_partitions_in_an_object_store_keep_their_columns(
    partitioned: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        f"bucket/{path.relative_to(partitioned.parent)}": path.read_bytes()
        for path in partitioned.rglob("*.parquet")
        if "_temporary" not in str(path)
    }
    with serving_files(S3, files) as address:
        for name, value in s3_environment(address).items():
            monkeypatch.setenv(name, value)
        for place in ("s3://bucket/flights", "s3://bucket/flights/*/*/*.parquet"):
            frame = load(place).frame.sort_values("delay")
            assert list(frame.itertuples(index=False, name=None)) == expected()


def s3_environment(address: str) -> dict[str, str]:
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
    return {"AWS_ENDPOINT_URL": address, **keys}


@pytest.mark.parametrize(
    "key", ["a#b.csv", "a?b.csv", "what?v=1.csv", "[1].csv", "part-*.csv", "a b%20c&.csv", "ü+.csv"]
)
def test_any_key_of_an_object_store_can_be_read(key: str, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving_files(S3, {f"bucket/in/{key}": b"a\n1\n"}) as address:
        for name, value in s3_environment(address).items():
            monkeypatch.setenv(name, value)
        assert load(f"s3://bucket/in/{key}").frame["a"].tolist() == [1]
        assert load("s3://bucket/in").frame["a"].tolist() == [1]  # one file in a folder has a format too


def test_folders_that_are_no_partitions_are_reported(tmp_path: Path, load: Load) -> None:
    (tmp_path / "2013" / "01").mkdir(parents=True)
    (tmp_path / "2013" / "01" / "t.csv").write_text("a\n1\n")
    with pytest.raises(
        UserError, match=r"holds no files, only folders that are no partitions such as 'date=2013-10-01'; t"
    ):
        load(tmp_path)
    assert load(f"{tmp_path}/**/*.csv").frame["a"].tolist() == [1]


def test_a_column_of_the_file_comes_before_one_of_its_folder_and_it_is_reported_where_they_differ(
    tmp_path: Path, load: Load
) -> None:
    for folder in ("x=1", "x=2"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "t.csv").write_text("x,y\n7,2\n1,3\n")
    loaded = load(tmp_path)
    assert loaded.frame.to_dict("list") == {"x": [7, 1, 7, 1], "y": [2, 3, 2, 3]}
    assert loaded.metadata["warnings"] == [
        f"column 'x' has other values in the file than the name of its folder says: 1 row of '{tmp_path}/x=1/t.csv' "
        "and 1 more file; the file's values are taken"
    ]
    assert "warnings" not in load(tmp_path, columns=["y"]).metadata


@pytest.mark.parametrize(
    ("folder", "values"),
    [
        ("x=1", [1, 1]),
        ("x=01", [1, 1]),
        ("X=1", [1.0, 1.0]),
        ("x=True", [True, True]),
        ("x=2024-01-02", [pd.Timestamp("2024-01-02").date()] * 2),
        ("x=2024-01-02", [pd.Timestamp("2024-01-02")] * 2),
        ("x=a%2Fb", ["a/b", "a/b"]),
        ("x=__HIVE_DEFAULT_PARTITION__", pd.array([None, None], "Int64")),
    ],
)
def test_a_file_that_holds_what_its_folder_says_is_not_reported(
    folder: str, values: list[object], tmp_path: Path, load: Load
) -> None:
    (tmp_path / folder).mkdir()
    pd.DataFrame({"x": values, "y": [1, 2]}).to_parquet(tmp_path / folder / "t.parquet")
    assert "warnings" not in load(tmp_path).metadata


@pytest.mark.parametrize("name", ["t.parquet", "t.feather"])
@pytest.mark.parametrize("index", [None, "row"])
def test_an_index_of_pandas_is_left_out_and_reported(name: str, index: str | None, tmp_path: Path, load: Load) -> None:
    """As a feature it said how the rows were sorted: an AUC of 1.000 where .546 is right."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=2_000), "late": rng.integers(0, 2, 2_000).astype(bool)})
    frame = frame.sort_values("late", ignore_index=True).rename_axis(index).sample(frac=1, random_state=0)
    table = pa.Table.from_pandas(frame)
    assert len(table.column_names) == 3
    pq.write_table(table, tmp_path / name) if "parquet" in name else feather.write_feather(table, tmp_path / name)
    loaded = load(tmp_path / name)
    assert list(loaded.frame.columns) == ["x", "late"]
    (reported,) = loaded.metadata["warnings"]
    assert reported.startswith(f"column '{index or '__index_level_0__'}' is the index that pandas gave the rows")
    source = make_artifact(tmp_path, "Dataset", "source")
    source.uri = str(loaded.path)
    assert trained(tmp_path, source, "late", params={"max_iter": 5})["metrics"].metadata["roc_auc"] < 0.6


def test_an_index_that_is_asked_for_is_taken(tmp_path: Path, load: Load) -> None:
    frame = pd.DataFrame({"x": [1.5, 2.5]}, index=pd.Index([7, 8], name="id"))
    frame.to_parquet(tmp_path / "t.parquet")
    loaded = load(tmp_path / "t.parquet", columns=["id", "x"], where="id > 7")
    assert loaded.frame.to_dict("list") == {"id": [8], "x": [2.5]}
    assert "warnings" not in loaded.metadata
    assert load(tmp_path / "t.parquet", where="id > 7").frame.to_dict("list") == {"x": [2.5]}


def test_an_index_in_some_part_files_only_is_no_difference(tmp_path: Path, load: Load) -> None:
    pd.DataFrame({"x": [1]}).to_parquet(tmp_path / "1.parquet")
    pd.DataFrame({"x": [2, 3]}).query("x > 2").to_parquet(tmp_path / "2.parquet")
    assert load(tmp_path).frame.to_dict("list") == {"x": [1, 3]}


def test_an_index_that_went_through_csv_is_left_out_and_reported(tmp_path: Path, load: Load) -> None:
    (tmp_path / "t.csv").write_text("Unnamed: 0,x\n0,1\n1,2\n")
    loaded = load(tmp_path / "t.csv")
    assert loaded.frame.to_dict("list") == {"x": [1, 2]}
    assert loaded.metadata["warnings"][0].startswith("column 'Unnamed: 0' is the index that pandas gave the rows")


def test_a_table_of_an_index_alone_is_refused(tmp_path: Path, load: Load) -> None:
    pd.DataFrame(index=pd.Index([1, 2], name="id")).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(
        UserError, match=r"column 'id' is the index .* and no column is left; name those that are wanted"
    ):
        load(tmp_path / "t.parquet")


@pytest.mark.parametrize("text", ['a,"b\rc"\r1,x\r2,"y\rz"\r', 'a,"b\rc"\r1,x\r2,"y\rz"'])
def test_lines_may_end_with_a_carriage_return(text: str, tmp_path: Path, load: Load) -> None:
    (tmp_path / "t.csv").write_bytes(text.encode())
    assert load(tmp_path / "t.csv").frame.to_dict("list") == {"a": [1, 2], "b\rc": ["x", "y\rz"]}


@pytest.mark.parametrize("in_folder", [True, False])
def test_a_pipe_is_refused_and_does_not_hang(in_folder: bool, tmp_path: Path, load: Load) -> None:
    import os

    os.mkfifo(tmp_path / "t.csv")
    with pytest.raises(UserError, match=r"t.csv' is a pipe, a device or a socket, which may never end; give a file$"):
        load(tmp_path if in_folder else tmp_path / "t.csv")


@pytest.mark.parametrize("in_folder", [True, False])
def test_a_link_to_nothing_is_refused_in_a_sentence(in_folder: bool, tmp_path: Path, load: Load) -> None:
    (tmp_path / "t.csv").symlink_to(tmp_path / "gone.csv")
    with pytest.raises(UserError, match=r"t.csv' is a link to a file that is not there; mount or restore it, or take"):
        load(tmp_path if in_folder else tmp_path / "t.csv")


def test_many_small_files_are_one_table_in_the_order_of_their_names(tmp_path: Path, load: Load) -> None:
    for number in range(150):
        folder = tmp_path / "t" / f"part={number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        value = "0.12345678901234567890" if number == 101 else f"{number}.5"
        (folder / f"{number:03d}.csv").write_text(f"a,b\n{number},{value}\n")
    found = load(tmp_path / "t").frame
    assert found["a"].tolist() == [*range(0, 150, 2), *range(1, 150, 2)]
    assert found["part"].tolist() == [0] * 75 + [1] * 75


@pytest.mark.parametrize("value", ["1", "2013-10-01", "x y", "__HIVE_DEFAULT_PARTITION__", "007", "NA"])
def test_a_folder_that_says_a_column_is_read_by_line_as_by_the_engine(value: str, tmp_path: Path, load: Load) -> None:
    """Lines that end with a carriage return are the engine's."""
    for kind, text in (("lines", "a,b\nx,1\ny,2\n"), ("engine", "a,b\rx,1\ry,2\r")):
        (tmp_path / kind / f"p={value}").mkdir(parents=True)
        (tmp_path / kind / f"p={value}" / "t.csv").write_text(text)
    lines, engine = load(tmp_path / "lines"), load(tmp_path / "engine")
    assert lines.frame.columns.tolist() == ["a", "b", "p"]
    assert lines.metadata["fingerprint"] == engine.metadata["fingerprint"]
    assert lines.metadata.get("warnings") == engine.metadata.get("warnings")
    assert load(tmp_path / "lines", columns=["p"]).frame["p"].tolist() == engine.frame["p"].tolist()


def test_of_many_small_files_the_one_at_fault_is_named(tmp_path: Path, load: Load) -> None:
    for number in range(150):
        (tmp_path / f"{number:03d}.csv").write_text(f"a,b\n{number},{'1' if number != 101 else 'x,y'}\n")
    with pytest.raises(UserError, match=r"^line 2 of '.*101\.csv' has 3 fields, but the header has 2"):
        load(tmp_path)


def test_files_below_a_partition_that_are_in_none_are_not_left_out_without_a_word(tmp_path: Path, load: Load) -> None:
    """The rows of c=A were missing."""
    for inner in ("c=A/sub", "c=B"):
        (tmp_path / inner).mkdir(parents=True)
        (tmp_path / inner / "t.csv").write_text("x\n1\n")
    with pytest.raises(UserError, match=r"c=A/sub' lies in a partition and is none, such as .*; move its files up, or"):
        load(tmp_path)
    assert len(load(f"{tmp_path}/**/*.csv").frame) == 2
