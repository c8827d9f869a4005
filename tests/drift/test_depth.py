"""What a check reports beside its columns: all of them at once, labels, and what is worth attention."""

from typing import Any

import numpy as np
import pandas as pd

from tests.drift.helpers import Run, page, read
from tests.drift.helpers import mixed as table


def test_what_moves_between_columns_alone_is_drift_with_the_columns_that_explain_it(check: Run, dataset: Any) -> None:
    rng = np.random.default_rng(0)
    free = rng.normal(size=(1_000, 2))
    tied = free[:, :1] * [1, 0.9] + free[::-1] * [0, np.sqrt(0.19)]
    reference, window = (
        pd.DataFrame(values, columns=["x", "y"]).assign(z=rng.random(1_000)) for values in (free, tied)
    )
    outcome, outputs = check(dataset(window), reference=dataset(reference, "reference"), min_auc=0.6)
    result = read(outputs["result"])
    assert outcome == (True, "drift")
    assert {each["verdict"] for each in result["columns"]} == {"stable"}
    assert result["together"]["lower"] > 0.6
    assert set(result["together"]["explained_by"]) == {"x", "y"}
    assert outputs["metrics"].metadata["classifier_auc"] == result["together"]["auc"]
    assert "distinguishes 1,000 rows of the window and 1,000 of the reference" in page(outputs["report"])


def test_a_model_is_a_reference_of_the_classifier_too(
    check: Run, dataset: Any, flights: pd.DataFrame, package: Any
) -> None:
    _, outputs = check(dataset(flights.head(4_000).sample(1_000, random_state=0)), model=package, min_auc=0.6)
    found = read(outputs["result"])
    assert found["verdict"] == found["together"]["verdict"] == "stable"
    assert found["together"]["lower"] < 0.5 + 0.02
    assert found["together"]["rows"] == 1_000
    assert [each["name"] for each in found["labels"]] == ["labels"]


def test_labels_that_are_given_otherwise_have_drifted(
    check: Run, dataset: Any, flights: pd.DataFrame, package: Any
) -> None:
    window = flights.head(4_000).sample(1_000, random_state=0)
    outcome, outputs = check(dataset(window.assign(late=np.arange(1_000) % 4 > 0)), model=package)
    assert outcome == (True, "drift")
    (labels,) = read(outputs["result"])["labels"]
    assert labels["verdict"] == "drift"
    assert {each["label"]: each["current"] for each in labels["shares"]} == {"True": 0.75, "False": 0.25}
    assert outputs["metrics"].metadata["label_effect"] == labels["effect"]


def test_new_and_vanished_categories_and_missing_values_are_findings_whatever_the_effect(
    check: Run, dataset: Any
) -> None:
    window = table(seed=1)
    window.loc[:29, "city"] = "Riga"
    window.loc[30:49, "x"] = None
    rare = np.where(np.arange(1_000) % 20 == 0, "Graz", table()["city"])
    outcome, outputs = check(dataset(window), reference=dataset(table().assign(city=rare), "reference"), min_effect=1)
    found = {(each["column"], each["kind"]): each["text"] for each in read(outputs["result"])["findings"]}
    assert outcome == (False, "stable")
    assert found == {
        ("city", "new_categories"): "3.00% of its rows hold categories that the reference does not have: Riga",
        ("city", "vanished_categories"): "no row holds Graz (5.0%) any more",
        ("x", "missing"): "2.0% of its values are missing, where 0.0% were",
    }
    assert all(text in page(outputs["report"]) for text in found.values())
    _, outputs = check(dataset(table(seed=2)), reference=dataset(table(), "reference"))
    assert read(outputs["result"])["findings"] == []
