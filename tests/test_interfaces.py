"""A change of a component that breaks other people's pipelines is named in the changelog, or does not happen."""

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from components.interfaces import RELEASED, of_today
from kubeline.testing import Interface, breaking_changes, read_interfaces

CHANGELOG = Path(__file__).parents[1] / "CHANGELOG.md"
BEFORE: dict[str, Interface] = {
    "train": {
        "inputs": {"dataset": "system.Dataset", "target": "STRING", "seed": "NUMBER_INTEGER"},
        "outputs": {"model": "system.Model"},
        "required": ["dataset", "target"],
    }
}


def test_what_breaks_a_pipeline_since_the_last_release_stands_in_the_changelog_under_breaking() -> None:
    unreleased = CHANGELOG.read_text(encoding="utf-8").partition("## Unreleased")[2].partition("\n## ")[0]
    said = unreleased.partition("### Breaking")[2].partition("\n### ")[0]
    found = list(breaking_changes(read_interfaces(RELEASED), of_today()))
    unsaid = [one for one in found if f"`{re.search(r'`([^`]+)`', one)[1]}`" not in said]
    assert unsaid == [], "say so in CHANGELOG.md under Breaking, or leave it as it was"


def test_every_component_of_the_last_release_is_known() -> None:
    assert len(read_interfaces(RELEASED)) >= 17
    assert read_interfaces(RELEASED)["train"]["required"] == ["dataset", "target"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda now: now.pop("train"), "the component `train` is gone"),
        (lambda now: now["train"]["inputs"].pop("seed"), "the input `train.seed` is gone"),
        (lambda now: now["train"]["outputs"].pop("model"), "the output `train.model` is gone"),
        (
            lambda now: now["train"]["inputs"].update(seed="STRING"),
            "the input `train.seed` was of type NUMBER_INTEGER and is of type STRING",
        ),
        (
            lambda now: now["train"]["outputs"].update(model="system.Artifact"),
            "the output `train.model` was of type system.Model and is of type system.Artifact",
        ),
        (
            lambda now: now["train"]["required"].append("seed"),
            "the input `train.seed` may not be left out any more",
        ),
        (
            lambda now: now["train"].update(inputs={**now["train"]["inputs"], "x": "STRING"}, required=["x"]),
            "the input `train.x` is new and has no default",
        ),
    ],
)
def test_each_kind_of_change_that_breaks_a_pipeline_is_named(change: Any, sentence: str) -> None:
    after = deepcopy(BEFORE)
    change(after)
    assert list(breaking_changes(BEFORE, after)) == [sentence]


def test_what_is_added_and_may_be_left_out_breaks_nothing() -> None:
    after = deepcopy(BEFORE)
    after["train"]["inputs"]["folds"] = "NUMBER_INTEGER"
    after["train"]["outputs"]["report"] = "system.HTML"
    after["train"]["required"].remove("target")
    after["other"] = BEFORE["train"]
    assert list(breaking_changes(BEFORE, after)) == []
