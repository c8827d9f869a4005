"""A pipeline that was trained elsewhere becomes a package like any other, or is refused in a sentence."""

import hashlib
import pickle
import zipfile
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

from components.evaluate.component import evaluate
from kubeline.errors import UserError
from kubeline.model_package.training_rows import TrainingRows
from kubeline.training import model_file
from tests.support.artifacts import Maker
from tests.support.imported_models import HELD, NUMBERS, SEEN, Import, rows


def columns() -> ColumnTransformer:
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    return ColumnTransformer([("n", numbers, NUMBERS), ("c", OneHotEncoder(handle_unknown="ignore"), ["carrier"])])


def fitted(model: Any, target: str = "y") -> Pipeline:
    return Pipeline([("columns", columns()), ("model", model)]).fit(SEEN[[*NUMBERS, "carrier"]], SEEN[target])


LOGISTIC = fitted(LogisticRegression())


def saved(folder: Path, thing: Any, name: str = "model.joblib") -> dict[str, str]:
    """The parameters that name a file with this object."""
    file = folder / name
    if name.endswith(".skops"):
        import skops.io  # looks through all modules that there are, which takes a second

        skops.io.dump(thing, file)
    else:
        joblib.dump(thing, file)
    return {"source": str(file), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}


@pytest.mark.parametrize(
    ("pipeline", "parameters"),
    [
        (LOGISTIC, {}),
        (
            make_pipeline(
                ColumnTransformer(
                    [("n", SimpleImputer(), NUMBERS), ("c", OneHotEncoder(handle_unknown="ignore"), ["carrier"])]
                ),
                RandomForestClassifier(20, max_depth=4, random_state=0),
            ).fit(SEEN[[*NUMBERS, "carrier"]], SEEN["y"]),
            {"positive_class": "early"},
        ),
        (fitted(Ridge(), "price"), {"target": "price"}),
        (fitted(HistGradientBoostingRegressor(max_iter=10), "price"), {"target": "price"}),
    ],
    ids=["logistic", "forest", "ridge", "boosting"],
)
def test_what_is_served_answers_as_the_pipeline(
    pipeline: Pipeline, parameters: dict[str, Any], bring: Import, tmp_path: Path
) -> None:
    package = bring(**saved(tmp_path, pipeline), **parameters)
    assert package.manifest.estimator == type(pipeline[-1]).__name__
    assert package.manifest.parity.rows == len(HELD)
    found = package.predictor(1).predict(HELD)
    if package.signature.classes is None:
        scale = float(np.std([*SEEN["price"], *HELD["price"]]))
        assert np.abs(found.values - pipeline.predict(HELD)).max() / scale < 1e-5
    else:
        assert found.probabilities is not None
        assert list(package.signature.classes) == list(pipeline.classes_)
        assert np.abs(found.probabilities - pipeline.predict_proba(HELD)).max() < 1e-5
        assert package.signature.positive_class == parameters.get("positive_class", "late")
    assert list(package.sklearn().feature_names_in_) == [*NUMBERS, "carrier"]
    assert package.reference()["columns"].keys() == {*NUMBERS, "carrier"}
    assert len(package.golden()) > 0


def test_an_imported_model_passes_the_gate_as_a_trained_one_and_is_not_judged_on_rows_that_it_has_seen(
    bring: Import, artifact: Maker, dataset: Maker, tmp_path: Path
) -> None:
    package = bring(**saved(tmp_path, LOGISTIC))
    seen = package.training_rows()
    assert isinstance(seen, TrainingRows)
    model = artifact("Model", "evaluated")
    Path(model.path).symlink_to(package.path)
    model.metadata.update(package.metadata())
    blessing = artifact("Artifact", "blessing")
    outputs = [artifact("Dataset", "predictions"), artifact("Metrics", "metrics")]
    outputs += [artifact("ClassificationMetrics", "classification"), artifact("HTML", "page")]
    fresh = pd.concat([rows(300, 3), SEEN]).drop(columns="price")
    verdict = evaluate.python_func(dataset(fresh), model, blessing, *outputs, replicates=200)
    assert verdict == "promote"
    assert blessing.metadata["package_digest"] == package.digest


@pytest.mark.parametrize(("name", "what"), [("schema.json", "a schema.json"), ("1.npy", "files")])
def test_an_archive_that_unpacks_to_more_than_is_read_is_refused_before_that(
    name: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_file, "MOST_BYTES", 2**21)
    monkeypatch.setattr(model_file, "MOST_SCHEMA_BYTES", 2**20)
    with zipfile.ZipFile(tmp_path / "bomb.skops", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, b" " * (2**20 + 1 if name == "schema.json" else 2**21 + 1))
    assert (tmp_path / "bomb.skops").stat().st_size < 10_000
    source = str(tmp_path / "bomb.skops")
    with pytest.raises(UserError, match=f"unpacks to {what} of .* bytes, and .* are read"):
        model_file.load(source, model_file.read(source, ""))


