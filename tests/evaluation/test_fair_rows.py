"""No model is judged on what it was trained on, rows that belong together are taken together, and weights count."""

import json
import re
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from examples.flights.prepare import flights
from kubeline.errors import UserError
from kubeline.evaluation.bootstrap import Bootstrap, Interval
from kubeline.evaluation.metrics import METRICS
from kubeline.evaluation.scored import Scored
from kubeline.evaluation.slices import SliceSettings, evaluate_slices
from kubeline.evaluation.tally import tally
from kubeline.model_package.manifest import ManifestRoles
from tests.evaluation.outputs import blessing, page
from tests.evaluation.packages import people, trained

FEATURES = ["a", "b", "noise"]


def evidence(judge: Any) -> dict[str, Any]:
    return blessing(judge).evidence


def test_rows_that_the_champion_was_trained_on_are_left_out_and_the_two_are_compared_on_the_others(
    judge: Any,
    tmp_path: Path,
) -> None:
    rows = people(6_000, 3)
    model = trained(tmp_path / "model", rows.head(3_000), FEATURES, "amount", regression=True)
    champion = trained(tmp_path / "champion", rows.iloc[2_000:4_500], FEATURES, "amount", regression=True, seed=1)
    judge(model.path, rows.iloc[3_000:], str(champion.path))
    found = evidence(judge)
    assert found["rows"]["left_out"] == {"the champion was trained on them": 1_500}
    assert found["rows"]["judged"] == 1_500
    error = champion.predictor().predict(rows.iloc[4_500:]).values - rows["amount"].iloc[4_500:].to_numpy()
    assert found["comparison"]["rmse"]["champion"] == pytest.approx(np.sqrt(np.mean(error**2)))
    assert "1,500 rows: the champion was trained on them" in page(judge)
    assert pd.read_parquet(judge.outputs["predictions"].path)["judged"].sum() == 1_500


def test_a_champion_trained_on_all_test_rows_is_not_compared_and_the_verdict_says_why(
    judge: Any,
    tmp_path: Path,
) -> None:
    rows = people(5_000, 3)
    champion = trained(tmp_path / "champion", rows, FEATURES, "buys")
    assert judge(
        "good", rows.tail(1_000), str(champion.path), thresholds={"roc_auc": {"min_absolute_change": 0.1}}
    ) == ("inconclusive")
    reasons = " ".join(blessing(judge).reasons)
    assert "the champion was trained on 1,000 of the 1,000 test rows; the 0 rows that favour neither" in reasons
    assert "roc_auc cannot be compared with the champion's" in reasons
    assert evidence(judge)["comparison"] == {}
    assert "not compared" in page(judge)


def test_rows_that_the_model_itself_was_trained_on_do_not_judge_it(judge: Any) -> None:
    judge("good", pd.concat([people(3_000, 1).head(500), people(1_000, 2)]))
    assert evidence(judge)["rows"]["left_out"] == {"the model was trained on them": 500}
    with pytest.raises(
        UserError, match=r"the model was trained on all 3,000 labelled test rows .* give rows that train"
    ):
        judge("good", people(3_000, 1))


def test_the_champion_is_recognised_on_rows_with_other_columns(judge: Any, tmp_path: Path) -> None:
    rows = people(5_000, 3)
    champion = trained(tmp_path / "champion", rows.tail(2_500), FEATURES, "buys")
    judge("good", rows.drop(columns=["segment", "amount"]).assign(new=1), str(champion.path))
    assert evidence(judge)["rows"]["left_out"] == {"the champion was trained on them": 2_500}


def customers(seed: int, start: int = 0, number: int = 150) -> pd.DataFrame:
    """Rows of customers who answer alike."""
    rng = np.random.default_rng(seed)
    frame = people(20 * number, seed)
    frame["customer"] = np.repeat(np.arange(start, start + number), 20)
    own = np.repeat(rng.normal(size=number), 20)
    frame["buys"] = np.where(frame["a"] + 3 * own + rng.normal(size=len(frame)) > 1, "yes", "no")
    return frame


