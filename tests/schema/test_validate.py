"""The `validate` component: the three modes, what is passed on, and schemas that last."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from components.validate.component import validate
from kubeline.data.dataset import CHUNK_ROWS, read_frame
from kubeline.errors import UserError
from tests.support.artifacts import make_artifact, make_dataset


def test_a_good_table_passes_and_keeps_its_files_and_its_identity(
    clean: pd.DataFrame, dataset: Any, outputs: Any
) -> None:
    table = dataset(clean)
    answer = validate.python_func(table, **outputs)
    assert answer == (True, 0)
    given = [file.stat().st_ino for file in sorted(Path(table.path).iterdir())]
    assert [file.stat().st_ino for file in sorted(Path(outputs["valid"].path).iterdir())] == given
    assert outputs["valid"].metadata == {**table.metadata, "personal": []}
    assert outputs["quarantine"].metadata["rows"] == 0


def test_a_table_without_a_fingerprint_gets_one(clean: pd.DataFrame, dataset: Any, outputs: Any) -> None:
    table = dataset(clean)
    fingerprint = table.metadata.pop("fingerprint")
    validate.python_func(table, **outputs)
    assert outputs["valid"].metadata["fingerprint"] == fingerprint


def test_bad_rows_are_set_aside_with_the_reason_and_their_number(clean: pd.DataFrame, check: Any) -> None:
    bad = clean.assign(y=clean["y"].astype(object))
    bad.loc[3, "amount"] = np.inf
    bad.loc[[3, 8], "y"] = None
    result = check(bad, target="y", mode="quarantine", rules=["count < 49"])
    broken = bad.index[(bad["count"] >= 49) | bad.index.isin([3, 8])]
    assert (result.passed, result.problems) == (True, 3)
    assert result.quarantine["quarantine_row"].tolist() == broken.tolist()
    reasons = result.quarantine.set_index("quarantine_row")["quarantine_reason"]
    assert sorted(reasons[3].split("; "))[:2] == ["amount: infinite", "y: missing"]
    assert reasons[8] == "y: missing"
    assert result.artifacts["valid"].metadata["rows"] == len(clean) - len(broken)
    assert np.isfinite(result.valid["amount"]).all()


def test_a_table_that_was_quarantined_before_keeps_its_first_reasons(clean: pd.DataFrame, check: Any) -> None:
    result = check(clean.assign(quarantine_reason="earlier"), mode="quarantine", rules=["count < 30"])
    assert set(result.quarantine["quarantine_reason"]) == {"earlier"}
    assert set(result.quarantine["quarantine_reason_2"]) == {"rule: count < 30"}


def test_quarantine_does_not_excuse_the_table(clean: pd.DataFrame, check: Any, outputs: Any) -> None:
    with pytest.raises(UserError, match="only one class"):
        check(clean.assign(y=True), target="y", mode="quarantine")
    with pytest.raises(UserError, match=r"would be quarantined, more than max_quarantine 50%: rule 'count > 40'"):
        check(clean, mode="quarantine", rules=["count > 40"])
    with pytest.raises(UserError, match="rows without a fault, and at least 900 are needed"):
        check(clean, mode="quarantine", rules=["count > 10"], min_rows=900)
    assert not Path(outputs["valid"].path).exists()


def test_labels_are_judged_on_the_rows_that_stay(clean: pd.DataFrame, check: Any) -> None:
    with pytest.raises(UserError, match="only one class"):
        check(
            clean.assign(count=clean["y"].astype(int)),
            mode="quarantine",
            rules=["count = 1"],
            max_quarantine=1.0,
            target="y",
            leak_threshold=2.0,
        )


def test_warn_passes_everything_on_and_says_so(clean: pd.DataFrame, check: Any) -> None:
    bad = clean.assign(y=True, amount=clean["amount"].where(clean.index > 0, np.inf))
    result = check(bad, target="y", mode="warn")
    assert (result.passed, result.problems) == (False, 2)
    assert result.valid.equals(bad)
    assert len(result.quarantine) == 0


def test_text_is_read_as_the_number_it_should_be(clean: pd.DataFrame, check: Any, schema_file: Any) -> None:
    schema = schema_file(check(clean).schema)
    text = clean.assign(amount=clean["amount"].astype(str), count=clean["count"].astype(str))
    assert check(text, schema_uri=schema).valid.equals(clean)
    text.loc[5, "amount"] = "n/a"
    result = check(text, schema_uri=schema, mode="quarantine")
    assert result.valid["amount"].tolist() == clean["amount"].drop(5).tolist()
    assert result.quarantine["amount"].tolist() == ["n/a"]
    assert check(text, schema_uri=schema, mode="warn").valid["amount"].equals(text["amount"])


def test_an_inferred_schema_accepts_its_own_table(clean: pd.DataFrame, check: Any, schema_file: Any) -> None:
    for strict in (False, True):
        schema = schema_file(check(clean, target="y", strict=strict).schema)
        assert check(clean, schema_uri=schema)[:2] == (True, 0)


def test_an_inferred_schema_is_tolerant_unless_asked(clean: pd.DataFrame, check: Any, schema_file: Any) -> None:
    later = clean.assign(amount=clean["amount"] * 3, shop="east", when=clean["when"] + pd.Timedelta(days=60))
    later.loc[:50, "amount"] = np.nan
    tolerant = check(clean, target="y").schema
    result = check(later, schema_uri=schema_file(tolerant))
    assert result.passed
    assert "values that were not there before: &#39;east&#39;" in result.report
    strict = check(clean, target="y", strict=True).schema
    assert strict["columns"]["shop"]["categories"] == ["north", "south", "west"]
    with pytest.raises(UserError, match="column 'shop' is none of its 3 categories in 1,000 of 1,000 rows"):
        check(later, schema_uri=schema_file(strict))


def test_a_schema_of_january_accepts_the_other_months(check: Any, schema_file: Any, flights: pd.DataFrame) -> None:
    schema = schema_file(check(flights[flights["month"] == 1], target="late").schema)
    for month in range(2, 13):
        assert check(flights[flights["month"] == month], schema_uri=schema).passed


def test_the_schema_names_what_was_enforced(clean: pd.DataFrame, check: Any) -> None:
    result = check(clean, target="y", rules=["count >= 0"], min_rows=10)
    schema = result.schema
    assert schema["target"] == {"column": "y", "task": "classification"}
    assert schema["rules"] == ["count >= 0"]
    assert schema["rows"]["min"] == 10
    assert schema["columns"]["y"]["max_missing"] == 0
    assert schema["columns"]["amount"]["observed"]["max"] == clean["amount"].max()
    assert set(result.artifacts["schema"].metadata) == {"columns", "fingerprint"}


def test_what_someone_allows_is_allowed(clean: pd.DataFrame, check: Any, schema_file: Any) -> None:
    odd = clean.assign(copy=clean["y"].astype(float), empty=np.nan, big=np.inf)
    schema = check(odd, target="y", mode="warn").schema
    schema["columns"]["copy"]["allow_leak"] = True
    schema["columns"]["empty"]["max_missing"] = 1
    schema["columns"]["big"]["allow_infinite"] = True
    assert check(odd, schema_uri=schema_file(schema)).passed


def test_a_column_may_be_optional(clean: pd.DataFrame, check: Any, schema_file: Any) -> None:
    columns = {"amount": {"type": "number"}, "coupon": {"required": False}}
    schema = schema_file({"columns": columns, "rules": ["coupon is not null"]})
    result = check(clean, schema_uri=schema)
    assert result.passed
    assert "was not checked: a column it reads is not there" in result.report


def test_a_rule_reads_columns_that_the_schema_only_tolerates(clean: pd.DataFrame, check: Any, schema_file: Any) -> None:
    with pytest.raises(UserError, match="rule 'count < 49' is broken"):
        check(clean, schema_uri=schema_file({"columns": {"amount": {}}, "rules": ["count < 49"]}))


def test_any_column_name_will_do(check: Any) -> None:
    names = ["a b", 'say "hi"', "c0", "r", "select", "ä.ö", "<i>", "chunk"]
    frame = pd.DataFrame({name: np.arange(60.0) + number for number, name in enumerate(names)})
    frame["y"] = [True, False, False] * 20
    result = check(frame, target="y", strict=True, rules=['"a b" >= 0 and "say ""hi""" >= 0 and "select" > 0'])
    assert result.passed
    assert "<i>" not in result.report.replace("&lt;i&gt;", "")


