"""What is said of the columns that a model relies on: correlated ones together, and how predictions go along."""

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from scipy.stats.contingency import association
from sklearn.inspection import partial_dependence

from kubeline.evaluation.bootstrap import Bootstrap
from kubeline.evaluation.correlated import THRESHOLD, associations, correlated_groups
from kubeline.evaluation.dependence import dependences
from kubeline.evaluation.importance import Importance, SampledRows, importances
from kubeline.evaluation.metrics import METRICS
from kubeline.evaluation.scored import Scored
from kubeline.model_package import ModelPackage
from kubeline.reports.lines import Curve, figure_of_curves
from kubeline.typing import Array
from tests.evaluation.packages import trained
from tests.support.hostile_names import NAMES, alive


def of_kinds(rows: int = 1_000) -> dict[str, Array]:
    """Columns in pairs: numbers, categories, one of each; and some that go with nothing."""
    rng = np.random.default_rng(0)
    number, group = rng.normal(size=rows), rng.integers(0, 6, rows)
    names = np.array(list("abcdef"), dtype=object)
    return {
        "number": number,
        "its cube": number**3 + 0.1 * rng.normal(size=rows),
        "group": names[group],
        "group again": np.where(rng.random(rows) < 0.95, names[group], "a").astype(object),
        "by group": group**2 + rng.normal(size=rows),
        "alone": rng.normal(size=rows),
        "code alone": names[rng.integers(0, 6, rows)],
        "constant": np.full(rows, 3.0),
        "constant code": np.full(rows, "x", dtype=object),
        "missing": np.full(rows, np.nan),
        "identifier": np.array([f"id {row}" for row in range(rows)], dtype=object),
    }


def test_columns_that_say_the_same_are_one_group_whatever_their_kinds() -> None:
    groups = correlated_groups(of_kinds())
    assert groups == [["group", "group again", "by group"], ["number", "its cube"]]


def test_associations_are_those_of_scipy_where_it_has_them_and_columns_by_chance_have_hardly_any() -> None:
    columns = of_kinds()
    names = list(columns)
    found = associations(columns)
    assert np.array_equal(found, found.T)
    assert found.min() >= 0
    assert found.max() <= 1 + 1e-9
    at = names.index
    rank = spearmanr(columns["number"], columns["its cube"]).statistic
    assert found[at("number"), at("its cube")] == pytest.approx(rank, abs=1e-9)
    counts = pd.crosstab(columns["group"], columns["group again"]).to_numpy()
    assert found[at("group"), at("group again")] == pytest.approx(association(counts, "cramer"), abs=0.01)
    for name in ("alone", "code alone", "constant", "constant code", "missing", "identifier"):
        others = np.delete(found[at(name)], at(name))
        assert others.max() < THRESHOLD / 2, name


def test_of_thousands_of_columns_the_first_are_grouped() -> None:
    rng = np.random.default_rng(0)
    same = rng.normal(size=2_000)
    assert len(correlated_groups({f"c{place}": same for place in range(2_000)})[0]) == 300


def doubled(folder: Path, rows: int = 600) -> tuple[ModelPackage, pd.DataFrame]:
    """A model of two columns that are nearly copies, one of its own and one that says nothing."""
    rng = np.random.default_rng(1)
    first, own = rng.normal(size=rows), rng.normal(size=rows)
    frame = pd.DataFrame(
        {"first": first, "copy": first + 0.05 * rng.normal(size=rows), "own": own, "nothing": rng.normal(size=rows)}
    )
    frame["target"] = np.where(2 * first + own + 0.5 * rng.normal(size=rows) > 0, "yes", "no")
    features = ["first", "copy", "own", "nothing"]
    return trained(folder, frame, features, "target", positive_class="yes"), frame


def sampled(package: ModelPackage, frame: pd.DataFrame, weights: Array | None = None) -> tuple[Any, SampledRows]:
    predictor, signature = package.predictor(), package.signature
    inputs = signature.encode(frame)
    target = signature.codes(frame)
    scored = Scored.of(signature.classes, signature.positive_class, target, predictor.predict_inputs(inputs), weights)
    return predictor, SampledRows(scored, inputs, Bootstrap(len(frame), 200, 256))


