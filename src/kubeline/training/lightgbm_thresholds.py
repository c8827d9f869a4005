"""Thresholds of LightGBM as float32, so that ONNX splits where LightGBM does.

LightGBM splits halfway between two values, in float64. ONNX trees hold float32, and the converter rounds to the
nearest: between two float32 neighbours that may be the upper one, and every row with this value goes to the other
side. Rounding down to float32 changes no answer for float32 inputs, neither in LightGBM nor in ONNX.
"""

import re
from typing import Any

import numpy as np

_THRESHOLDS = re.compile(r"^threshold=(.*)$", re.MULTILINE)
_SIZES = re.compile(r"^tree_sizes=.*\n", re.MULTILINE)  # bytes of each tree's text, no longer right; optional


def round_down(model: Any) -> None:
    """Round the thresholds of a fitted LGBMClassifier or LGBMRegressor, in place."""
    import lightgbm

    document = model.booster_.model_to_string()
    document = _THRESHOLDS.sub(_rounded_line, _SIZES.sub("", document))
    model._Booster = lightgbm.Booster(model_str=document)


def _rounded_line(match: re.Match[str]) -> str:
    wide = np.array(match.group(1).split(), dtype=np.float64)
    near = wide.astype(np.float32)
    down = np.where(near > wide, np.nextafter(near, np.float32(-np.inf)), near).astype(np.float64)
    return "threshold=" + " ".join(repr(float(value)) for value in down)
