"""Fairness: fairlearn's figures, intervals for all pairs of groups, and a gate that rarely alarms for nothing."""

import json
from pathlib import Path
from typing import Any

import fairlearn.metrics
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, mean_absolute_error

from kubeline.errors import UserError
from kubeline.evaluation.bootstrap import Bootstrap
from kubeline.evaluation.fairness.checks import Fairness, FairRows, evaluate_fairness
from kubeline.evaluation.fairness.requirements import METRICS, columns_of, parse
from kubeline.evaluation.scored import Scored
from kubeline.task import Task
from tests.evaluation.packages import people

OF_CLASSES = [name for name in METRICS if not name.startswith("mean_")]


def predicted(target: np.ndarray, prediction: np.ndarray, weights: np.ndarray | None = None) -> Scored:
    classes = tuple("abc"[: int(target.max()) + 1])
    task: Task = "binary" if len(classes) == 2 else "multiclass"
    return Scored(task, classes, target, prediction, np.eye(len(classes))[prediction], weights)


def table(rows: int = 3_000, seed: int = 0, classes: int = 2) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Groups of three sizes, of which 'b' is chosen more often."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"sex": rng.choice(["a", "b", "c"], rows, p=[0.6, 0.3, 0.1])})
    target = rng.integers(0, classes, rows)
    wrong = rng.random(rows) < 0.2 + 0.2 * (frame["sex"] == "b")
    return frame, target, np.where(wrong, classes - 1, target)


def ask(
    frame: pd.DataFrame, scored: Scored, given: dict[str, Any], clusters: np.ndarray | None = None, seed: int = 0
) -> list[Fairness]:
    classes = list(scored.classes) or None
    bootstrap = Bootstrap(len(frame), 200, 256, seed, clusters)
    rows = FairRows(frame, np.ones(len(frame), dtype=bool), scored, bootstrap, 0.95, 50)
    return evaluate_fairness(parse(given, scored.task, classes), rows)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_figures_are_those_of_fairlearn_on_the_same_rows(weighted: bool) -> None:
    frame, target, prediction = table()
    weights = np.random.default_rng(1).integers(1, 5, len(frame)) if weighted else np.ones(len(frame))
    given = {name: {"columns": ["sex"]} for name in OF_CLASSES}
    found = ask(frame, predicted(target, prediction, weights.astype(float) if weighted else None), given)
    grouped = {"sensitive_features": frame["sex"], "sample_weight": weights}
    for one in found:
        if one.asked.metric.startswith("accuracy"):
            metrics = fairlearn.metrics.MetricFrame(
                metrics=accuracy_score,
                y_true=target,
                y_pred=prediction,
                sensitive_features=frame["sex"],
                sample_params={"sample_weight": weights},
            )
            expected = metrics.ratio() if one.asked.is_ratio else metrics.difference()
        else:
            expected = getattr(fairlearn.metrics, one.asked.metric)(target, prediction, **grouped)
        assert one.found.value == pytest.approx(expected, abs=1e-12), one.asked.metric
    rates = fairlearn.metrics.MetricFrame(
        metrics={name: getattr(fairlearn.metrics, name) for name in list(found[0].groups[0].rates)[:3]},
        y_true=target,
        y_pred=prediction,
        sensitive_features=frame["sex"],
        sample_params={name: {"sample_weight": weights} for name in list(found[0].groups[0].rates)[:3]},
    ).by_group
    for group in found[0].groups:
        for name in rates:
            assert group.rates[name].value == pytest.approx(rates.loc[group.value, name], abs=1e-12)


def test_the_figures_of_numbers_and_of_one_class_of_several_are_those_of_fairlearn() -> None:
    frame, target, prediction = table(classes=3)
    (one,) = ask(
        frame, predicted(target, prediction), {"equalized_odds_difference": {"columns": ["sex"], "class": "c"}}
    )
    expected = fairlearn.metrics.equalized_odds_difference(
        target == 2, prediction == 2, sensitive_features=frame["sex"]
    )
    assert one.found.value == pytest.approx(expected, abs=1e-12)
    truth, answers = target + 0.5, prediction * 1.25
    names = {"mean_prediction": fairlearn.metrics.mean_prediction, "mean_absolute_error": mean_absolute_error}
    metrics = fairlearn.metrics.MetricFrame(
        metrics=names, y_true=truth, y_pred=answers, sensitive_features=frame["sex"]
    )
    given = {name: {"columns": ["sex"]} for name in METRICS if name.startswith("mean_")}
    for found in ask(frame, Scored("regression", (), truth, answers), given):
        expected = (metrics.ratio() if found.asked.is_ratio else metrics.difference())[found.asked.rates[0]]
        assert found.found.value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("groups", "rows"), [(2, 300), (12, 1_500)])
