"""The card of a model: what the steps have found out, and what only people know, in three forms that say the same."""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from components.evaluate.component import evaluate
from kubeline.model_card.building import build
from kubeline.model_card.card import CardFeature, CardSlice, Measured, ModelCard
from kubeline.model_card.pages import markdown_text, page
from kubeline.model_package import ModelPackage
from kubeline.model_package.blessing import Blessing
from tests.support.artifacts import make_artifact, make_dataset
from tests.support.blessed_packages import blessed, blessing
from tests.support.packages import ROWS, write_tiny_package

SCHEMA = Path(__file__).parents[2] / "docs" / "model-card.schema.json"
ABOUT = {
    "owner": "Ops | <script>alert(1)</script>",
    "purpose": "Tell who waits",
    "intended_use": "Planning",
    "license": "apache-2.0",
    "limits": ["Not for night flights"],
    "reviewed_by": "Ann",
}


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelPackage, Blessing]:
    """A package and what `evaluate` says of it beside another champion."""
    folder = tmp_path_factory.mktemp("card")
    champion = write_tiny_package(folder / "champion", wrong_by=0.0, reference={"other": 1})
    package = write_tiny_package(folder / "package")
    rows = pd.concat([ROWS] * 60, ignore_index=True)
    rows["late"] = (rows["amount"] > 0) ^ (rows.index // 4 % 3 == 0)  # both classes in every slice
    model = make_artifact(folder, "Model", "package")
    model.metadata.update(package.metadata())
    given = make_artifact(folder, "Artifact", "blessing")
    evaluate.python_func(
        make_dataset(folder, rows, "test"),
        model,
        given,
        make_artifact(folder, "Dataset", "predictions"),
        make_artifact(folder, "Metrics", "metrics"),
        make_artifact(folder, "ClassificationMetrics", "classification"),
        make_artifact(folder, "HTML", "report"),
        champion=str(champion.path),
        slices=["carrier"],
        fairness={"demographic_parity_difference": {"columns": ["carrier"], "at_most": 1.0}},
        min_slice_rows=10,
    )
    return package, Blessing.read(given.path)


@pytest.fixture
def card(judged: tuple[ModelPackage, Blessing], tmp_path: Path) -> ModelCard:
    package, evaluation = judged
    tried = Blessing.read(blessing(tmp_path, package, "infra_validation").path)
    return build("flights", package, evaluation, tried, {"pipeline_run": "training-42", "git_revision": ""}, ABOUT)


def test_the_card_holds_what_the_steps_found_with_intervals_slices_calibration_and_the_champion(
    card: ModelCard, judged: tuple[ModelPackage, Blessing]
) -> None:
    package, evaluation = judged
    found = card.evaluation
    assert (found.verdict, card.model.package_digest) == (evaluation.verdict, package.digest)
    measured = found.metrics["roc_auc"]
    assert measured.value is not None
    assert measured.lower is not None
    assert measured.upper is not None
    assert measured.lower <= measured.value <= measured.upper
    by_slice = {one.slice: one.measured for one in found.slices}
    assert by_slice.keys() >= {"carrier=AA", "carrier=UA"}
    assert all(each is not None and each.value is not None for each in by_slice.values())
    (fair,) = found.fairness
    assert (fair.column, fair.allowed, len(fair.groups)) == ("carrier", "at most 1", len(by_slice))
    assert fair.measured is not None
    assert fair.measured.lower < fair.measured.value <= fair.measured.upper
    assert "## Fairness" in markdown_text(card)
    assert found.calibration is not None
    assert sum(rows for *_, rows in found.calibration.bins) == found.rows_judged == 240
    assert {one.feature for one in found.importances} == set(package.signature.names)
    assert [one.title for one in found.explained][::4] == ["lowest", "highest"]
    for one in found.explained:
        by = sum(each.by for each in one.contributions) + one.others
        assert one.base + by == pytest.approx(one.prediction, abs=1e-5)
    assert "## Single predictions" in markdown_text(card)
    assert "beats a constant guess" in {check.name for check in found.checks}
    assert all(check.sentence for check in found.checks)
    assert card.changes is not None
    assert "roc_auc" in {one.metric for one in card.changes.comparisons}
    assert card.changes.package_digest != package.digest
    assert card.training.table.fingerprint == package.manifest.dataset_fingerprint
    assert found.table.fingerprint == evaluation.evidence["test_fingerprint"]
    assert card.lineage["pipeline_run"] == "training-42"
    assert "git_revision" not in card.lineage  # nobody knows it
    assert card.limits[0] == "Not for night flights"
    assert card.about.more == {"reviewed_by": "Ann"}


def test_the_card_says_what_correlated_columns_are_worth_together_and_where_predictions_are_lowest_and_highest(
    judged: tuple[ModelPackage, Blessing],
) -> None:
    package, evaluation = judged
    worth = {"loss": 0.3, "spread": 0.01, "lower": 0.2, "upper": 0.4}
    together = [{"features": ["first", "copy"], **worth}]
    curve = {"feature": "first", "of": "probability of 'yes'", "correlated": ("copy",), "values": ("1", "2", "3"),
             "positions": (1.0, 2.0, 3.0), "means": (0.25, 0.75, 0.5)}  # fmt: skip
    evidence = {**evaluation.evidence, "importances_together": together, "dependence": [curve]}
    known = build("x", package, evaluation.model_copy(update={"evidence": evidence}), None, {}, {})
    assert ModelCard.model_validate_json(known.json_text()) == known
    text = markdown_text(known)
    assert "| first, copy | 0.3 | 0.2 to 0.4 |" in text
    assert "| first | 0.25 at 1 | 0.75 at 2 | copy |" in text


def test_the_json_is_of_the_published_schema_and_is_read_back_as_the_same_card(card: ModelCard) -> None:
    assert ModelCard.model_validate_json(card.json_text()) == card
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == ModelCard.model_json_schema()


def test_the_markdown_has_the_front_matter_that_model_hubs_read(card: ModelCard) -> None:
    _, front, text = markdown_text(card).split("---\n", 2)
    told = yaml.safe_load(front)
    assert (told["license"], told["pipeline_tag"]) == ("apache-2.0", "tabular-classification")
    (results,) = told["model-index"][0]["results"]
    values = {metric["type"]: metric["value"] for metric in results["metrics"]}
    assert values["roc_auc"] == card.evaluation.metrics["roc_auc"].value
    assert results["dataset"]["revision"] == card.evaluation.table.fingerprint
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings[:3] == ["Purpose and owner", "Limits", "Metrics"]
    assert {"Slices", "Calibration", "Gate", "Since the champion", "Data", "Training", "Lineage"} <= set(headings)
    assert "<script" not in text
    for line in re.findall(r"^\|.*\|$", text, re.MULTILINE):  # no name ends a cell
        assert line.count("|") - line.count(r"\|") >= 3


def test_the_page_says_the_same_runs_nothing_and_names_what_nobody_said(card: ModelCard) -> None:
    html = page(card).html()
    for heading in re.findall(r"^## (.*)$", markdown_text(card), re.MULTILINE):
        assert heading in html
    assert "<script>alert" not in html
    assert "Nobody has said" not in html
    unsaid = page(card.model_copy(update={"about": card.about.model_copy(update={"owner": ""})})).html()
    assert "Nobody has said: owner." in unsaid


@pytest.mark.parametrize("about", [{}, {"limits": "one"}, {"owner": None, "limits": [1, None], 3: {"a": [1]}}], ids=str)
def test_whatever_people_give_the_card_is_written_at_the_end_of_a_long_run(
    about: dict[Any, Any], judged: tuple[ModelPackage, Blessing]
) -> None:
    card = build("flights", *judged, None, {}, about)
    assert "There is no" not in markdown_text(card)
    assert "The model was not tried in the model server" in page(card).html().replace("\n", " ")


def test_a_blessing_of_an_earlier_version_gives_a_card_without_what_it_did_not_know(tmp_path: Path) -> None:
    given = blessed(tmp_path)
    card = build("flights", given.package, Blessing.read(given.evaluation.path), None, {}, {})
    assert (card.evaluation.calibration, card.evaluation.slices, card.changes) == (None, [], None)
    assert "There was no champion to compare with" in markdown_text(card)


def test_a_card_of_thousands_of_columns_classes_and_slices_is_a_page_that_people_can_read(card: ModelCard) -> None:
    names = [f"column_{number}" for number in range(2_000)]
    features = [CardFeature(name=name, kind="number") for name in names]
    slices = [CardSlice(slice=f"{name}=1", rows=9, measured=Measured(value=0.5), weak=True) for name in names]
    assert card.changes is not None
    wide = card.model_copy(
        update={
            "model": card.model.model_copy(update={"features": features, "classes": names[:500]}),
            "evaluation": card.evaluation.model_copy(update={"slices": slices}),
            "changes": card.changes.model_copy(update={"features_added": names}),
        }
    )
    html, text = page(wide).html(), markdown_text(wide)
    assert max(len(html), len(text)) < 100_000
    for told in (html, text.replace("\\", "")):
        assert "the first 100 of 2,000, all are in model_card.json" in told
    assert len(ModelCard.model_validate_json(wide.json_text()).evaluation.slices) == 2_000
