"""Explanations of single predictions: shap's own values on the same rows, and sums that are exact."""

import base64
import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kubeline.model_package import Signature
from kubeline.model_package.blocks import Columns
from kubeline.model_package.explanations import Explainer, Explanation
from kubeline.model_package.predictor import ServingPredictor
from kubeline.training.serving_form import serving_form

RECORDED = json.loads((Path(__file__).parents[1] / "recordings" / "shap" / "explanations.json").read_text())


def explained(name: str) -> tuple[list[Explanation], dict[str, Any]]:
    recorded = RECORDED[name]
    given = Signature.model_validate(recorded["signature"])
    model, signature = serving_form(base64.b64decode(recorded["onnx"]), given)
    columns = Columns(signature)

    def blocks(rows: list[list[float | None]]) -> dict[str, Any]:
        frame = pd.DataFrame(rows, columns=signature.names, dtype=float)
        return columns.inputs_of(signature.encode(frame))

    explainer = Explainer(ServingPredictor(model, signature, 1), blocks(recorded["background"]))
    rows = blocks(recorded["rows"])
    return [explainer.explain(rows, place) for place in range(len(recorded["rows"]))], recorded


@pytest.mark.parametrize("name", RECORDED)
def test_contributions_are_those_of_shap_on_the_same_rows_and_background(name: str) -> None:
    found, recorded = explained(name)
    values = np.array(recorded["values"])
    values = values if values.ndim == 3 else values[:, :, None]
    for one, expected in zip(found, values, strict=True):
        contributions = one.contributions[:, -1:] if "binary" in name else one.contributions
        exact = "many" not in name  # of 14 columns orders are sampled
        assert np.abs(contributions - expected).max() < (2e-6 if exact else 0.06)
        assert (one.errors == 0).all() == exact
        beyond = np.abs(contributions - expected) > 4 * one.errors[:, -1:] + 2e-6
        assert exact or not beyond.any()
    base = found[0].base[-1:] if "binary" in name else found[0].base
    assert base == pytest.approx(recorded["base"], abs=2e-6)


@pytest.mark.parametrize("name", RECORDED)
def test_base_and_contributions_add_up_to_the_prediction(name: str) -> None:
    for one in explained(name)[0]:
        assert one.base + one.contributions.sum(axis=0) == pytest.approx(one.prediction, abs=1e-6)


def test_every_kind_of_column_is_explained_and_one_that_is_equal_contributes_nothing(tmp_path: Path) -> None:
    from tests.support.packages import ROWS, write_tiny_package

    package = write_tiny_package(tmp_path / "package")
    columns, signature = Columns(package.signature), package.signature
    blocks = columns.inputs_of(signature.encode(ROWS))
    explainer = Explainer(package.predictor(1), blocks)
    predictor = package.predictor()
    for place, one in enumerate(explainer.explain(blocks, row) for row in range(len(ROWS))):
        assert one.base + one.contributions.sum(axis=0) == pytest.approx(one.prediction, abs=1e-6)
        assert one.contributions == pytest.approx(_by_definition(predictor, ROWS, place), abs=1e-6)
    alone = Explainer(package.predictor(1), columns.inputs_of(signature.encode(ROWS.head(1))))
    assert (alone.explain(blocks, 0).contributions == 0).all()
    assert explainer.names == signature.names


def _by_definition(predictor: Any, rows: pd.DataFrame, place: int) -> np.ndarray:
    """Shapley values as they are defined: the mean over all orders of columns, one prediction after the other."""
    from itertools import permutations

    names = list(rows.columns)
    value = {}
    for chosen in product([False, True], repeat=len(names)):
        frame = rows.copy()
        for name, taken in zip(names, chosen, strict=True):
            if taken:
                frame[name] = pd.Series([rows[name].iloc[place]] * len(rows), dtype=rows[name].dtype)
        value[chosen] = predictor.predict(frame).probabilities.astype(float).mean(axis=0)
    found = np.zeros((len(names), 2))
    for order in permutations(range(len(names))):
        members = [False] * len(names)
        for column in order:
            before = value[tuple(members)]
            members[column] = True
            found[column] += value[tuple(members)] - before
    return found / 24