def test_a_model_that_is_fair_by_construction_is_rarely_held_however_many_groups_there_are(
    groups: int, rows: int
) -> None:
    strict = {
        "demographic_parity_difference": {"columns": ["group"], "at_most": 0.0},
        "equalized_odds_ratio": {"columns": ["group"], "at_least": 1.0},
    }
    held, greatest = 0, []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        frame = pd.DataFrame({"group": rng.integers(0, groups, rows).astype(str)})
        target = rng.integers(0, 2, rows)
        answers = predicted(target, (rng.random(rows) < np.where(target, 0.7, 0.2)).astype(int))
        found = ask(frame, answers, strict, seed=seed)
        held += any(one.outcome == "fail" for one in found)
        greatest.append(found[0].found.value)
    assert held <= 5  # of 100 draws, at a limit that nothing but the truth keeps
    assert min(greatest) > 0  # what is seen is always above it


def test_a_difference_beyond_the_limit_is_found_and_one_surely_within_it_passes() -> None:
    frame, target, _ = table(6_000)
    rng = np.random.default_rng(2)
    chance = np.where(frame["sex"] == "b", 0.6, 0.4)
    scored = predicted(target, (rng.random(len(frame)) < chance).astype(int))
    metric = "demographic_parity_difference"
    limits: dict[str, list[dict[str, Any]]] = {
        metric: [{"columns": ["sex"], "at_most": limit} for limit in (0.1, 0.2, 0.35)]
    }
    assert [one.outcome for one in ask(frame, scored, limits)] == ["fail", "inconclusive", "pass"]


def test_rows_that_belong_together_are_no_evidence_each_by_itself() -> None:
    held = {"rows": 0, "clusters": 0}
    strict = {"demographic_parity_difference": {"columns": ["group"], "at_most": 0.0}}
    for seed in range(40):
        rng = np.random.default_rng(seed)
        clusters = np.repeat(np.arange(120), 10)  # ten rows of each of 120 customers, who are all answered alike
        frame = pd.DataFrame({"group": np.where(rng.integers(0, 2, 120), "x", "y")[clusters]})
        chosen = rng.integers(0, 2, 120)[clusters]
        answers = predicted(rng.integers(0, 2, len(clusters)), chosen)
        held["rows"] += ask(frame, answers, strict, seed=seed)[0].outcome == "fail"
        held["clusters"] += ask(frame, answers, strict, clusters, seed)[0].outcome == "fail"
    assert held["clusters"] <= 2
    assert held["rows"] > 15


@pytest.mark.parametrize(
    ("values", "fields", "reason"),
    [
        (["a"] * 290 + ["b"] * 10, {}, "too few rows of sex 'b' (10 rows), where 50 are needed"),
        (["a"] * 300, {}, "a single value of 'sex'"),
        (["a", "b"] * 150, {"groups": ["a", "z"]}, "no test row judged has 'sex' z"),
        ([f"v{place % 70}" for place in range(300)], {}, "'sex' has more than 60 values; name those"),
        (["a"] * 150 + [None] * 150, {}, ""),  # those without a value are a group
        ((["a"] * 140 + ["b"] * 10) * 2, {"groups": ["a"]}, "a single value of 'sex'"),
    ],
)
def test_a_group_that_is_not_known_is_no_pass(values: list[Any], fields: dict[str, Any], reason: str) -> None:
    rng = np.random.default_rng(0)
    asked = {"demographic_parity_difference": {"columns": ["sex"], "at_most": 1.0, **fields}}
    scored = predicted(rng.integers(0, 2, 300), rng.integers(0, 2, 300))
    (found,) = ask(pd.DataFrame({"sex": values}), scored, asked)
    assert found.outcome == ("inconclusive" if reason else "pass")
    assert reason in found.sentence