def test_a_file_of_skops_needs_no_digest_and_one_with_strange_types_is_refused_by_their_names(
    bring: Import, tmp_path: Path
) -> None:
    source = saved(tmp_path, LOGISTIC, "model.skops")["source"]
    assert bring(source=source).manifest.estimator == "LogisticRegression"
    boosting = fitted(HistGradientBoostingRegressor(max_iter=5), "price")
    source = saved(tmp_path, boosting, "boosting.skops")["source"]
    assert bring(source=source, target="price").manifest.estimator == "HistGradientBoostingRegressor"
    careful = Pipeline([("read", FunctionTransformer(np.load)), *LOGISTIC.steps])
    with pytest.raises(UserError, match=r"holds types that are not trusted: numpy\.\S*load"):
        bring(source=saved(tmp_path, careful, "careful.skops")["source"])
    strange = saved(tmp_path, Pipeline([("trap", Trap(tmp_path / "sprung"))]), "strange.skops")["source"]
    with pytest.raises(UserError, match=r"holds types that are not trusted: .*Trap"):
        bring(source=strange)
    assert not (tmp_path / "sprung").exists()


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = str(place)

    def __reduce__(self) -> Any:
        return (Path.write_text, (Path(self.place), "sprung"))


@pytest.mark.parametrize(
    ("sha256", "sentence"),
    [
        ("", "is a pickle, which runs what is in it, and no sha256 was given"),
        ("0" * 64, r"has the SHA-256 \w{12}…, but sha256 says 000000000000…; it was not opened"),
    ],
)
def test_a_pickle_is_not_opened_unless_its_digest_is_the_one_given(
    sha256: str, sentence: str, bring: Import, tmp_path: Path
) -> None:
    file = tmp_path / "model.pkl"
    file.write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    with pytest.raises(UserError, match=sentence):
        bring(source=str(file), sha256=sha256)
    assert not (tmp_path / "sprung").exists()


ARRAY = make_pipeline(SimpleImputer(), LogisticRegression()).fit(SEEN[NUMBERS].to_numpy(), SEEN["y"])


def test_a_pipeline_that_was_fitted_on_an_array_is_given_its_columns(bring: Import, tmp_path: Path) -> None:
    file = saved(tmp_path, ARRAY)
    package = bring(**file, features=NUMBERS)
    assert package.signature.names == NUMBERS
    for features, sentence in (([], "does not know the names of its columns"), (["amount"], "but the model reads 2")):
        with pytest.raises(UserError, match=sentence):
            bring(**file, features=features)


STRICT = make_pipeline(
    ColumnTransformer([("c", OneHotEncoder(), ["carrier"])]), LogisticRegression()
).fit(SEEN[["carrier"]], SEEN["y"])  # fmt: skip
WITHOUT_PROBABILITIES = fitted(LinearSVC())
IMPUTED = Pipeline(
    [
        (
            "columns",
            ColumnTransformer(
                [("c", make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()), ["carrier"])]
            ),
        ),
        ("model", LogisticRegression()),
    ]
).fit(SEEN[["carrier"]], SEEN["y"])


@pytest.mark.parametrize(
    ("thing", "parameters", "sentence"),
    [
        ({"a": 1}, {}, "the file holds dict, which has no predict_proba"),
        (WITHOUT_PROBABILITIES, {}, "holds Pipeline, which has no predict_proba; expected a fitted"),
        (LOGISTIC, {"target": "price"}, "the pipeline cannot predict|the file holds|cannot be"),
        (STRICT, {}, "its operator OneHotEncoder reads the text of the column 'carrier'"),
        (LOGISTIC, {"tolerance": 0.0}, "tolerance is 0; expected more than 0"),
        (LOGISTIC, {"held": HELD.drop(columns="age")}, "column 'age' is double in dataset and absent in held_out"),
        (
            LOGISTIC,
            {"seen": SEEN.drop(columns="age"), "held": HELD.drop(columns="age")},
            "the model reads column 'age', which is no feature of the tables",
        ),
        (
            LOGISTIC,
            {"held": HELD.assign(y=["never", "ever"] * 60)},
            "the target has the class 'ever', which the model does not know",
        ),
        (LOGISTIC, {"held": HELD.head(0)}, "dataset has 300 rows and held_out has 0; expected some in both"),
        (
            IMPUTED,
            {"held": HELD.assign(carrier=[None, *HELD["carrier"][1:]])},
            "the pipeline (answers otherwise|cannot predict)",
        ),
    ],
)
def test_what_is_no_model_of_this_table_is_refused_and_nothing_is_written(
    thing: Any, parameters: dict[str, Any], sentence: str, bring: Import, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=sentence) as error:
        bring(**saved(tmp_path, thing), **parameters)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("model.h5", "ends with '.h5'; expected a fitted scikit-learn pipeline as .skops, .joblib"),
        ("no-such.skops", "there is no file at"),
        ("s3://key:secret@bucket/model.skops", "with a key in the address"),
        ("nowhere://bucket/model.skops", "cannot read 'nowhere://bucket/model.skops'"),
    ],
)
def test_a_source_that_is_no_such_file_is_refused(source: str, sentence: str, bring: Import) -> None:
    with pytest.raises(UserError, match=sentence):
        bring(source=source)


def test_a_file_that_is_damaged_is_refused_in_a_sentence(bring: Import, tmp_path: Path) -> None:
    for name in ("model.skops", "model.joblib"):
        (tmp_path / name).write_bytes(b"not a model")
        digest = hashlib.sha256(b"not a model").hexdigest()
        with pytest.raises(UserError, match="cannot be opened here") as error:
            bring(source=str(tmp_path / name), sha256=digest)
        assert "\n" not in str(error.value)
