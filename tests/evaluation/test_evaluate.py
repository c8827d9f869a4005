"""The component as a pipeline calls it: real artifacts, real packages."""

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kfp import dsl

from kubeline.errors import UserError
from kubeline.model_package import ModelPackage
from kubeline.model_package.blessing import require
from tests.evaluation.outputs import blessing, page
from tests.evaluation.packages import Trap, people, trained


def test_a_good_model_without_a_champion_is_promoted_and_blessed(judge: Any, packages: dict[str, ModelPackage]) -> None:
    assert judge("good", people(2_000, 2), slices=["segment"], thresholds={"roc_auc": 0.8}) == "promote"
    found = require(judge.outputs["blessing"], "evaluation", packages["good"].digest)
    assert any("no champion was given" in reason for reason in found.reasons)
    assert judge.outputs["blessing"].metadata["verdict"] == "promote"


def test_a_better_model_is_promoted_under_both_rules(judge: Any) -> None:
    for rule in ("non_inferior", "superior"):
        assert judge("good", people(2_000, 2), "weak", rule=rule) == "promote"
    assert blessing(judge).evidence["comparison"]["roc_auc"]["method"] == "DeLong"
    assert blessing(judge).evidence["comparison"]["accuracy"]["method"] == "McNemar"


def test_a_worse_model_is_held_and_the_figures_say_why(judge: Any) -> None:
    assert judge("weak", people(2_000, 2), "good") == "hold"
    (reason,) = [reason for reason in blessing(judge).reasons if "champion" in reason]
    assert "worse beyond chance" in reason


def test_the_champion_itself_is_not_worse_and_not_better(judge: Any) -> None:
    assert judge("good", people(2_000, 2), "good") == "promote"
    assert judge("good", people(2_000, 2), "good", rule="superior") == "hold"
    assert "which is no better" in blessing(judge).reasons[0]
    assert "the very package that is judged" in page(judge)


def test_a_model_that_leaned_on_a_leak_is_held_on_rows_without_it(judge: Any) -> None:
    test = people(2_000, 2).assign(later=0.0)
    assert judge("leaking", test, "good") == "hold"


def test_a_difference_too_small_for_the_rows_is_inconclusive(judge: Any) -> None:
    test = people(150, 2)
    assert judge("good", test, "good", rule="superior") == "hold"
    assert judge("weak", test, "useless", rule="superior", thresholds={"roc_auc": 0.7}) == "inconclusive"
    assert "too near the threshold of 0.7" in " ".join(blessing(judge).reasons)


def test_a_model_no_better_than_a_constant_guess_is_not_promoted(judge: Any) -> None:
    assert judge("useless", people(2_000, 2)) in {"hold", "inconclusive"}
    assert "constant guess" in blessing(judge).reasons[0]


def test_too_few_rows_are_inconclusive_however_good_they_look(judge: Any) -> None:
    assert judge("good", people(99, 2)) == "inconclusive"
    assert "99 labelled test rows are too few" in blessing(judge).reasons[0]


def test_no_champion_yet_can_be_made_to_hold(judge: Any, tmp_path: Path) -> None:
    missing = {"champion": "models:/flights@champion", "tracking_uri": f"sqlite:///{tmp_path}/mlflow.db"}
    assert judge("good", people(2_000, 2), no_champion="hold", **missing) == "hold"
    assert "'models:/flights@champion' does not exist yet" in blessing(judge).reasons[0]


def test_a_slice_lost_against_the_champion_holds_a_model_that_is_better_overall(judge: Any) -> None:
    test = people(4_000, 2)
    south = test["segment"] == "south"
    test.loc[south, "a"] = np.random.default_rng(0).normal(
        size=int(south.sum())
    )  # a is broken there; weak does not read it
    assert judge("good", test, "weak") == "promote"
    assert judge("good", test, "weak", slices=["segment"]) == "hold"
    assert "segment=south" in blessing(judge).reasons[0]
    assert blessing(judge).evidence["worst_slice"]["slice"] == "segment=south"


def test_a_model_that_answers_otherwise_than_in_training_is_held(
    judge: Any, packages: dict[str, ModelPackage], tmp_path: Path
) -> None:
    other = trained(
        tmp_path / "other", people(3_000, 5), ["a", "b", "noise"], "buys", recorded_by=packages["good"], seed=1
    )
    assert judge(other.path, people(500, 2)) == "hold"
    assert "ONNX Runtime answers 2 of 2 golden rows otherwise than in training" in blessing(judge).reasons[0]


def test_the_report_says_that_the_model_answers_as_in_training(judge: Any) -> None:
    judge("good", people(2_000, 2))
    assert "ONNX Runtime answers all 2 golden rows as in training" in page(judge)


