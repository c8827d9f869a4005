"""The component `drift_check` on real artifacts: a trained package, tables, and what users get wrong."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kubeline.data.dataset import iter_batches
from kubeline.drift import reference as references
from kubeline.errors import UserError
from tests.drift.helpers import Run, column, page, read
from tests.drift.helpers import mixed as table
from tests.support.training import trained

MOST = 1_000_000  # bytes of a page

# --- against a model package ----------------------------------------------------------------------------------------


def test_rows_like_those_of_the_training_are_stable(
    check: Run, dataset: Any, flights: pd.DataFrame, package: Any
) -> None:
    outcome, outputs = check(dataset(flights.head(4_000).sample(2_000, random_state=0)), model=package)
    assert outcome == (False, "stable")
    assert outputs["result"].metadata == {"verdict": "stable", "drifted": False}
    assert outputs["metrics"].metadata["columns_drifted"] == 0


def test_later_months_have_drifted_in_weather_and_predictions_are_compared(
    check: Run, dataset: Any, flights: pd.DataFrame, package: Any
) -> None:
    outcome, outputs = check(dataset(flights[flights["month"] == 12]), model=package, exclude=["month"])
    result = read(outputs["result"])
    assert outcome == (True, "drift")
    assert column(result, "temp")["verdict"] == "drift"
    assert [each["name"] for each in result["predictions"]] == ["probability.True"]
    assert "month" not in [each["name"] for each in result["columns"]]
    assert result["not_in_reference"] == ["departure"]
    effects = [each["effect"] for each in result["columns"]]
    assert effects == sorted(effects, reverse=True)


def test_where_the_window_has_labels_the_performance_is_shown_beside_the_validation(
    check: Run, dataset: Any, flights: pd.DataFrame, package: Any
) -> None:
    window = flights.tail(1_500).copy()
    window["late"] = window["late"].astype(object).where(np.arange(1_500) < 1_000, None)
    _, outputs = check(dataset(window), model=package)
    performance = read(outputs["result"])["performance"]
    assert performance["metric"] == "roc_auc"
    assert performance["rows"] == 1_000
    assert performance["lower"] < performance["value"] < performance["upper"]
    assert outputs["metrics"].metadata["roc_auc"] == performance["value"]
    assert "ROC AUC on 1,000 labelled rows" in page(outputs["report"])


def test_performance_is_given_by_slice_and_calibration_beside_ranking_by_labels_and_by_the_estimate(
    check: Run, dataset: Any, flights: pd.DataFrame, package: Any
) -> None:
    window = flights.tail(1_500).assign(half=np.arange(1_500) % 2 > 0)
    turned = window["half"] & (np.random.default_rng(0).random(1_500) < 0.8)
    window["late"] = window["late"].to_numpy() ^ turned.to_numpy()  # of one half the labels are wrong
    _, outputs = check(dataset(window), model=package, slices=["half", "origin"])
    result, figures = read(outputs["result"]), outputs["metrics"].metadata
    parts = {part["slice"]: part for part in result["slices"]}
    assert set(parts) == {"half=True", "half=False", "origin=EWR", "origin=JFK", "origin=LGA"}
    assert [name for name, part in parts.items() if part["weak"]] == ["half=True"]
    assert parts["half=True"]["rows"] == 750
    assert parts["half=True"]["upper"] < result["performance"]["value"] < parts["half=False"]["value"]
    assert figures["calibration_error"] == result["performance"]["calibration"] > 0.1
    assert figures["estimated_calibration_error"] == result["estimate"]["calibration"] < 0.1
    estimated = {part["slice"]: part for part in result["estimated_slices"]}
    assert set(estimated) == set(parts)
    assert estimated["half=True"]["lower"] < result["estimate"]["value"] < estimated["half=True"]["upper"]
    assert parts["half=True"]["upper"] < estimated["half=True"]["lower"]  # that its labels turned, they alone show
    html = page(outputs["report"])
    assert "half=True" in html
    assert "estimated metric" in html
    assert f"Expected calibration error: {figures['calibration_error']:.3f} [" in html
    unlabelled = read(check(dataset(window.drop(columns="late")), model=package, slices=["half"])[1]["result"])
    assert [part["slice"] for part in unlabelled["estimated_slices"]] == ["half=False", "half=True"]
    assert unlabelled["slices"] == []
    with pytest.raises(UserError, match="slices names 'nowhere', which is not a column of the window"):
        check(dataset(window), model=package, slices=["nowhere"])


def test_without_labels_the_report_says_that_performance_is_not_known(
    check: Run, dataset: Any, flights: pd.DataFrame, package: Any
) -> None:
    _, outputs = check(dataset(flights.tail(500).drop(columns="late")), model=package)
    assert read(outputs["result"])["performance"] is None
    assert "the window has no column &#39;late&#39;" in page(outputs["report"])


def test_labels_that_the_model_does_not_know_do_not_end_the_check(
    check: Run, dataset: Any, flights: pd.DataFrame, package: Any
) -> None:
    outcome, outputs = check(dataset(flights.tail(500).assign(late="perhaps")), model=package)
    assert outcome.verdict in ("stable", "drift")
    assert "'aaaaaaa', which is not a class of this model" in read(outputs["result"])["performance_note"]


def test_a_reference_uri_names_a_package_as_well_as_an_artifact_does(
    check: Run, dataset: Any, flights: pd.DataFrame, package: Any
) -> None:
    current = dataset(flights.tail(500))
    _, outputs = check(current, model=package)
    by_artifact = read(outputs["result"])
    _, outputs = check(current, reference_uri=f"file://{package.path}")
    assert read(outputs["result"]) == by_artifact


def test_predictions_of_a_regression_are_compared(
    check: Run, dataset: Any, flights: pd.DataFrame, tmp_path: Path
) -> None:
    kept = flights[["distance", "dep_minute", "arr_minute", "dest"]]
    model = trained(tmp_path / "training", kept.head(2_000), "distance", estimator="linear")["model"]
    _, found = check(dataset(kept.tail(1_000)), model=model)
    result = read(found["result"])
    assert column(result, "prediction")["kind"] == "number"
    assert result["performance"]["metric"] == "rmse"


# --- against a table ------------------------------------------------------------------------------------------------


def test_a_table_is_profiled_where_it_stands(check: Run, dataset: Any) -> None:
    outcome, outputs = check(dataset(table(shift=0.5, seed=1)), reference=dataset(table(), "reference"))
    result = read(outputs["result"])
    assert outcome == (True, "drift")
    assert {each["name"]: each["kind"] for each in result["columns"]} == {
        "x": "number",
        "city": "category",
        "ok": "boolean",
        "at": "datetime",
    }
    assert [each["name"] for each in result["columns"] if each["verdict"] == "drift"] == ["x"]


def test_a_folder_is_a_reference_too(check: Run, dataset: Any) -> None:
    outcome, _ = check(dataset(table(seed=1)), reference_uri=dataset(table(), "reference").path)
    assert outcome.verdict == "stable"


@pytest.mark.slow
def test_a_reference_larger_than_the_sample_for_its_edges_is_counted_whole(check: Run, dataset: Any) -> None:
    rows = 250_000
    reference = table(rows)[["x", "city"]].assign(id=[f"id {i}" for i in range(rows)])
    current = table(2_000, shift=0.5, seed=1)[["x", "city"]].assign(id=[f"new {i}" for i in range(2_000)])
    _, outputs = check(dataset(current), reference=dataset(reference, "reference"))
    result = read(outputs["result"])
    assert result["reference_rows"] == column(result, "x")["reference"]["rows"] == rows
    assert column(result, "x")["effect"] == pytest.approx(0.24, abs=0.04)
    assert column(result, "city")["verdict"] == column(result, "id")["verdict"] == "stable"
    assert not column(result, "id")["unseen"]["certain"]


@pytest.mark.parametrize(
    ("held", "together", "expected"),
    [
        (0, 0, [["x", "city", "ok", "at"], ["x", "at"]]),
        (1, 0, [["city", "ok"], ["x"], ["at"]]),
        (1, 1, [["city", "ok"], ["x"], ["at"]]),
        (1, 2, [["city", "ok"], ["x", "at"]]),
    ],
)
def test_of_a_large_reference_columns_that_may_be_held_are_read_once_and_counted_alike(
    dataset: Any, monkeypatch: pytest.MonkeyPatch, held: int, together: int, expected: list[list[str]]
) -> None:
    path, rows, reads = dataset(table(2_000)).path, 2_000, []
    monkeypatch.setattr(references, "EDGE_ROWS", 500)

    def reading(place: Any, columns: list[str], *rest: Any, **options: Any) -> Any:
        reads.append(columns)
        return iter_batches(place, columns, *rest, **options)

    known = references.resolve(None, None, path, "", [])
    monkeypatch.setattr(references, "iter_batches", reading)
    monkeypatch.setattr(references, "HELD", 8 * rows * held)
    monkeypatch.setattr(references, "TOGETHER", 8 * rows * together)
    found = references.resolve(None, None, path, "", [])
    assert found.profile == known.profile
    assert list(found.profile.columns) == ["x", "city", "ok", "at"]
    pd.testing.assert_frame_equal(found.rows, known.rows)
    assert reads == expected


def test_how_many_columns_make_a_window_drift_can_be_set(check: Run, dataset: Any) -> None:
    arguments = {"reference": dataset(table(), "reference"), "min_columns": 2}
    outcome, outputs = check(dataset(table(shift=1, seed=1)), **arguments)
    assert outcome == (False, "stable")
    assert read(outputs["result"])["reasons"][0].startswith("1 of 3 columns drifted: x (")


@pytest.mark.parametrize(("rows", "reference_rows"), [(0, 1_000), (199, 1_000), (1_000, 199)])
def test_too_few_rows_are_insufficient_data_and_never_an_alarm(
    check: Run, dataset: Any, rows: int, reference_rows: int
) -> None:
    reference = dataset(table(reference_rows), "reference")
    outcome, outputs = check(dataset(table(rows, shift=5)), reference=reference, evidently=rows == 0)
    assert outcome == (False, "insufficient_data")
    assert "at least 200 are needed" in read(outputs["result"])["reasons"][0]
    assert all(Path(each.path).exists() for name, each in outputs.items() if name != "metrics")


# --- the pages ------------------------------------------------------------------------------------------------------


def test_the_report_shows_verdict_rule_columns_and_distributions_without_a_script(check: Run, dataset: Any) -> None:
    current = table(shift=1).replace({"city": {"Bern": "Paris"}})
    _, outputs = check(dataset(current), reference=dataset(table(), "reference"))
    html = page(outputs["report"])
    for words in ("drift", "A column has drifted when", "x (", "Paris", "<svg"):
        assert words in html
    assert "<script" not in html


@pytest.mark.slow
def test_evidently_reports_on_a_window_against_a_package_and_says_what_its_rows_are(
    check: Run, dataset: Any, flights: pd.DataFrame, package: Any
) -> None:
    window = flights.tail(500).assign(wind_gust=np.nan)
    outcome, outputs = check(dataset(window), model=package, evidently=True)
    html = page(outputs["evidently_report"])
    assert outcome.verdict == "drift"
    assert "Wasserstein" in html
    assert "probability.True" in html
    assert "redrawn from the profile" in html
    assert "Left out, because one sample holds no value: wind_gust" in html
    assert "Along the window" in html
    assert "<script" not in html
    assert len(html.encode()) < MOST


@pytest.mark.slow
def test_of_a_wide_table_evidently_shows_the_columns_that_shifted_most_and_the_verdict_is_of_all(
    check: Run, dataset: Any
) -> None:
    """All of 2,000 columns took minutes, 2.4 GB, and a page that no browser opens."""
    tables = [pd.DataFrame(np.random.default_rng(seed).normal(size=(300, 60))) for seed in (0, 1)]
    reference, current = [each.rename(columns=lambda number: f"column_{number:02d}_") for each in tables]
    current["column_59_"] += 3
    outcome, outputs = check(dataset(current), reference=dataset(reference, "reference"), evidently=True)
    html, result = page(outputs["evidently_report"]), read(outputs["result"])
    assert outcome.verdict == "drift"
    assert len(result["columns"]) == 60
    assert sum(name in html for name in reference) == 50
    assert "column_59_" in html
    assert "shows the 50 columns that shifted most of 60; the verdict is of all" in html
    assert "50 columns that shifted most" in result["evidently_note"]
    assert html.count("<svg") >= 50
    assert "<script" not in html
    assert len(html.encode()) < MOST


@pytest.mark.slow
def test_a_window_that_evidently_cannot_digest_still_gets_its_verdict(check: Run, dataset: Any) -> None:
    gone = table(shift=1).assign(x=np.nan, ok=None, city=None, at=pd.NaT)
    outcome, outputs = check(dataset(gone), reference=dataset(table(), "reference"), evidently=True)
    assert outcome == (True, "drift")
    assert "no value: city, ok, x" in page(outputs["evidently_report"])


@pytest.mark.slow
def test_when_evidently_fails_the_verdict_stands_and_its_page_says_why(check: Run, dataset: Any) -> None:
    huge = table(shift=1).assign(ok=True)
    huge["x"] = np.where(huge.index % 2, 1e308, -1e308)
    outcome, outputs = check(dataset(huge), reference=dataset(table(), "reference"), evidently=True)
    assert outcome == (True, "drift")
    assert "Evidently could not make a report of these samples (ValueError)." in page(outputs["evidently_report"])
    assert "Evidently could not make" in read(outputs["result"])["evidently_note"]


@pytest.mark.slow
def test_names_and_categories_cannot_put_a_script_into_either_page(check: Run, dataset: Any) -> None:
    script = "</script><script>alert(1)</script> $x"
    current = table(shift=1).rename(columns={"x": script}).replace({"city": {"Bern": script}})
    reference = dataset(table().rename(columns={"x": script}), "reference")
    outcome, outputs = check(dataset(current), reference=reference, evidently=True)
    assert outcome == (True, "drift")
    for name in ("report", "evidently_report"):
        assert "<script>alert" not in page(outputs[name])
        assert "alert(1)" in page(outputs[name])


# --- what users get wrong -------------------------------------------------------------------------------------------


def refused(check: Run, tmp_path: Path, match: str, *arguments: Any, **named: Any) -> None:
    with pytest.raises(UserError, match=match):
        check(*arguments, **named)
    assert not (tmp_path / "out").exists()


def test_no_reference_or_more_than_one_is_refused(check: Run, tmp_path: Path, dataset: Any, package: Any) -> None:
    current = dataset(table())
    refused(check, tmp_path, "no reference is given; give one of", current)
    refused(check, tmp_path, "model and reference are given", current, model=package, reference=current)


def test_a_reference_that_is_not_there_is_refused(check: Run, tmp_path: Path, dataset: Any) -> None:
    refused(check, tmp_path, "there is nothing at", dataset(table()), reference_uri=str(tmp_path / "nowhere"))


def test_a_folder_that_is_neither_package_nor_dataset_is_refused(check: Run, tmp_path: Path, dataset: Any) -> None:
    (tmp_path / "other").mkdir()
    refused(check, tmp_path, "there is no dataset at", dataset(table()), reference_uri=str(tmp_path / "other"))


def test_a_package_without_its_reference_profile_is_refused(
    check: Run, tmp_path: Path, dataset: Any, flights: pd.DataFrame, package: Any
) -> None:
    broken = shutil.copytree(package.path, tmp_path / "broken")
    (broken / "reference.json").unlink()
    refused(check, tmp_path, "lacks reference.json", dataset(flights), reference_uri=str(broken))


def test_a_package_whose_reference_profile_was_changed_is_refused(
    check: Run, tmp_path: Path, dataset: Any, flights: pd.DataFrame, package: Any
) -> None:
    changed = shutil.copytree(package.path, tmp_path / "changed")
    (changed / "reference.json").write_text("{}")
    refused(check, tmp_path, "reference.json .* was changed", dataset(flights), reference_uri=str(changed))


def test_a_missing_feature_is_named_even_when_it_is_excluded(
    check: Run, tmp_path: Path, dataset: Any, flights: pd.DataFrame, package: Any
) -> None:
    current = dataset(flights.drop(columns="temp"))
    refused(check, tmp_path, "column 'temp' of the training data .* cannot predict", current, model=package)
    refused(check, tmp_path, "cannot predict without it", current, model=package, exclude=["temp"])


def test_a_window_that_gained_a_column_names_it_and_is_judged_by_the_others(
    check: Run, dataset: Any, flights: pd.DataFrame, package: Any
) -> None:
    rows = flights.head(4_000).sample(2_000, random_state=0)
    before, after = (check(dataset(rows), model=package), check(dataset(rows.assign(gate="B7"), "more"), model=package))
    assert after[0] == before[0]
    assert read(after[1]["result"])["not_in_reference"] == ["departure", "gate"]
    assert read(after[1]["result"])["columns"] == read(before[1]["result"])["columns"]


def test_a_missing_column_of_a_reference_table_is_named_unless_it_is_excluded(
    check: Run, tmp_path: Path, dataset: Any
) -> None:
    current, reference = dataset(table().drop(columns="ok")), dataset(table(), "reference")
    refused(check, tmp_path, "column 'ok' .* is missing in the current table; add it, or", current, reference=reference)
    assert check(current, reference=reference, exclude=["ok"])[0].verdict == "stable"


def test_text_in_a_column_of_numbers_is_named(check: Run, tmp_path: Path, dataset: Any) -> None:
    current, reference = dataset(table().assign(x="many")), dataset(table(), "reference")
    refused(
        check, tmp_path, "column 'x' holds 'aaaa', but the reference has a number there", current, reference=reference
    )


def test_an_empty_reference_table_is_refused(check: Run, tmp_path: Path, dataset: Any) -> None:
    refused(check, tmp_path, "has no rows", dataset(table()), reference=dataset(table(0), "reference"))


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"min_effect": 0.0}, "min_effect is 0; expected a PSI above 0"),
        ({"max_p": 1.5}, "max_p is 1.5; expected a share between 0 and 1"),
        ({"min_rows": 0}, "min_rows is 0; expected a whole number"),
        ({"min_columns": -1}, "min_columns is -1; expected a whole number"),
        ({"exclude": ["y"]}, "exclude names 'y', which is not a column of the reference"),
    ],
)
def test_a_limit_out_of_its_range_is_refused(
    check: Run, tmp_path: Path, dataset: Any, arguments: dict[str, Any], match: str
) -> None:
    refused(check, tmp_path, match, dataset(table()), reference=dataset(table(), "reference"), **arguments)
