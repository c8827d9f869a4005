"""Derived columns are part of the model: every form of it computes them, from raw columns alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from components.infra_validate.component import infra_validate
from components.predict.component import predict
from components.transform.component import transform
from kubeline.data.dataset import read_frame
from kubeline.errors import UserError
from kubeline.model_package import ModelPackage
from kubeline.model_package.predictor import ServingPredictor
from tests.support.artifacts import Maker
from tests.support.training import trained
from tests.support.training_tables import SMALL, Train, fresh_rows

DERIVE = {
    "log_size": "ln(1 + size)",
    "density": "rooms / size",
    "night": 'hour("sold/at") < 6',
    "hour_sin": 'sin(2 * pi() * hour("sold/at") / 24)',
    "place": "city || '/' || probabilities",
    "rank": "case city when 'Bern' then 'capital' when 'Köln' then 'large' else 'other' end",
    "twice": "city = probabilities or city is null",
    "since": "date_diff('day', \"sold/at\", '2020-01-01')",
    "late": 'case when rooms > 4 then "sold/at" end',
    "sold/at": "",
}


def kinds(package: ModelPackage) -> dict[str, str]:
    return {feature.name: feature.kind for feature in package.signature.features}


@pytest.mark.parametrize(
    ("estimator", "encoding"),
    [
        ("hist_gradient_boosting", "ordinal"),
        ("lightgbm", "target"),
        ("xgboost", "one_hot"),
        ("random_forest", "ordinal"),
        ("linear", "one_hot"),
    ],
)
def test_all_forms_of_a_model_derive_the_same_for_rows_of_any_kind(
    estimator: str, encoding: str, mixed: pd.DataFrame, train: Train
) -> None:
    params = {**SMALL[estimator], "category_encoding": encoding}
    package = train(mixed, estimator=estimator, params=params, derive=DERIVE)
    assert list(kinds(package)) == ["size", "rooms", "city", "probabilities", "has garden", "sold/at"]
    assert package.manifest.params["derive"] == DERIVE
    rows = fresh_rows(mixed)
    portable = package.predictor(threads=1).predict(rows).probabilities
    assert portable is not None
    serving = ServingPredictor((package.path / "serving.onnx").read_bytes(), package.signature, 1)
    np.testing.assert_array_equal(serving.predict(rows).probabilities, portable)
    learned = package.sklearn().predict_proba(package.signature.encoded_frame(rows))
    assert np.abs(portable - learned).max() < 1e-6


def test_a_model_learns_from_a_derived_column_and_needs_raw_ones_to_predict(
    train: Train, artifact: Maker, dataset: Maker
) -> None:
    """Whether two texts are the same, which no single column shows; the server and a batch answer from raw columns."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"home": rng.choice([*"abcdefgh"], 400), "shop": rng.choice([*"abcdefgh"], 400), "note": 1})
    table.loc[::2, "shop"] = table["home"]
    table["y"] = np.where(table["home"] == table["shop"], "same", "other")
    derive = {"same": "home = shop", "home": "", "shop": ""}
    package = train(table, derive=derive, exclude=["note"], estimator="linear", positive_class="same")
    assert kinds(package) == {"home": "category", "shop": "category"}
    assert package.manifest.metrics["roc_auc"] == 1.0
    model = artifact("Model", "model")
    verdict = infra_validate.python_func(
        model=model, blessing=artifact("Artifact", "blessing"), metrics=artifact("Metrics", "served"),
        report=artifact("HTML", "served page"), requests=5, max_latency_ms=5_000,
    )  # fmt: skip
    assert verdict == "promote"
    predictions = artifact("Dataset", "predictions")
    predict.python_func(
        dataset=dataset(table.drop(columns="y"), "raw"), model=model, predictions=predictions,
        quarantine=artifact("Dataset", "quarantine"), metrics=artifact("Metrics", "batch"),
        report=artifact("HTML", "page"),
    )  # fmt: skip
    assert read_frame(predictions.path)["output.prediction"].tolist() == table["y"].tolist()
    without = train(table, exclude=["note"], estimator="linear", positive_class="same")
    assert without.manifest.metrics["roc_auc"] < 0.9


def test_the_artifact_of_transform_and_the_parameter_give_the_same_package_byte_for_byte(
    mixed: pd.DataFrame, train: Train, artifact: Maker, dataset: Maker
) -> None:
    declared = artifact("Artifact", "transform")
    transform.python_func(
        dataset=dataset(mixed), transform=declared, report=artifact("HTML", "derived"), derive=DERIVE, target="y"
    )
    constraint = {"max_iter": 20, "monotonic_cst": {"density": 1}}
    first = train(mixed, derive=DERIVE, params=constraint)
    second = train(mixed, transform=declared, params=constraint)
    assert first.digest == second.digest
    page = Path(artifact("HTML", "report").path).read_text(encoding="utf-8")
    assert "Derived columns" in page
    assert "case city when" in page
    with pytest.raises(UserError, match="derive was given besides the artifact transform"):
        train(mixed, transform=declared, derive=DERIVE)
    Path(declared.path).write_text('{"format": 2}', encoding="utf-8")
    with pytest.raises(UserError, match=r"is not a transform\.json that this version reads"):
        train(mixed, transform=declared)


@pytest.mark.parametrize(
    ("derive", "words"),
    [
        ({"x": "y::int + size"}, "reads 'y', which is the target"),
        ({"x": "size / 0"}, "is missing in every row"),
        ({"x": "ln(size"}, "is not an SQL expression"),
        ({"rooms": "size + 1"}, "gives an expression for 'rooms', which the table has"),
        (dict.fromkeys(("size", "rooms", "city"), "") | {"x": "size + rooms"}, "no expression for 'city'"),
    ],
)
def test_a_training_refuses_what_cannot_be_derived_and_writes_nothing(
    derive: Any, words: str, mixed: pd.DataFrame, train: Train, artifact: Maker
) -> None:
    with pytest.raises(UserError, match=words):
        train(mixed, derive=derive)
    assert not Path(artifact("Model", "model").path).exists()


def test_derived_columns_alone_make_a_regression(mixed: pd.DataFrame, tmp_path: Path) -> None:
    table = mixed[["size"]].assign(y=np.log1p(mixed["size"]) * 1e6 + 5e8).dropna()
    derive = {"log_size": "ln(1 + size)", "size": ""}
    package = ModelPackage.open(trained(tmp_path, table, estimator="linear", derive=derive)["model"].path)
    assert package.manifest.metrics["r2"] > 0.9999
    assert kinds(package) == {"size": "number"}