def test_a_pickle_is_loaded_by_nobody_who_judges_a_model(
    judge: Any, packages: dict[str, ModelPackage], tmp_path: Path
) -> None:
    """Whoever makes a package makes its digests, too."""
    sprung = tmp_path / "sprung"
    trained(tmp_path / "trap", people(3_000, 1), ["a", "b"], "buys", pickle=pickle.dumps(Trap(sprung)))
    judge(tmp_path / "trap", people(500, 2), str(tmp_path / "trap"))
    assert not sprung.exists()


def test_a_package_whose_artifact_names_another_digest_is_not_loaded(
    judge: Any, packages: dict[str, ModelPackage]
) -> None:
    with pytest.raises(UserError, match="but the metadata of the model artifact says 000000000000"):
        judge("good", people(500, 2), metadata={"package_digest": "0" * 64})
    assert not any(Path(output.path).exists() for output in judge.outputs.values())
    assert judge("good", people(500, 2), metadata=packages["good"].metadata())


def test_rows_without_a_label_are_predicted_but_not_judged(judge: Any) -> None:
    test = people(2_000, 2)
    test.loc[:99, "buys"] = None
    judge("good", test, slices=["segment"])
    assert sum(part["rows"] for part in blessing(judge).evidence["slices"]) == 1_900
    table = pd.read_parquet(judge.outputs["predictions"].path)
    assert len(table) == 2_000
    assert table["target"].isna().sum() == 100
    assert table["prediction"].notna().all()
    assert judge.outputs["metrics"].metadata["rows"] == 1_900
    assert blessing(judge).evidence["rows"]["left_out"] == {"no label": 100}
    assert table["judged"].sum() == 1_900
    assert "100 rows: no label" in page(judge)


def test_the_prediction_table_holds_both_models_beside_the_truth(judge: Any, packages: dict[str, ModelPackage]) -> None:
    test = people(500, 2)
    judge("good", test, "weak")
    table = pd.read_parquet(judge.outputs["predictions"].path)
    assert list(table) == [
        "row", "judged", "target", "prediction", "probability.no", "probability.yes",
        "champion.prediction", "champion.probability.no", "champion.probability.yes",
    ]  # fmt: skip
    assert (table["target"] == test["buys"]).all()
    assert table["row"].tolist() == list(range(500))
    expected = packages["weak"].predictor().predict(test)
    assert table["champion.probability.yes"].to_numpy() == pytest.approx(expected.probabilities[:, 1])
    assert judge.outputs["predictions"].metadata["rows"] == 500


def test_metadata_holds_finite_numbers_only_even_without_a_positive_row(judge: Any) -> None:
    test = people(2_000, 2)
    assert judge("good", test[test["buys"] == "no"], "weak", slices=["segment"]) == "inconclusive"
    assert "roc_auc of the model is not defined on these test rows: no row is labelled 'yes'" in blessing(judge).reasons
    for output in judge.outputs.values():
        json.dumps(output.metadata, allow_nan=False)
    assert "roc_auc" not in judge.outputs["metrics"].metadata
    assert "confidenceMetrics" not in judge.outputs["classification"].metadata


def test_precision_is_compared_where_a_rival_never_predicts_the_class(judge: Any) -> None:
    test = people(2_000, 2)
    assert judge("good", test, "shy", metric="precision") == "inconclusive"
    assert blessing(judge).reasons == [
        "precision of 'yes' of the champion is not defined on these test rows: no row is predicted 'yes'"
    ]
    assert judge("good", test, metric="precision") == "promote"  # a guess that every row is positive has a precision


def test_one_labelled_row_gives_a_report_and_decides_nothing(judge: Any) -> None:
    for model, target in (("good", "buys"), ("amount", "amount"), ("size", "size")):
        test = people(50, 2)
        test.loc[1:, target] = None
        assert judge(model, test, model, slices=["segment"], min_slice_rows=1) == "inconclusive"


def test_the_ui_gets_metrics_a_confusion_matrix_and_a_roc_curve(judge: Any) -> None:
    judge("good", people(2_000, 2), "weak")
    metadata = judge.outputs["metrics"].metadata
    assert metadata["roc_auc_lower"] < metadata["roc_auc"] < metadata["roc_auc_upper"]
    assert metadata["champion_roc_auc"] < metadata["roc_auc"]
    classification = judge.outputs["classification"].metadata
    assert len(classification["confidenceMetrics"]) <= 200
    assert sum(sum(row["row"]) for row in classification["confusionMatrix"]["rows"]) == 2_000
    json.dumps(classification, allow_nan=False)


