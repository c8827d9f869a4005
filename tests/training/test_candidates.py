"""Several candidates in one step: the best is written; what is no candidate is refused before anything is trained."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from kubeline.errors import UserError
from kubeline.model_package.training_record import TrainingRecord
from kubeline.training.candidates import MAX
from tests.support.artifacts import make_artifact
from tests.support.training_tables import Train

WEAK = {"estimator": "hist_gradient_boosting", "params": {"max_iter": 1, "max_leaf_nodes": 2}}
GOOD = {"estimator": "hist_gradient_boosting", "params": {"max_iter": 40}}


def test_the_best_candidate_is_the_package_that_it_makes_alone(
    train: Train, mixed: pd.DataFrame, tmp_path: Path
) -> None:
    alone = train(mixed, params=GOOD["params"])
    package = train(mixed, candidates=[WEAK, GOOD])
    assert package.digest == alone.digest
    page = (tmp_path / "report").read_text(encoding="utf-8")
    assert "The best of 2 by roc_auc" in page


def test_the_metrics_file_keeps_every_candidate_with_its_settled_parameters_and_its_trials(
    train: Train, mixed: pd.DataFrame, tmp_path: Path
) -> None:
    package = train(mixed, candidates=[WEAK, GOOD], tuning_trials=2, folds=2)
    record = TrainingRecord.of(make_artifact(tmp_path, "Metrics", "metrics"), package.digest)
    assert record is not None
    weak, good = record.candidates
    assert (weak.chosen, good.chosen, good.score) == (False, True, package.manifest.score)
    assert good.params == package.manifest.params
    assert weak.params["early_stopping"] is False  # settled, as nobody gave it
    assert [len(one.trials) for one in (weak, good)] == [2, 2]
    assert record.table["fingerprint"] == package.manifest.dataset_fingerprint
    with pytest.raises(UserError, match="speaks of package"):
        TrainingRecord.of(make_artifact(tmp_path, "Metrics", "metrics"), "0" * 64)


def test_the_first_of_equals_is_taken(train: Train, mixed: pd.DataFrame) -> None:
    same = [{"estimator": "linear", "params": {"max_iter": 1000}}, {"estimator": "linear", "params": {"max_iter": 999}}]
    assert train(mixed, candidates=same).manifest.params["max_iter"] == 1000


@pytest.mark.parametrize(
    ("candidates", "sentence"),
    [
        ([GOOD] * (MAX + 1), f"{MAX + 1} candidates were given, and one step trains {MAX} at most"),
        ([GOOD, {"estimator": "lightgmb"}], "estimator 'lightgmb' is not known; choose one of"),
        ([GOOD, {"estimator": "linear", "params": {"depth": 3}}], r"candidate 2 \(linear\): 'depth' is not a hyperpar"),
        ([GOOD, {"estimator": "linear", "param": {}}], "candidate 2 is estimator, param; expected"),
        (["linear"], "candidate 1 is 'linear'; expected"),
        ([{"estimator": "linear", "params": None}], "candidate 1 has estimator 'linear' and params None; expected"),
    ],
)
def test_what_is_no_candidate_is_refused_before_anything_is_trained(
    candidates: Any, sentence: str, train: Train, mixed: pd.DataFrame, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=sentence):
        train(mixed, candidates=candidates)
    assert not (tmp_path / "model").exists()


def test_candidates_beside_an_estimator_are_refused(train: Train, mixed: pd.DataFrame) -> None:
    with pytest.raises(UserError, match="params was given besides candidates"):
        train(mixed, candidates=[GOOD], params={"max_iter": 3})


def test_the_failure_of_one_candidate_names_it(train: Train, mixed: pd.DataFrame) -> None:
    bad = {"estimator": "hist_gradient_boosting", "params": {"max_iter": -1}}
    with pytest.raises(UserError, match=r"candidate 2 \(hist_gradient_boosting\): "):
        train(mixed, candidates=[GOOD, bad])
