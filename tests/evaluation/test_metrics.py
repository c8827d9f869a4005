"""Values agree with scikit-learn, and what is not defined is said and never NaN."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics as sk

from kubeline.errors import UserError
from kubeline.evaluation.bootstrap import Bootstrap
from kubeline.evaluation.metrics import METRICS, choose, measure
from kubeline.evaluation.scored import Scored


def binary(rows: int = 500, seed: int = 0, digits: int = 2) -> Scored:
    """Scores with many ties."""
    rng = np.random.default_rng(seed)
    target = (rng.random(rows) < 0.3).astype(int)
    score = np.round(1 / (1 + np.exp(-(rng.normal(size=rows) + 1.2 * target - 1))), digits)
    return Scored("binary", ("no", "yes"), target, (score > 0.5).astype(int), np.column_stack([1 - score, score]))


def multiclass(rows: int = 500, seed: int = 0) -> Scored:
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 4, rows)
    probabilities = rng.dirichlet(np.ones(4), rows)
    probabilities[np.arange(rows), target] += 0.4
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return Scored("multiclass", ("a", "b", "c", "d"), target, probabilities.argmax(axis=1), probabilities)


def regression(rows: int = 500, seed: int = 0) -> Scored:
    rng = np.random.default_rng(seed)
    target = 10 + 3 * rng.normal(size=rows)
    return Scored("regression", (), target, target + rng.normal(size=rows))


EXPECTED = {
    ("binary", "roc_auc"): lambda s: sk.roc_auc_score(s.target, s.score),
    ("binary", "average_precision"): lambda s: sk.average_precision_score(s.target, s.score),
    ("binary", "log_loss"): lambda s: sk.log_loss(s.target, s.probabilities),
    ("binary", "brier"): lambda s: sk.brier_score_loss(s.target, s.score),
    ("binary", "accuracy"): lambda s: sk.accuracy_score(s.target, s.prediction),
    ("binary", "balanced_accuracy"): lambda s: sk.balanced_accuracy_score(s.target, s.prediction),
    ("binary", "f1"): lambda s: sk.f1_score(s.target, s.prediction),
    ("binary", "precision"): lambda s: sk.precision_score(s.target, s.prediction),
    ("binary", "recall"): lambda s: sk.recall_score(s.target, s.prediction),
    ("multiclass", "log_loss"): lambda s: sk.log_loss(s.target, s.probabilities),
    ("multiclass", "accuracy"): lambda s: sk.accuracy_score(s.target, s.prediction),
    ("multiclass", "balanced_accuracy"): lambda s: sk.balanced_accuracy_score(s.target, s.prediction),
    ("multiclass", "macro_f1"): lambda s: sk.f1_score(s.target, s.prediction, average="macro"),
    ("multiclass", "macro_roc_auc"): lambda s: sk.roc_auc_score(s.target, s.probabilities, multi_class="ovr"),
    ("regression", "rmse"): lambda s: sk.root_mean_squared_error(s.target, s.prediction),
    ("regression", "mae"): lambda s: sk.mean_absolute_error(s.target, s.prediction),
    ("regression", "median_ae"): lambda s: sk.median_absolute_error(s.target, s.prediction),
    ("regression", "r2"): lambda s: sk.r2_score(s.target, s.prediction),
    ("regression", "mape"): lambda s: sk.mean_absolute_percentage_error(s.target, s.prediction),
}
SCORED = {"binary": binary, "multiclass": multiclass, "regression": regression}
EVERY = [(task, name) for task, metrics in METRICS.items() for name in metrics]


@pytest.mark.parametrize(("task", "name"), EVERY)
def test_every_metric_agrees_with_scikit_learn(task: str, name: str) -> None:
    scored = SCORED[task]()
    assert METRICS[task][name].value(scored) == pytest.approx(EXPECTED[task, name](scored), rel=1e-6)


@pytest.mark.parametrize("unit", [2.0**-500, 2.0**500])
@pytest.mark.parametrize("name", METRICS["regression"])
def test_an_error_of_very_large_or_small_numbers_is_that_of_plain_ones_in_their_unit(name: str, unit: float) -> None:
    plain, metric = regression(), METRICS["regression"][name]
    far = replace(plain, target=plain.target * unit, prediction=plain.prediction * unit)
    factor = unit if metric.in_unit else 1.0
    bootstrap = Bootstrap(len(plain), replicates=50)
    assert metric.value(far) == pytest.approx(metric.value(plain) * factor, rel=1e-12)
    assert metric.replicates(far, bootstrap) == pytest.approx(metric.replicates(plain, bootstrap) * factor, rel=1e-12)


@pytest.mark.parametrize(("task", "name"), EVERY)
def test_every_interval_is_as_wide_as_resampling_the_rows_makes_it(task: str, name: str) -> None:
    scored, metric = SCORED[task](3_000), METRICS[task][name]
    rng = np.random.default_rng(1)
    naive = [metric.value(scored.take(rng.integers(0, 3_000, 3_000))) for _ in range(200)]
    binned = metric.replicates(scored, Bootstrap(3_000, replicates=500))
    assert binned.std() == pytest.approx(np.std(naive), rel=0.25)
    assert binned.mean() == pytest.approx(metric.value(scored), abs=0.2 * binned.std())


def test_rare_positives_are_resolved_by_the_bins() -> None:
    rng = np.random.default_rng(0)
    target = (rng.random(20_000) < 0.005).astype(int)
    score = 1 / (1 + np.exp(-(rng.normal(size=20_000) + 2 * target - 4)))
    scored = Scored("binary", ("no", "yes"), target, target, np.column_stack([1 - score, score]))
    metric = METRICS["binary"]["average_precision"]
    naive = [metric.value(scored.take(rng.integers(0, 20_000, 20_000))) for _ in range(200)]
    assert metric.replicates(scored, Bootstrap(20_000)).std() == pytest.approx(np.std(naive), rel=0.2)


def test_coarse_bins_of_many_classes_do_not_move_the_interval() -> None:
    rng = np.random.default_rng(0)
    target, probabilities = rng.integers(0, 30, 30_000), rng.dirichlet(np.ones(30), 30_000)
    probabilities[np.arange(30_000), target] += 0.1
    scored = Scored("multiclass", tuple(map(str, range(30))), target, probabilities.argmax(axis=1), probabilities)
    metric = METRICS["multiclass"]["macro_roc_auc"]
    found = metric.replicates(scored, Bootstrap(30_000, replicates=300))
    assert found.mean() == pytest.approx(metric.value(scored), abs=0.2 * float(found.std()))


def test_without_a_positive_row_the_metrics_that_need_one_are_left_out_with_the_reason() -> None:
    scored = binary()
    found, undefined = measure(scored.take(scored.target == 0), Bootstrap(int((scored.target == 0).sum())), 0.95)
    assert undefined["roc_auc"] == undefined["average_precision"] == undefined["recall"] == "no row is labelled 'yes'"
    assert set(found) == {"brier", "log_loss", "accuracy", "balanced_accuracy", "f1", "precision"}
    assert all(
        np.isfinite(np.array([interval.value, interval.lower, interval.upper], dtype=float)).all()
        for interval in found.values()
    )


def test_with_only_positive_rows_there_is_no_auc() -> None:
    scored = binary()
    _, undefined = measure(scored.take(scored.positive), Bootstrap(int(scored.positive.sum())), 0.95)
    assert undefined["roc_auc"] == "every row is labelled 'yes'"


def test_with_hardly_a_positive_row_the_value_stands_without_an_interval() -> None:
    scored = binary(60)
    rows = np.append(np.flatnonzero(~scored.positive), np.flatnonzero(scored.positive)[0])
    found, _ = measure(scored.take(rows), Bootstrap(len(rows)), 0.95)
    assert found["roc_auc"].lower is None
    assert "too few rows" in str(found["roc_auc"])


def test_a_class_that_does_not_occur_is_left_out_of_macro_means() -> None:
    scored = multiclass().take(multiclass().target != 2)
    metric = METRICS["multiclass"]["macro_roc_auc"]
    present = [code for code in range(4) if code != 2]
    expected = np.mean([sk.roc_auc_score(scored.target == code, scored.probabilities[:, code]) for code in present])
    assert metric.value(scored) == pytest.approx(expected)


def test_a_target_of_zero_has_no_percentage_error() -> None:
    scored = regression()
    scored.target[3] = 0
    _, undefined = measure(scored, Bootstrap(len(scored)), 0.95)
    assert "zero" in undefined["mape"]


def test_a_certain_but_wrong_probability_costs_a_finite_log_loss() -> None:
    scored = Scored("binary", ("no", "yes"), np.array([1, 0]), np.array([0, 0]), np.array([[1.0, 0.0], [1.0, 0.0]]))
    assert np.isfinite(METRICS["binary"]["log_loss"].value(scored))


def test_the_constant_guess_cannot_rank_and_is_the_majority() -> None:
    constant = binary().constant()
    assert METRICS["binary"]["roc_auc"].value(constant) == 0.5
    assert not constant.prediction.any()
    assert METRICS["regression"]["r2"].value(regression().constant()) == pytest.approx(0, abs=1e-12)


def test_each_task_has_its_deciding_metric_and_refuses_that_of_another() -> None:
    assert [choose(task).name for task in METRICS] == ["roc_auc", "log_loss", "rmse"]
    with pytest.raises(UserError, match="'rmse' is not a metric of a binary task; choose one of: roc_auc"):
        choose("binary", "rmse")
