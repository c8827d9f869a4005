"""What becomes of columns: kinds, missing values, categories, dates, and those that are no features."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kubeline.model_package import ModelPackage
from kubeline.training.transformers import DateParts
from tests.support.artifacts import Maker
from tests.support.training import trained
from tests.support.training_tables import Train


def kinds(package: ModelPackage) -> dict[str, str]:
    return {feature.name: feature.kind for feature in package.signature.features}


def test_every_column_but_the_named_ones_is_a_feature_of_its_kind(train: Train, mixed: pd.DataFrame) -> None:
    frame = mixed.assign(day=mixed["sold/at"].dt.date, price=[Decimal(i) / 4 for i in range(600)], part=range(600))
    package = train(frame, exclude=["rooms"], time_column="part")
    assert kinds(package) == {
        "size": "number",
        "city": "category",
        "probabilities": "category",
        "has garden": "boolean",
        "sold/at": "datetime",
        "day": "datetime",
        "price": "number",
    }


def test_a_missing_category_and_an_empty_text_are_the_same(train: Train, mixed: pd.DataFrame) -> None:
    package = train(mixed)
    rows = mixed.head(50)
    answers: list[Any] = [
        package.predictor(threads=1).predict(rows.assign(city=value)).probabilities for value in (None, "", np.nan)
    ]
    assert np.array_equal(answers[0], answers[1])
    assert np.array_equal(answers[0], answers[2])


def test_categories_of_pandas_are_answered_as_their_texts(train: Train, mixed: pd.DataFrame) -> None:
    city = mixed["city"].where(mixed["rooms"] > mixed["rooms"].median(), None)
    package = train(mixed.assign(city=city), target="rooms", task="regression")
    texts = mixed.head(50).assign(city=[None, "", "never seen", *city[3:50]])
    answers: list[Any] = [
        package.predictor(threads=1).predict(rows).numbers
        for rows in (texts, texts.astype({"city": "category"}), texts.astype({"city": "category"}).iloc[::-1])
    ]
    assert np.array_equal(answers[0], answers[1])
    assert np.array_equal(answers[0], answers[2][::-1])


def test_unseen_categories_are_answered_as_rare_ones(train: Train, mixed: pd.DataFrame) -> None:
    frame = mixed.assign(city=[f"c{i}" if i % 3 == 0 else "common" for i in range(600)])
    package = train(frame, params={"max_categories": 5, "max_iter": 10})
    [city] = [feature for feature in package.signature.features if feature.name == "city"]
    assert city.categories is not None
    assert (len(city.categories), city.categories[0]) == (5, "common")
    rare = next(name for name in frame["city"].unique() if name not in city.categories)
    answers: list[Any] = [
        package.predictor(threads=1).predict(frame.assign(city=name)).probabilities for name in (rare, "never seen")
    ]
    assert np.array_equal(answers[0], answers[1])


@pytest.mark.parametrize("estimator", ["hist_gradient_boosting", "linear"])
def test_ten_thousand_categories_make_a_small_model(train: Train, estimator: str) -> None:
    rng = np.random.default_rng(0)
    codes = np.concatenate([np.arange(10_000), rng.zipf(1.3, 10_000) % 10_000])
    frame = pd.DataFrame({"id": [f"c{code}" for code in codes], "x": rng.normal(size=20_000)})
    frame["y"] = (codes % 2 == 0) ^ (rng.random(20_000) < 0.1)
    package = train(frame, estimator=estimator)
    assert package.manifest.parity.rows == 2_000
    assert (package.path / "model.onnx").stat().st_size < 200_000


def test_a_column_without_values_is_left_out_and_named_in_the_report(
    train: Train, mixed: pd.DataFrame, tmp_path: Path
) -> None:
    frame = mixed.assign(nothing=np.nan, late=np.where(np.arange(600) >= 540, 1.0, np.nan), t=range(600))
    package = train(frame, time_column="t")
    assert "nothing" not in kinds(package)
    assert "late" not in kinds(package)
    page = (tmp_path / "report").read_text(encoding="utf-8")
    assert "Column &#39;nothing&#39; is not used: all its values are missing." in page
    assert "Column &#39;late&#39; is not used: it has no value in the rows to learn from." in page


@pytest.mark.parametrize(
    "name", ["label", "variable", "output_label", "internal.label", "a b", "日付", "1", "appended.1"]
)
def test_a_column_may_have_any_name(train: Train, mixed: pd.DataFrame, name: str) -> None:
    package = train(mixed.rename(columns={"size": name}), params={"max_iter": 2})
    assert len(package.predictor().predict(mixed.rename(columns={"size": name})).values) == 600


def test_date_parts_are_those_of_the_calendar() -> None:
    rng = np.random.default_rng(0)
    moments = pd.to_datetime(rng.integers(-9_000_000_000, 9_000_000_000, 20_000), unit="s")
    years, days = ("1600", "1900", "1970", "2000", "2100"), ("02-28", "03-01", "12-31", "01-01")
    edges = pd.DatetimeIndex(np.array([f"{year}-{day}" for year in years for day in days], dtype="datetime64[s]"))
    moments = moments.as_unit("s").append(edges)
    seconds = np.array(moments.astype("datetime64[s]")).astype("int64").astype("float64")
    found = DateParts().fit(seconds[:, None]).transform(seconds[:, None])
    whole_hours = moments.hour + moments.minute / 60 + moments.second / 3600
    expected = np.column_stack([moments.year, moments.month, moments.day, moments.dayofweek, whole_hours])
    assert np.array_equal(found[:, :4], expected[:, :4])
    assert np.allclose(found[:, 4], expected[:, 4], atol=1e-5)


@pytest.mark.parametrize(
    ("target", "task", "classes"),
    [
        (lambda i: i % 2 == 0, "binary", ["False", "True"]),
        (lambda i: ["no", "yes"][i % 2], "binary", ["no", "yes"]),
        (lambda i: i % 2 + 9.0, "binary", ["9", "10"]),
        (lambda i: i % 12, "multiclass", [str(i) for i in range(12)]),
        (lambda i: i % 30, "regression", None),
        (lambda i: i % 5 / 2, "regression", None),
    ],
)
def test_the_task_follows_from_the_target(
    train: Train, mixed: pd.DataFrame, target: Any, task: str, classes: Any
) -> None:
    package = train(mixed.assign(y=[target(i) for i in range(600)]), params={"max_iter": 2})
    assert package.signature.task == task
    assert package.signature.classes == classes


def test_a_task_that_is_given_is_obeyed(train: Train, mixed: pd.DataFrame) -> None:
    frame = mixed.assign(y=[i % 2 for i in range(600)])
    assert train(frame, task="regression").signature.task == "regression"
    assert train(frame, task="multiclass").signature.classes == ["0", "1"]


def test_a_dataset_without_a_fingerprint_gets_the_one_its_writer_would_give(
    mixed: pd.DataFrame, dataset: Maker, tmp_path: Path
) -> None:
    bare = dataset(mixed)
    known = bare.metadata.pop("fingerprint")
    model = trained(tmp_path, bare, params={"max_iter": 2})["model"]
    assert ModelPackage.open(model.path).manifest.dataset_fingerprint == known