def test_a_copied_column_hides_a_loss_that_its_group_shows(tmp_path: Path) -> None:
    package, frame = doubled(tmp_path / "package")
    predictor, sample = sampled(package, frame)
    rng = np.random.default_rng(0)

    def groups(found: list[Importance]) -> list[list[str]]:
        return correlated_groups({one.features[0]: sample.columns[one.features[0]][:, 0] for one in found})

    alone, together = importances(predictor, sample, METRICS["binary"]["roc_auc"], rng, groups)
    worth = {one.features[0]: one for one in alone}
    assert len(together) == 1
    group = together[0]
    assert set(group.features) == {"first", "copy"}
    assert group.loss > worth["first"].loss + worth["copy"].loss
    assert group.lower is not None
    assert 0 < group.lower < group.loss < (group.upper or 0)
    assert group.lower > worth["own"].loss
    again = {one.features[0]: one.loss for one in importances(predictor, sample, METRICS["binary"]["roc_auc"], rng)[0]}
    assert again["own"] == pytest.approx(worth["own"].loss, abs=0.05)  # the columns are as they were


def test_an_interval_of_a_column_that_says_nothing_holds_zero(tmp_path: Path) -> None:
    package, frame = doubled(tmp_path / "package")
    fresh = frame.assign(nothing=np.random.default_rng(9).normal(size=len(frame)))
    predictor, sample = sampled(package, fresh)
    alone, _ = importances(predictor, sample, METRICS["binary"]["roc_auc"], np.random.default_rng(0))
    assert {one.features[0] for one in alone if one.idle} == {"nothing"}


@pytest.mark.parametrize("weighted", [False, True])
def test_partial_dependence_is_that_of_scikit_learn_on_the_same_rows(tmp_path: Path, weighted: bool) -> None:
    package, frame = doubled(tmp_path / "package", rows=300)
    weights = np.random.default_rng(2).uniform(0.5, 3, len(frame)) if weighted else None
    predictor, sample = sampled(package, frame, weights)
    alone, together = importances(predictor, sample, METRICS["binary"]["roc_auc"], np.random.default_rng(0))
    found = dependences(predictor, sample, alone, together, personal=[])
    pipeline = joblib.load(Path(package.path) / "model.joblib")
    encoded = package.signature.encoded_frame(frame)
    assert {one.feature for one in found} >= {"first", "copy", "own"}
    for one in found:
        assert one.positions is not None
        theirs = partial_dependence(
            pipeline,
            encoded,
            [one.feature],
            custom_values={one.feature: np.array(one.positions, dtype=np.float32)},
            sample_weight=weights,
            method="brute",
            response_method="predict_proba",
        )["average"]
        assert one.means == pytest.approx(theirs[0], abs=1e-5)


def test_a_personal_column_has_no_curve_and_one_of_a_group_names_the_others(tmp_path: Path) -> None:
    package, frame = doubled(tmp_path / "package")
    predictor, sample = sampled(package, frame)
    alone = [Importance((name,), 0.1, 0.0, 0.05, 0.2) for name in ("own", "first", "copy")]
    together = [Importance(("first", "copy"), 0.3, 0.0, 0.2, 0.4)]
    found = dependences(predictor, sample, alone, together, personal=["own"])
    assert [(one.feature, one.correlated) for one in found] == [("first", ("copy",)), ("copy", ("first",))]


def test_curves_are_drawn_of_any_name_as_words() -> None:
    numbers = Curve(NAMES[0], ("1", "2"), (1.0, 2.0), (0.3, 0.3))
    listed = Curve(NAMES[5], tuple(NAMES), None, tuple(np.linspace(0, 1, len(NAMES)).tolist()))
    drawn = figure_of_curves([numbers, listed], NAMES[1])
    assert alive(drawn) == []
    assert "nan" not in drawn