def test_a_row_of_a_customer_whom_only_the_champion_knows_is_left_out(judge: Any, tmp_path: Path) -> None:
    roles = ManifestRoles(group="customer")
    rows = customers(4, number=300)
    model = trained(tmp_path / "model", rows[rows["customer"] < 100], FEATURES, "buys", roles=roles)
    known = rows[rows["customer"].between(100, 149) & (rows.index % 2 == 0)]
    champion = trained(tmp_path / "champion", known, FEATURES, "buys", roles=roles, seed=1)
    judge(model.path, rows[rows["customer"] >= 100], str(champion.path))
    assert evidence(judge)["rows"]["left_out"] == {
        "the champion was trained on them": 500, "only one of the two saw their 'customer'": 500,
    }  # fmt: skip


def width(judge: Any, metric: str = "roc_auc") -> float:
    found = evidence(judge)["metrics"][metric]
    return float(found["upper"] - found["lower"])


def test_where_the_rows_left_are_of_few_customers_the_champion_is_not_compared(judge: Any, tmp_path: Path) -> None:
    """Of 3 customers an interval of -0.034 to -0.019 said worse beyond chance."""
    roles = ManifestRoles(group="customer")
    rows = customers(4, number=150)
    model = trained(tmp_path / "model", rows[rows["customer"] < 100], FEATURES, "buys", roles=roles)
    champion = trained(tmp_path / "champion", rows[rows["customer"] < 143], FEATURES, "buys", roles=roles, seed=1)
    assert judge(model.path, rows[rows["customer"] >= 100], str(champion.path)) == "inconclusive"
    assert (
        "860 test rows favour one of the two, and the others are of 7 values of 'customer', too few for an interval, "
        "so the two cannot be compared"
    ) in " ".join(blessing(judge).reasons)
    assert evidence(judge)["comparison"] == {}
    assert evidence(judge)["clusters"] == 50


def test_the_interval_of_real_flights_is_several_times_wider_by_day_than_by_row(judge: Any, tmp_path: Path) -> None:
    """All flights of a day share its weather: [.647, .656] by row hides what [.616, .684] by day shows."""
    table = flights()
    early, numbers = table["departure"] < "2013-10-01", table.select_dtypes("number").columns
    model = trained(tmp_path / "model", table[early].sample(20_000, random_state=0), list(numbers), "late")
    widths = []
    for column in ("", "departure"):
        judge(model.path, table[~early], time_column=column)
        widths.append(width(judge))
    assert "different days are independent" in evidence(judge)["assumed"]
    assert evidence(judge)["rows"]["judged"] > 82_000
    assert widths[0] < 0.012
    assert widths[1] > 5 * widths[0]


def test_intervals_of_rows_that_belong_together_are_as_wide_as_customers_differ(judge: Any) -> None:
    test = customers(5)
    judge("good", test, "weak")
    alone = width(judge)
    assert evidence(judge)["assumed"] == "every row is taken as independent of the others"
    judge("good", test, "weak", group_column="customer")
    assert width(judge) > 1.25 * alone
    found = evidence(judge)
    assert found["assumed"].startswith("rows with the same 'customer' belong together")
    assert found["clusters"] == 150
    assert found["comparison"]["roc_auc"]["method"] == "paired cluster bootstrap"
    assert found["comparison"]["accuracy"]["method"] == "paired cluster bootstrap"
    assert "rows with the same &#39;customer&#39; belong together" in page(judge)


def test_the_columns_of_the_training_and_of_the_split_are_known_without_being_named(
    judge: Any,
    tmp_path: Path,
    packages: Any,
) -> None:
    model = trained(
        tmp_path / "model", customers(6, start=900), FEATURES, "buys", roles=ManifestRoles(group="customer")
    )
    judge(model.path, customers(5))
    assert evidence(judge)["roles"]["group"] == "customer"
    assert evidence(judge)["clusters"] == 150