def test_a_rate_of_hardly_any_row_and_a_ratio_of_nothing_are_not_known() -> None:
    frame = pd.DataFrame({"sex": ["a", "b"] * 200})
    target = np.zeros(400, dtype=int)
    target[:50:2] = 1  # of 'a' alone
    (few,) = ask(frame, predicted(target, target), {"equal_opportunity_difference": {"columns": ["sex"], "at_most": 1}})
    assert few.outcome == "inconclusive"
    assert "the true positive rate of sex 'b' is of 0 rows only, where 20 are needed" in few.sentence
    never = Scored("binary", ("a", "b"), target, np.zeros(400, dtype=int), np.tile([1.0, 0.0], (400, 1)))
    (none,) = ask(frame, never, {"demographic_parity_ratio": {"columns": ["sex"], "at_least": 0}})
    assert (none.outcome, none.found) == ("inconclusive", None)
    (shown,) = ask(frame, never, {"demographic_parity_difference": {"columns": ["sex"], "at_most": 0.0}})
    assert shown.outcome == "inconclusive"  # never seen in 200 rows is not never


@pytest.mark.parametrize(
    ("given", "task", "words"),
    [
        ({"parity": {"columns": ["a"]}}, "binary", "'parity', which is no metric of fairness"),
        ({"mean_prediction_difference": {"columns": ["a"]}}, "binary", "is a metric of another task"),
        ({"demographic_parity_difference": {"columns": ["a"]}}, "multiclass", "without a class"),
        ({"demographic_parity_difference": {"columns": ["a"], "class": "z"}}, "binary", "class 'z'"),
        ({"demographic_parity_difference": {"columns": []}}, "binary", "columns (a list of names)"),
        ({"demographic_parity_difference": 0.1}, "binary", "with 0.1; expected a mapping with columns"),
        ({"demographic_parity_difference": {"columns": ["a"], "at_least": 0.8}}, "binary", "give at_most"),
        ({"demographic_parity_ratio": {"columns": ["a"], "at_most": 0.8}}, "binary", "give at_least"),
        ({"demographic_parity_ratio": {"columns": ["a"], "at_least": 80}}, "binary", "at_least 80; expected"),
        ({"mean_absolute_error_difference": {"columns": ["a"], "at_most": -1}}, "regression", "0 or more"),
    ],
)
def test_a_wrong_requirement_is_refused_in_a_sentence(given: dict[str, Any], task: Task, words: str) -> None:
    with pytest.raises(UserError) as error:
        parse(given, task, None if task == "regression" else ["x", "y"])
    assert words in str(error.value)
    assert columns_of(given) in ([], ["a"])  # for the check of columns, which is reported by itself


def test_a_model_that_chooses_one_group_more_often_is_held_by_a_column_it_never_read(judge: Any) -> None:
    test = people(2_000, 5)
    rng = np.random.default_rng(0)
    test["se$x"] = np.where(test["a"] + 0.3 * rng.normal(size=len(test)) > 0, "m", "<f>")  # a is a feature
    asked = {
        "demographic_parity_difference": [
            {"columns": ["se$x"], "at_most": 0.2},
            {"columns": ["segment"], "at_most": 0.2},
        ],
        "equalized_odds_ratio": {"columns": ["segment"]},
    }
    assert judge("good", test, fairness=asked) == "hold"
    blessing = json.loads(Path(judge.outputs["blessing"].path).read_text())
    (reason,) = blessing["reasons"]
    assert reason.startswith("demographic_parity_difference by 'se$x' is 0.")
    assert "and at most 0.2 is asked, which is nowhere in its interval" in reason
    found = blessing["evidence"]["fairness"]
    assert [one.get("outcome") for one in found.values()] == ["fail", "pass", None]
    metrics = judge.outputs["metrics"].metadata
    key = "demographic_parity_difference.se$x"
    assert metrics[f"{key}_lower"] < metrics[key] == found[key]["value"] < metrics[f"{key}_upper"]
    page = Path(judge.outputs["report"].path).read_text()
    assert "<h2>Fairness</h2>" in page
    assert "&lt;f&gt;" in page
    assert "<f>" not in page


def test_a_column_that_the_test_table_lacks_is_named(judge: Any) -> None:
    with pytest.raises(UserError, match="fairness names 'age', which is not a column of the test table"):
        judge("good", people(300, 5), fairness={"demographic_parity_difference": {"columns": ["age"], "at_most": 0.2}})
