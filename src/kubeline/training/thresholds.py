"""Thresholds of trees as float32, so that ONNX splits where the library does.

Libraries split halfway between two values, in float64. ONNX trees hold float32, and the converters round to the
nearest: between two float32 neighbours that may be the upper one, and every row with this value goes to the other side.
Rounding down to float32 changes no answer for float32 inputs, neither in the library nor in ONNX. XGBoost needs none of
it: its trees are float32 from the start.
"""

import re
from typing import Any

import numpy as np

from kubeline.typing import Array

_THRESHOLDS = re.compile(r"^threshold=(.*)$", re.MULTILINE)
_SIZES = re.compile(r"^tree_sizes=.*\n", re.MULTILINE)  # bytes of each tree's text, no longer right; optional


def of_lightgbm(model: Any) -> None:
    """Round those of a fitted model of LightGBM, in place."""
    import lightgbm

    document = model.booster_.model_to_string()
    document = _THRESHOLDS.sub(_rounded_line, _SIZES.sub("", document))
    model._Booster = lightgbm.Booster(model_str=document)


def _rounded_line(match: re.Match[str]) -> str:
    wide = np.array(match.group(1).split(), dtype=np.float64)
    return "threshold=" + " ".join(repr(float(value)) for value in _down(wide))


def of_boosted_histograms(model: Any) -> None:
    """Round those of a fitted HistGradientBoosting of scikit-learn, in place."""
    for trees in model._predictors:
        for tree in trees:
            tree.nodes["num_threshold"] = _down(tree.nodes["num_threshold"])


def of_a_forest(model: Any) -> None:
    """Round those of a fitted forest of scikit-learn, in place."""
    for tree in model.estimators_:
        tree.tree_.threshold[:] = _down(tree.tree_.threshold)  # a view of the tree itself


def _down(wide: Array) -> Array:
    """The greatest float32 that is not above each value, as float64; infinite ones stay."""
    with np.errstate(over="ignore"):
        near = wide.astype(np.float32)
    return np.where(near > wide, np.nextafter(near, np.float32(-np.inf)), near).astype(np.float64)