def test_rows_of_one_day_belong_together_by_a_time_column(judge: Any) -> None:
    test = customers(5)
    test["at"] = (
        pd.Timestamp("2024-01-01 08:00")
        + pd.to_timedelta(test["customer"] * 24, "h")
        + pd.to_timedelta(np.arange(len(test)) % 20, "min")
    )
    judge("good", test, time_column="at")
    assert evidence(judge)["clusters"] == 150
    assert "rows of the same day of 'at'" in evidence(judge)["assumed"]


@pytest.mark.parametrize(
    "values",
    [["2024-01-01", "MARKED"], ["2024-01-01", "9999999-01-01"], [pd.Timedelta("1d"), pd.Timedelta("2d")]],
    ids=["text", "far", "durations"],
)
def test_a_time_column_without_times_is_refused_in_a_sentence_without_its_values(judge: Any, values: list[Any]) -> None:
    test = people(500, 2).assign(at=[*values] * 250)
    sentence = "time column 'at' holds text or values that are no times; expected timestamps, dates, numbers"
    with pytest.raises(UserError, match=f"^{sentence}") as caught:
        judge("good", test, time_column="at")
    assert "MARKED" not in "".join(traceback.format_exception(caught.value))


def test_too_few_groups_decide_nothing(judge: Any) -> None:
    assert judge("good", people(2_000, 2), group_column="segment") == "inconclusive"
    assert "the test rows have 3 of them, too few for an interval" in " ".join(blessing(judge).reasons)


@pytest.mark.parametrize(
    ("column", "parameter", "message"),
    [
        ("nobody", "group_column", "group column 'nobody' is not a column of the test table"),
        ("w", "weight_column", "weight column 'w' is missing in 1 row; fill them"),
        ("negative", "weight_column", "weight column 'negative' holds -9.9 in row 0; weights must be 0 or greater"),
        ("w", "group_column", "group column 'w' is missing in 1 test row; fill or remove them"),
    ],
)
def test_a_role_that_cannot_be_played_is_refused(judge: Any, column: str, parameter: str, message: str) -> None:
    test = people(500, 2).assign(w=1.0, negative=-1.0)
    test.loc[7, "w"] = None
    with pytest.raises(UserError, match=re.escape(message)):
        judge("good", test, **{parameter: column})


def test_the_gate_decides_on_the_weighted_figure_that_train_says(judge: Any, tmp_path: Path) -> None:
    test = people(4_000, 2)
    test["w"] = np.where(test["segment"] == "south", 20.0, 0.5)
    test.loc[test["segment"] == "south", "a"] = 0.0
    model = trained(tmp_path / "model", people(3_000, 1), FEATURES, "buys", roles=ManifestRoles(weight="w"))
    judge(model.path, test, "weak")
    answers = model.predictor().predict(test)
    assert answers.probabilities is not None
    expected = sk.roc_auc_score(test["buys"] == "yes", answers.probabilities[:, 1], sample_weight=test["w"])
    found = evidence(judge)
    assert found["metrics"]["roc_auc"]["value"] == pytest.approx(expected)
    assert abs(expected - sk.roc_auc_score(test["buys"] == "yes", answers.probabilities[:, 1])) > 0.05
    assert found["comparison"]["roc_auc"]["method"] == "paired bootstrap"
    assert "column &#39;w&#39;" in page(judge)
    json.dumps(judge.outputs["classification"].metadata, allow_nan=False)


def test_rows_of_weight_zero_do_not_count(judge: Any) -> None:
    test = people(2_000, 2)
    test["w"] = (np.arange(2_000) < 1_200).astype(float)
    judge("good", test, weight_column="w")
    assert evidence(judge)["rows"]["left_out"] == {"weight 0 in 'w'": 800}


