"""Files of every format and packing become the same dataset."""

import gzip
import json
import zipfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from tests.support.loading import Load

CSV = """id,weight,code,carrier,departure,late
1,0.5,007,UA,2013-01-01 05:00:00,true
2,,010,NA,2013-01-02 06:30:00,false
"""
TSV = CSV.replace(",", "\t")
FRAME = pd.DataFrame(
    {
        "id": [1, 2],
        "weight": [0.5, None],
        "code": ["007", "010"],
        "carrier": ["UA", "NA"],
        "departure": pd.to_datetime(["2013-01-01 05:00", "2013-01-02 06:30"]).astype("datetime64[us]"),
        "late": [True, False],
    }
)


def write(path: Path) -> Path:
    """Write the two rows in the format and packing that the name asks for."""
    name = path.name
    table = pa.Table.from_pandas(FRAME, preserve_index=False)
    if "parquet" in name:
        pq.write_table(table, path)
    elif "feather" in name:
        feather.write_feather(table, path)
    else:
        rows = json.loads(FRAME.to_json(orient="records", date_format="iso"))
        lines = "".join(json.dumps({**row, "departure": row["departure"][:19]}) + "\n" for row in rows)
        data = {"csv": CSV, "tsv": TSV, "jsonl": lines}[name.split(".")[1]].encode()
        if name.endswith(".gz"):
            data = gzip.compress(data)
        if name.endswith(".zst"):
            data = pa.compress(data, codec="zstd", asbytes=True)
        path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "name", ["t.csv", "t.tsv", "t.csv.gz", "t.csv.zst", "t.tsv.gz", "t.jsonl", "t.jsonl.gz", "t.parquet", "t.feather"]
)
def test_every_format_gives_the_same_rows_types_and_fingerprint(name: str, tmp_path: Path, load: Load) -> None:
    loaded = load(write(tmp_path / name))
    pd.testing.assert_frame_equal(loaded.frame, FRAME)
    assert loaded.metadata["rows"] == 2
    assert loaded.metadata["columns"] == 6
    assert loaded.metadata["bytes"] == sum(file.stat().st_size for file in loaded.path.iterdir())
    assert loaded.metadata["fingerprint"] == load(write(tmp_path / "plain.csv")).metadata["fingerprint"]
    assert loaded.metadata["source"] == str(tmp_path / name)


