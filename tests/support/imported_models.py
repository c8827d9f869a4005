"""Tables that models of others were trained on, and the import of one."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from kubeline.model_package import ModelPackage

Import = Callable[..., ModelPackage]
NUMBERS = ["amount", "age"]


def rows(count: int, seed: int) -> pd.DataFrame:
    """Numbers, one of them missing at times, and a category; the target is ``y``, and ``price`` one of numbers."""
    draw = np.random.default_rng(seed)
    amount, age = draw.normal(size=count), draw.integers(18, 90, count).astype(float)
    carrier = draw.choice(["AA", "UA", "B6"], count)
    score = amount + (carrier == "UA") - (age - 50) / 40 + draw.normal(scale=0.3, size=count)
    age[draw.random(count) < 0.05] = np.nan
    return pd.DataFrame(
        {"amount": amount, "age": age, "carrier": carrier, "y": np.where(score > 0.4, "late", "early"), "price": score}
    )


SEEN, HELD = rows(300, 1), rows(120, 2)