def test_nested_and_special_columns_are_carried_through(check: Any) -> None:
    frame = pd.DataFrame(
        {"list": [[1], [2, 3]] * 30, "day": [pd.Timestamp("2024-01-01").date()] * 60, "y": [0, 1] * 30}
    )
    assert (
        check(frame, target="y", leak_threshold=2.0, exclude=["list"]).valid["list"].map(list).tolist()
        == frame["list"].tolist()
    )


def test_checks_hold_over_the_whole_table_and_not_chunk_by_chunk(check: Any, schema_file: Any) -> None:
    rows = CHUNK_ROWS + 1_000
    frame = pd.DataFrame({"id": np.arange(rows), "value": 1.0})
    frame.loc[rows - 1, ["id", "value"]] = [5, np.inf]
    schema = schema_file({"columns": {"id": {}, "value": {"type": "number"}}, "unique": [["id"]]})
    result = check(frame, schema_uri=schema, mode="quarantine")
    assert len(result.valid) == rows - 1
    assert result.quarantine["quarantine_row"].tolist() == [rows - 1]
    assert set(result.quarantine["quarantine_reason"][0].split("; ")) == {"key id: repeated", "value: infinite"}


def test_a_key_with_a_missing_part_is_not_a_repetition(check: Any, schema_file: Any) -> None:
    frame = pd.DataFrame({"id": [1.0, np.nan, np.nan, 1.0], "other": ["a", "b", "b", "a"]})
    schema = schema_file({"columns": {"id": {}, "other": {}}, "unique": [["id", "other"]]})
    assert check(frame, schema_uri=schema, mode="quarantine").quarantine["quarantine_row"].tolist() == [3]