def test_the_members_of_a_zip_archive_are_files_of_one_table(tmp_path: Path, load: Load) -> None:
    with zipfile.ZipFile(tmp_path / "t.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("b/two.csv", "a,b\n3,z\n")
        archive.writestr("b/one.csv", "a,b\n1,x\n2,y\n")
        archive.writestr("__MACOSX/one.csv", "junk")
    assert load(tmp_path / "t.zip").frame.to_dict("list") == {"a": [1, 2, 3], "b": ["x", "y", "z"]}


@pytest.mark.parametrize("source", ["{0}", "{0}/*.csv", "file://{0}", "file://{0}/b%20*.csv"])
def test_a_folder_and_a_glob_are_read_in_the_order_of_their_names(source: str, tmp_path: Path, load: Load) -> None:
    folder = tmp_path / "months"
    folder.mkdir()
    (folder / "b 1.csv").write_text("x,y\n1,one\n")
    (folder / "b 2.csv").write_text("y,x\ntwo,2\n")  # another order of the columns is the same table
    (folder / "_SUCCESS").touch()
    (folder / ".hidden.csv").write_text("junk")
    assert load(source.format(folder)).frame.to_dict("list") == {"x": [1, 2], "y": ["one", "two"]}


def test_a_name_with_the_characters_of_a_glob_is_a_file_when_there_is_one(tmp_path: Path, load: Load) -> None:
    (tmp_path / "t[1].csv").write_text("a\n1\n")
    (tmp_path / "t1.csv").write_text("a\n2\n")
    assert load(tmp_path / "t[1].csv").frame["a"].tolist() == [1]


def test_the_format_can_be_said_when_the_name_does_not(tmp_path: Path, load: Load) -> None:
    (tmp_path / "export").write_bytes(gzip.compress(b"a\tb\n1\t2\n"))
    assert load(tmp_path / "export", format="tsv").frame.to_dict("list") == {"a": [1], "b": [2]}


@pytest.mark.parametrize("delimiter", [",", ";", "|", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_delimiters_quotes_line_ends_and_a_byte_order_mark_are_understood(
    delimiter: str, end: str, tmp_path: Path, load: Load
) -> None:
    text = end.join(["a|b", '1|"x, ""y"""', '2|"two\nlines | here"', '3|""', ""]).replace("|", delimiter)
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    texts = ['x, "y"', f"two\nlines {delimiter} here", None]
    assert load(tmp_path / "t.csv").frame.to_dict("list") == {"a": [1, 2, 3], "b": texts}


def test_monthly_files_whose_number_types_differ_become_the_wider_type(tmp_path: Path, load: Load) -> None:
    pq.write_table(pa.table({"a": pa.array([1], pa.int32()), "b": pa.nulls(1)}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"a": pa.array([2.5]), "b": pa.array(["x"])}), tmp_path / "2.parquet")
    assert load(tmp_path / "*.parquet").frame.to_dict("list") == {"a": [1.0, 2.5], "b": [None, "x"]}


def test_declared_types_become_what_a_model_can_take(tmp_path: Path, load: Load) -> None:
    import datetime
    import decimal

    table = pa.table(
        {
            "date": [datetime.date(2013, 1, 1)],
            "price": [decimal.Decimal("1.25")],
            "count": pa.array([decimal.Decimal(7)], pa.decimal128(10, 0)),
            "carrier": pa.array(["UA"]).dictionary_encode(),
            "zoned": pa.array([datetime.datetime(2013, 1, 1)], pa.timestamp("ns", "America/New_York")),  # noqa: DTZ001
            "nothing": pa.nulls(1),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    frame = load(tmp_path / "t.parquet").frame
    kinds = {name: str(kind) for name, kind in frame.dtypes.items()}
    assert kinds == {
        "date": "datetime64[us]",
        "price": "float64",
        "count": "int64",
        "carrier": "object",
        "zoned": "datetime64[ns, UTC]",
        "nothing": "object",
    }
    assert frame["carrier"].tolist() == ["UA"]


def test_columns_are_taken_in_the_order_asked_for_and_the_filter_may_use_others(tmp_path: Path, load: Load) -> None:
    (tmp_path / "t.csv").write_text("a,b,c\n1,x,0.5\n2,y,1.5\n3,x,2.5\n")
    loaded = load(tmp_path / "t.csv", columns=["c", "a"], where="B = 'x' and c > 1 -- the comment ends here")
    assert loaded.frame.to_dict("list") == {"c": [2.5], "a": [3]}


def test_the_filter_sees_times_as_times(tmp_path: Path, load: Load) -> None:
    (tmp_path / "t.csv").write_text("t\n2013-01-01\n2013-06-01\n")
    assert len(load(tmp_path / "t.csv", where="t >= '2013-03-01'").frame) == 1


@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "t.feather", "t.jsonl"])
def test_rows_keep_their_order_whatever_the_filter(name: str, tmp_path: Path, load: Load) -> None:
    numbers = range(300_000)
    table = pa.table({"i": pa.array(numbers), "x": pa.array(numbers).cast(pa.float64())})
    path = tmp_path / name
    if name == "t.parquet":
        pq.write_table(table, path, row_group_size=20_000)
    elif name == "t.feather":
        feather.write_feather(table, path, chunksize=200_000)
    elif name == "t.csv":
        path.write_text("i,x\n" + "".join(f"{number},{number}.0\n" for number in numbers))
    else:
        path.write_text("".join(f'{{"i": {number}, "x": {number}.0}}\n' for number in numbers))
    where = "i % 11 NOT IN (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)"  # a list that long would become a join
    assert load(path).frame["i"].tolist() == list(numbers)
    assert load(path, where=where).frame["i"].tolist() == list(range(0, 300_000, 11))
