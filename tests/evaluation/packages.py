"""Real packages of small models on numeric columns, trained in a fraction of a second."""

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.pipeline import make_pipeline

from kubeline.model_package import Feature, ModelPackage, Predictor, Signature
from kubeline.model_package.encoding import labels
from kubeline.model_package.manifest import ManifestRoles
from kubeline.model_package.training_rows import TrainingRows
from kubeline.training.export import to_onnx
from kubeline.transform.transform import Transform
from tests.support.handmade_packages import golden, write_by_hand

TASKS = {2: "binary", 3: "multiclass"}


def trained(
    folder: Path,
    frame: pd.DataFrame,
    features: Sequence[str],
    target: str,
    *,
    regression: bool = False,
    recorded_by: ModelPackage | None = None,
    pickle: bytes = b"",
    seed: int = 0,
    roles: ManifestRoles | None = None,
    positive_class: str | None = None,
) -> ModelPackage:
    """Train gradient boosting on some columns and write its package into `folder`.

    The answers to the golden rows are those of `recorded_by`, when it is given; `pickle` stands in for the scikit-learn
    form.
    """
    kind = HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
    classes = None if regression else sorted(set(labels(frame[target])))
    signature = Signature(
        features=[Feature(name=name, kind="number") for name in features],
        target=target,
        task="regression" if regression else TASKS[min(len(classes or ()), 3)],  # type: ignore[arg-type]
        classes=classes,
        positive_class=positive_class,
    )
    truth: Any = frame[target].to_numpy(float) if regression else signature.codes(frame)
    columns = ColumnTransformer([("numbers", "passthrough", list(features))])
    pipeline = make_pipeline(columns, kind(max_iter=20, max_leaf_nodes=8, random_state=seed))
    pipeline.fit(signature.encoded_frame(frame), truth)
    model, form = to_onnx(pipeline, signature, Transform(), signature.names), io.BytesIO()
    joblib.dump(pipeline, form)
    answers = (Predictor(model, signature) if recorded_by is None else recorded_by.predictor()).predict(frame.head(2))
    return write_by_hand(
        folder,
        signature,
        model,
        sklearn=pickle or form.getvalue(),
        golden=golden(frame.head(2), signature, answers),
        training_rows=_rows(frame, [*features, target], (roles or ManifestRoles()).group),
        estimator="hist_gradient_boosting",
        held_out="",
        parity={"rows": 0, "max_difference": 0.0, "tolerance": 1e-5},
        seed=seed,
        roles=roles or ManifestRoles(),
        dataset_fingerprint=hashlib.sha256(frame.to_csv().encode()).hexdigest(),
    )


def _rows(frame: pd.DataFrame, columns: Sequence[str], group: str) -> bytes:
    return TrainingRows.of(pa.Table.from_pandas(frame, preserve_index=False), columns, group).to_bytes()


class Trap:
    """Writes a file when it is unpickled, as an attacker's model would."""

    def __init__(self, place: Path) -> None:
        self.place = str(place)

    def __reduce__(self) -> Any:
        return (Path.write_text, (Path(self.place), "sprung"))


def people(rows: int, seed: int) -> pd.DataFrame:
    """Features a and b drive the targets, noise does not; segment is not a feature; later is known too late."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(rows, 3)), columns=["a", "b", "noise"])
    signal = 1.5 * frame["a"] + frame["b"]
    frame["buys"] = np.where(signal + rng.normal(size=rows) > 0.8, "yes", "no")
    frame["amount"] = 20 + 4 * signal + rng.normal(size=rows)
    frame["size"] = pd.cut(
        signal + 0.5 * rng.normal(size=rows), [-np.inf, -1, 1, np.inf], labels=["S", "M", "L"]
    ).astype(str)
    frame["later"] = (frame["buys"] == "yes") + 0.1 * rng.normal(size=rows)
    frame["segment"] = rng.choice(["north", "south", "east"], rows)
    return frame