def test_a_repeated_run_leaves_the_same_outputs(clean: pd.DataFrame, check: Any, outputs: Any) -> None:
    def written() -> dict[str, bytes]:
        files = (file for output in outputs.values() for file in [Path(output.path), *Path(output.path).rglob("*")])
        return {str(file): file.read_bytes() for file in files if file.is_file()}

    check(clean, target="y", mode="quarantine", rules=["count < 40"])
    first = written()
    check(clean, target="y", mode="quarantine", rules=["count < 40"])
    assert written() == first


def test_the_report_stands_alone(clean: pd.DataFrame, check: Any) -> None:
    page = check(clean, target="y").report
    assert "<script" not in page
    assert "http" not in page.replace("http://www.w3.org", "").replace("http-equiv", "")
    for heading in ("Verdict", "Target: y", "How well each column alone predicts the target", "Columns"):
        assert f"<h2>{heading}</h2>" in page


VALUES = st.one_of(st.none(), st.sampled_from(["1", "2.5", "-3", "x", "", "inf", "nan", "9" * 30]), st.text(max_size=3))


@settings(
    max_examples=25,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    amounts=st.lists(st.one_of(st.none(), st.floats(width=64)), min_size=1, max_size=30),
    words=st.lists(VALUES, min_size=30, max_size=30),
    low=st.sampled_from([None, 0, 1]),
    missing=st.sampled_from([0, 1]),
)
def test_every_row_is_either_valid_or_quarantined(
    tmp_path_factory: Any, amounts: list[Any], words: list[Any], low: int | None, missing: int
) -> None:
    folder = tmp_path_factory.mktemp("property")
    frame = pd.DataFrame({"amount": pd.array(amounts, "float64"), "word": words[: len(amounts)]})
    frame["row"] = range(len(frame))
    columns = {
        "amount": f'{{"type": "number", "max_missing": {missing}, "min": {"null" if low is None else low}}}',
        "word": '{"type": "integer"}',
        "row": '{"type": "integer"}',
    }
    schema = folder / "schema.json"
    fields = ", ".join(f'"{name}": {text}' for name, text in columns.items())
    schema.write_text(f'{{"columns": {{{fields}}}, "unique": [["word"]], "rules": ["row % 5 <> 4"]}}')
    kinds = {"valid": "Dataset", "quarantine": "Dataset", "schema": "Artifact", "report": "HTML"}
    outputs = {name: make_artifact(folder, kind, name) for name, kind in kinds.items()}
    table = make_dataset(folder, frame)
    validate.python_func(table, **outputs, schema_uri=str(schema), mode="quarantine", max_quarantine=1.0, min_rows=0)
    valid, bad = (read_frame(outputs[name].path) for name in ("valid", "quarantine"))
    assert sorted([*valid["row"], *bad["row"]]) == list(range(len(frame)))
    assert bad["row"].tolist() == bad["quarantine_row"].tolist()
    assert bad["quarantine_reason"].str.len().gt(0).all()
    assert np.isfinite(valid["amount"].dropna().astype(float)).all()
    assert (valid["row"] % 5 != 4).all()
    assert (bad["row"] % 5 == 4).sum() == (frame["row"] % 5 == 4).sum()
    if low is not None:
        assert valid["amount"].dropna().ge(low).all()


def test_nan_in_a_parquet_file_is_missing(artifact: Any, outputs: Any) -> None:
    """The file's own statistics leave NaN out."""
    table = artifact("Dataset", "table")
    Path(table.path).mkdir(parents=True)
    pq.write_table(pa.table({"a": [1.0, 2.0, float("nan")]}), Path(table.path) / "part-00000.parquet")
    validate.python_func(table, **outputs)
    assert json.loads(Path(outputs["schema"].path).read_text())["columns"]["a"]["observed"]["missing"] == 0.333333


def test_a_column_that_can_be_no_feature_is_found_before_anything_is_trained(check: Any) -> None:
    table = pd.DataFrame({"x": range(40), "tags": [["a", "b"]] * 40, "y": [True, False] * 20})
    with pytest.raises(UserError, match=r"column 'tags' has the type list<.*>, which is no feature; exclude it, or"):
        check(table, target="y")
    assert check(table, target="y", exclude=["tags"], leak_threshold=2.0).passed
    assert check(table).passed  # nobody wants to learn from it
