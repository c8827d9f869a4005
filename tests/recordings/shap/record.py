"""Record what shap says of three small models, in two steps, as shap and this project do not take the same numpy.

python -m tests.recordings.shap.record train FOLDER              # in the environment of the project
python record.py explain FOLDER explanations.json                # in one with shap and this scikit-learn
"""

import base64
import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROWS, BACKGROUND = 6, 10


def data(width: int) -> Any:
    """Columns whose effects depend on each other, some values missing."""
    rng = np.random.default_rng(width)
    table = rng.normal(size=(400, width)).round(3).astype(np.float32)
    table[:, 1] = np.where(rng.random(400) < 0.2, np.nan, table[:, 1])
    signal = table[:, 0] * np.nan_to_num(table[:, 1]) + np.abs(table[:, 2]) + 0.5 * table[:, 3] * (table[:, -1] > 0)
    return table, signal + 0.3 * rng.normal(size=400)


def models() -> dict[str, Any]:
    """Name, and the fitted model with its data."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.linear_model import LogisticRegression

    found = {}
    for name, width, model in (
        ("binary trees, values missing", 6, HistGradientBoostingClassifier(max_iter=30, max_leaf_nodes=8)),
        ("regression trees", 6, HistGradientBoostingRegressor(max_iter=30, max_leaf_nodes=8)),
        ("regression trees, many columns", 14, HistGradientBoostingRegressor(max_iter=30, max_leaf_nodes=8)),
        ("multiclass linear", 5, LogisticRegression()),
    ):
        table, signal = data(width)
        kept = table if "missing" in name else np.nan_to_num(table)
        classes = 2 if "binary" in name else 3
        cuts = np.quantile(signal, np.arange(1, classes) / classes)
        found[name] = (model.fit(kept, signal if "regression" in name else np.searchsorted(cuts, signal)), kept)
    return found


def plain(rows: Any) -> list[list[float | None]]:
    """Rows as JSON has them."""
    return [[None if np.isnan(value) else float(value) for value in row] for row in rows]


def train(folder: Path) -> None:
    """Fit the models, and write each with its ONNX form and the rows to explain."""
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import make_pipeline

    from kubeline.model_package import Feature, Signature
    from kubeline.training.export import to_onnx
    from kubeline.transform.transform import Transform

    written = {}
    for name, (model, table) in models().items():
        names = [f"c{place}" for place in range(table.shape[1])]
        classes = None if "regression" in name else [str(label) for label in model.classes_]
        task: Any = name.split(maxsplit=1)[0]
        signature = Signature(
            features=[Feature(name=each, kind="number") for each in names], target="y", task=task, classes=classes
        )
        truth = model.predict(table)
        pipeline = make_pipeline(
            ColumnTransformer([("numbers", "passthrough", names)]), type(model)(**model.get_params())
        )
        pipeline.fit(pd.DataFrame(table, columns=names), truth)
        pipeline.steps[-1] = (pipeline.steps[-1][0], model)
        written[name] = {
            "onnx": base64.b64encode(to_onnx(pipeline, signature, Transform(), names)).decode(),
            "signature": signature.model_dump(mode="json"),
        }
        (folder / f"{name}.pickle").write_bytes(pickle.dumps((model, table)))
    (folder / "models.json").write_text(json.dumps(written))


def explain(folder: Path, file: Path) -> None:
    """Ask shap: TreeExplainer for trees of a number, ExactExplainer for others.

    Of probabilities, and with missing values in the background, shap's TreeExplainer is an approximation: it differs
    from its ExactExplainer by up to 0.05 here.
    """
    import shap  # type: ignore[import-not-found]

    recorded = json.loads((folder / "models.json").read_text())
    for name, content in recorded.items():
        model, table = pickle.loads((folder / f"{name}.pickle").read_bytes())  # noqa: S301 (written by the first step)
        rows, background = table[:ROWS], table[-BACKGROUND:]
        if "regression" in name:
            explainer = shap.TreeExplainer(model, background, feature_perturbation="interventional")
            values, base = explainer.shap_values(rows, check_additivity=False), explainer.expected_value
        else:
            masker = shap.maskers.Independent(background, max_samples=BACKGROUND)
            found = shap.explainers.ExactExplainer(model.predict_proba, masker)(rows)
            values, base = found.values, found.base_values[0]
            if "binary" in name:
                values, base = values[..., 1], base[1]
        content |= {
            "rows": plain(rows),
            "background": plain(background),
            "values": np.asarray(values, dtype=float).tolist(),
            "base": np.asarray(base, dtype=float).ravel().tolist(),
            "shap": shap.__version__,
        }
    file.write_text(json.dumps(recorded) + "\n")


if __name__ == "__main__":
    step, place, *rest = sys.argv[1:]
    train(Path(place)) if step == "train" else explain(Path(place), Path(rest[0]))