@pytest.mark.parametrize(("model", "metric"), [("amount", "rmse"), ("size", "log_loss")])
def test_other_tasks_are_judged_by_their_own_metric(judge: Any, model: str, metric: str) -> None:
    assert judge(model, people(2_000, 2), model, slices=["segment", "noise"]) == "promote"
    assert blessing(judge).evidence["metric"] == metric
    assert ("Residuals" in page(judge)) == (model == "amount")


def test_the_report_is_one_page_without_network_or_script(judge: Any) -> None:
    judge("good", people(2_000, 2), "weak", slices=["segment"])
    html = page(judge)
    assert "<script" not in html
    assert "src=" not in html
    for heading in ("Verdict", "The gate", "Metrics", "Ranking", "Calibration", "Classes", "Slices", "relies on"):
        assert heading in html
    assert html.count("<figure") == 6
    assert html.count("<svg") == 12  # curves that belong side by side are two drawings: a narrow screen has no room
    assert len(html) < 500_000


def test_the_most_important_feature_comes_first_and_noise_is_called_noise(judge: Any) -> None:
    judge("good", people(2_000, 2))
    assert "Not distinguishable from noise: noise." in page(judge)


def test_the_same_seed_writes_the_same_bytes(judge: Any) -> None:
    written = []
    for _ in range(2):
        judge("good", people(500, 2), "weak", slices=["segment"], seed=3)
        written.append((page(judge), Path(judge.outputs["blessing"].path).read_bytes()))
    assert written[0] == written[1]


def with_label(label: str) -> pd.DataFrame:
    test = people(500, 2)
    test.loc[3, "buys"] = label
    return test


@pytest.mark.parametrize(
    ("test", "parameters", "message"),
    [
        (people(500, 2).head(0), {}, "the test table has no rows"),
        (people(500, 2).drop(columns="buys"), {}, "target 'buys' is not a column of the test table; it has: a, b"),
        (people(500, 2).assign(buys=None), {}, "target 'buys' is missing in all 500 test rows"),
        (
            with_label("perhaps"),
            {},
            "target 'buys' holds 'aaaaaaa', which is not a class of this model; it has: no, yes",
        ),
        (people(500, 2).drop(columns="a"), {}, "column 'a' is missing"),
        (people(500, 2), {"metric": "rmse"}, "'rmse' is not a metric of a binary task"),
        (people(500, 2), {"slices": ["region"]}, "slice 'region' is not a column of the test table"),
        (people(500, 2), {"thresholds": {"auc": 0.7}}, "thresholds name 'auc'"),
        (people(500, 2), {"rule": "better"}, "rule is 'better'; expected one of: non_inferior, superior"),
        (people(500, 2), {"margin": -0.1}, "margin is -0.1; expected a share of the champion's value"),
        (people(500, 2), {"no_champion": "ignore"}, "no_champion is 'ignore'; expected one of: promote, hold"),
        (people(500, 2), {"replicates": 1}, "replicates is 1; expected at least 100"),
        (people(500, 2), {"champion": "/no/such/package"}, "there is nothing at '/no/such/package'"),
        (people(500, 2), {"champion": "amount"}, "predicts regression 'amount', but this model predicts binary 'buys'"),
        (people(500, 2).drop(columns="later"), {"champion": "leaking"}, "needs column 'later', which the test table"),
    ],
)
def test_a_bad_input_is_one_sentence_and_nothing_is_written(
    judge: Any, test: pd.DataFrame, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError) as error:
        judge("good", test, **parameters)
    assert message in str(error.value)
    assert not any(Path(output.path).exists() for output in judge.outputs.values())


def test_a_changed_package_is_not_loaded(judge: Any, packages: dict[str, ModelPackage], tmp_path: Path) -> None:
    shutil.copytree(packages["good"].path, tmp_path / "changed")
    (tmp_path / "changed" / "model.joblib").write_bytes(b"something else")
    with pytest.raises(UserError, match=r"model\.joblib .* was changed after training"):
        judge(tmp_path / "changed", people(500, 2))


def test_a_model_of_train_is_judged_on_the_flights_that_came_later(
    judge: Any, package: dsl.Model, flights: pd.DataFrame
) -> None:
    judge(Path(package.path), flights.tail(2_000), package.path, slices=["origin", "carrier"])
    found = blessing(judge)
    assert 0.6 < found.evidence["metrics"]["roc_auc"]["value"] < 0.9
    assert found.evidence["parity"]["rows"] == 400  # that train held out
    assert found.evidence["golden"] == {
        "rows": 20, "max_difference": 0.0, "tolerance": 1e-5, "beyond": 0, "worst_row": 0
    }  # fmt: skip
    assert {part["slice"] for part in found.evidence["slices"]} >= {"origin=JFK", "carrier=UA"}