def weighted(task: str, rows: int = 800) -> Scored:
    rng = np.random.default_rng(3)
    weights = rng.integers(1, 5, rows).astype(float)
    if task == "regression":
        target = rng.normal(5, 1, rows)
        return Scored("regression", (), target, target + rng.normal(size=rows), weights=weights)
    classes = ("x", "y") if task == "binary" else ("x", "y", "z")
    codes = rng.integers(0, len(classes), rows)
    chances = rng.dirichlet(np.ones(len(classes)), rows) + 0.3 * np.eye(len(classes))[codes]
    chances /= chances.sum(axis=1, keepdims=True)
    return Scored(task, classes, codes, chances.argmax(axis=1), chances, weights)  # type: ignore[arg-type]


@pytest.mark.parametrize(("task", "name"), [(task, name) for task, every in METRICS.items() for name in every])
def test_a_row_of_weight_three_counts_as_three_rows_in_every_metric(task: str, name: str) -> None:
    scored = weighted(task)
    assert scored.weights is not None
    metric = METRICS[task][name]
    repeated = scored.take(np.repeat(np.arange(len(scored)), scored.weights.astype(int)))
    plain = Scored(repeated.task, repeated.classes, repeated.target, repeated.prediction, repeated.probabilities)
    assert metric.value(scored) == pytest.approx(metric.value(plain), rel=1e-6)
    assert (
        metric.value(scored.constant()) == pytest.approx(metric.value(plain.constant()), rel=1e-6, nan_ok=True)
        or name == "r2"
    )
    together = metric.replicates(
        plain, Bootstrap(len(plain), 300, clusters=np.repeat(np.arange(800), scored.weights.astype(int)))
    )
    assert metric.replicates(scored, Bootstrap(800, 300)).std() == pytest.approx(together.std(), rel=0.05)


def test_slices_are_reported_from_the_rest_by_cluster() -> None:
    flagged = {"rows": 0, "clusters": 0}
    clusters, halves = np.repeat(np.arange(40), 100), pd.DataFrame({"half": np.repeat(["first", "second"], 2_000)})
    for seed in range(10):
        rng = np.random.default_rng(seed)
        target = rng.normal(size=4_000)
        scored = Scored("regression", (), target, target + np.repeat(rng.normal(size=40), 100))
        for name, codes in (("rows", None), ("clusters", clusters)):
            found = evaluate_slices(halves, ["half"], SliceSettings(METRICS["regression"]["rmse"]), scored, None, codes)
            flagged[name] += any(part.weak for part in found)
    assert flagged["rows"] >= 5  # the halves are of different clusters by chance alone
    assert flagged["clusters"] <= 2


def test_the_median_by_weight_is_that_of_repeated_values() -> None:
    rng = np.random.default_rng(0)
    for rows in (1, 2, 5, 40):
        values, weights = rng.normal(size=rows), rng.integers(1, 6, rows)
        assert tally(values, None, weights.astype(float)).middle() == pytest.approx(
            np.median(np.repeat(values, weights))
        )


# --- the positive class and proper scores -----------------------------------------------------------------------------


def transactions(rows: int, seed: int) -> pd.DataFrame:
    frame = people(rows, seed)
    rng = np.random.default_rng(seed)
    frame["y"] = np.where(frame["a"] + rng.normal(size=rows) > 2.5, "fraud", "ok")
    return frame


def test_a_model_that_never_says_fraud_is_not_promoted_with_a_recall_of_one(judge: Any, tmp_path: Path) -> None:
    rows = transactions(3_000, 1)
    never = trained(tmp_path / "never", rows, ["noise"], "y", positive_class="fraud")
    assert judge(never.path, transactions(4_000, 2), thresholds={"recall": 0.8}) == "hold"
    assert any(reason.startswith("recall of 'fraud' 0 ") for reason in blessing(judge).reasons)
    assert evidence(judge)["positive_class"] == "fraud"
    assert evidence(judge)["metrics"]["recall"]["value"] == 0
    html = page(judge)
    assert "Recall of &#39;fraud&#39;" in html


