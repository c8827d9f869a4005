"""A sample of explained predictions in the report and in the evidence, from which the model card takes it."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from kubeline.evaluation.explained import ROWS, ExplainedRows, affordable
from kubeline.evaluation.reliance_report import explained_blocks
from kubeline.model_package.explanations import Explainer
from tests.evaluation.outputs import blessing, page
from tests.evaluation.packages import people

HEADING = "Why single predictions are what they are"
TEST = people(300, 2).round({"a": 3, "b": 3, "noise": 3})


def explained(judge: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = blessing(judge).evidence["explained"]
    return found


@pytest.mark.parametrize("model", ["good", "size", "amount"])
def test_some_predictions_of_each_task_are_explained_as_the_server_would(
    judge: Any, packages: dict[str, Any], model: str
) -> None:
    judge(model, TEST)
    package, rows = packages[model], explained(judge)
    predictor, signature = package.predictor(1), package.signature
    explainer = Explainer(predictor, predictor.tensors(signature.encode(package.golden())))
    assert len(rows) == (3 if model == "size" else ROWS)
    table = pd.read_parquet(judge.outputs["predictions"].path)
    for one in rows:
        assert one["base"] + sum(each["by"] for each in one["contributions"]) + one["others"] == pytest.approx(
            one["prediction"], abs=1e-5
        )
        record = TEST.iloc[[one["row"]]]
        same = explainer.explain(predictor.tensors(signature.encode(record)), 0)
        label = one["of"].rpartition("probability of ")[2].strip("'")
        output = (signature.classes or [label]).index(label) if signature.classes else 0
        by = dict(zip(explainer.names, same.contributions[:, output], strict=True))
        assert {each["column"]: each["by"] for each in one["contributions"]} == pytest.approx(
            {name: value for name, value in by.items() if value}, abs=1e-6
        )
        kept = table.iloc[one["row"]]
        assert one["prediction"] == pytest.approx(
            kept[f"probability.{label}" if signature.classes else "prediction"], abs=1e-5
        )
    assert HEADING in page(judge)


def test_they_reach_from_the_lowest_prediction_to_the_highest(judge: Any) -> None:
    judge("good", TEST)
    served = pd.read_parquet(judge.outputs["predictions"].path)["probability.yes"]
    found = [one["prediction"] for one in explained(judge)]
    assert found == pytest.approx(np.quantile(served, [0, 0.25, 0.5, 0.75, 1], method="nearest"), abs=1e-5)


def test_values_are_shown_only_where_validate_found_no_personal_data_and_never_in_the_evidence(judge: Any) -> None:
    shown = []
    for personal in (None, [], ["a"]):
        judge("good", TEST, test_metadata={} if personal is None else {"personal": personal})
        html = page(judge).partition(f"{HEADING}</h2>")[2]
        shown.append({name for name in ("a", "b", "noise") if f"{name} = " in html})
        assert ("No value is shown of a column that holds personal data" in html) == (personal != [])
        evidence = explained(judge)
        assert {key for one in evidence for each in one["contributions"] for key in each} == {"column", "by", "error"}
    assert shown == [set(), {"a", "b", "noise"}, {"b", "noise"}]


def test_of_thousands_of_columns_few_predictions_are_explained_and_of_more_none() -> None:
    def others(columns: int) -> int:
        return 20 * 2 * (columns + 1)  # of 20 golden rows, one order and its reverse each

    assert affordable(others(300), 300) == ROWS
    assert 1 <= affordable(others(2_000), 2_000) < ROWS
    assert affordable(others(5_000), 5_000) == 0
    (said,) = explained_blocks(ExplainedRows([], 20, "of 5,000 columns, none is"))
    assert said == "<p>Of 5,000 columns, none is.</p>"