def test_a_threshold_may_be_of_a_class_in_any_classification(judge: Any, tmp_path: Path) -> None:
    model = trained(tmp_path / "model", transactions(3_000, 1), FEATURES, "y", positive_class="fraud")
    both = [{"threshold": 0.9, "class": "ok"}, {"threshold": 0.99, "class": "fraud"}]
    assert judge(model.path, transactions(4_000, 2), thresholds={"recall": both}) == "hold"
    checks = {check["name"]: check["outcome"] for check in evidence(judge)["checks"]}
    assert checks["recall of 'ok' threshold"] == "pass"
    assert checks["recall of 'fraud' threshold"] == "fail"
    judge("size", people(4_000, 2), thresholds={"recall": {"threshold": 0.99, "class": "L"}})
    assert any("recall of 'L'" in reason for reason in blessing(judge).reasons)


@pytest.mark.parametrize(
    ("model", "thresholds", "message"),
    [
        ("good", {"recall": {"threshold": 0.5, "class": "maybe"}}, "of class 'maybe', which the model does not have"),
        ("good", {"accuracy": {"threshold": 0.5, "class": "yes"}}, "'accuracy' is not a metric of one class"),
        ("size", {"recall": 0.5}, "not a metric of a multiclass task without a class"),
        ("amount", {"recall": {"threshold": 0.5, "class": "yes"}}, "it has: none, for it is a regression"),
    ],
)
def test_a_class_that_cannot_be_meant_is_refused(
    judge: Any,
    model: str,
    thresholds: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        judge(model, people(500, 2), thresholds=thresholds)


def test_the_champion_is_judged_by_the_positive_class_of_the_model(judge: Any, tmp_path: Path) -> None:
    rows, test = transactions(3_000, 1), transactions(4_000, 2)
    model = trained(tmp_path / "model", rows, FEATURES, "y", positive_class="fraud")
    champion = trained(tmp_path / "champion", rows, ["a"], "y")  # of an earlier version: the second by the alphabet
    judge(model.path, test, str(champion.path))
    said = champion.predictor().predict(test).values
    expected = sk.recall_score(test["y"], said, pos_label="fraud")
    assert evidence(judge)["comparison"]["recall"]["champion"] == pytest.approx(expected)


def test_a_model_that_ranks_well_but_is_worse_than_a_constant_by_log_loss_and_brier_is_held(
    judge: Any,
    tmp_path: Path,
) -> None:
    rows = transactions(3_000, 1)
    balanced = rows.groupby("y").sample(2_000, replace=True, random_state=0)  # probabilities of another table
    model = trained(tmp_path / "model", balanced, FEATURES, "y", positive_class="fraud")
    assert judge(model.path, transactions(4_000, 2), metric="roc_auc") == "hold"
    reasons = " ".join(blessing(judge).reasons)
    assert re.search(r"log_loss 0\.\d+ does not beat the 0\.\d+ of a constant guess", reasons)
    assert re.search(r"brier 0\.\d+ does not beat the 0\.\d+ of a constant guess", reasons)
    assert "calibrate them" in reasons


def test_nothing_is_a_gain_of_minus_zero_and_one_slice_is_one_slice(judge: Any) -> None:
    assert Interval(-0.0, -0.0, -0.0).written(sign=True) == "0 [0, 0]"
    assert Interval(-0.0001, -0.1, 0.1).written(sign=True) == "+0.00 [-0.10, +0.10]"
    judge("good", people(2_000, 2).assign(one="x"), "good", slices=["one"])
    assert "in none of 1 slice is roc_auc worse" in " ".join(blessing(judge).reasons)
    assert "-0 [" not in page(judge)
    assert "1 slices" not in page(judge)
