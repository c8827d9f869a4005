"""How often shifts of known sizes are found in windows of 1,000 and 100,000 rows: docs/drift-power.svg.

python -m benchmarks.power
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from kubeline.drift.compare import compare
from kubeline.drift.profile import Profile, build
from kubeline.drift.result import DriftRule
from kubeline.drift.window import counter

FIGURE = Path(__file__).parents[1] / "docs" / "drift-power.svg"
RULE = DriftRule(min_effect=0.1, max_p=0.01, min_rows=200, min_columns=1)
REFERENCE = 100_000  # rows
WINDOWS = 40  # of each size and shift
ROWS = (1_000, 100_000)
KINDS = {"x": "number", "y": "number", "kind": "category"}


def rows_of(
    rng: np.random.Generator,
    rows: int,
    mean: float = 0.0,
    spread: float = 1.0,
    rare: float = 0.01,
    together: float = 0.0,
) -> pd.DataFrame:
    """Two numbers and a category, of which one value is rare."""
    x = rng.normal(mean, spread, rows)
    y = together * (x - mean) / spread + np.sqrt(1 - together**2) * rng.normal(size=rows)
    return pd.DataFrame({"x": x, "y": y, "kind": np.where(rng.random(rows) < rare, "rare", "usual")})


# By what is shifted: how far, and the parameter of `rows_of` that says so.
SHIFTS: Mapping[str, tuple[list[float], str]] = {
    "mean, in standard deviations": ([0.0, 0.1, 0.2, 0.3, 0.4, 0.5], "mean"),
    "standard deviation, times": ([1.0, 1.1, 1.2, 1.3, 1.4, 1.5], "spread"),
    "share of a category of 1 %": ([0.01, 0.02, 0.04, 0.06, 0.08, 0.1], "rare"),
    "correlation alone": ([0.0, 0.2, 0.4, 0.6, 0.8, 0.95], "together"),
}


def found(reference: Profile, window: pd.DataFrame) -> bool:
    """Whether a window has drifted."""
    counters = {name: counter(column) for name, column in reference.columns.items()}
    for name, each in counters.items():
        each.add(window[name])
    columns = compare(counters, {}, RULE).columns
    return any(column.verdict == "drift" for column in columns)


def share(reference: Profile, parameter: str, shift: float, rows: int, windows: int = WINDOWS) -> float:
    """The share of so many windows with a shift that have drifted."""
    rng = np.random.default_rng(rows)
    return float(np.mean([found(reference, rows_of(rng, rows, **{parameter: shift})) for _ in range(windows)]))


def reference_of(rows: int = REFERENCE) -> Profile:
    """What the windows are compared with."""
    return Profile.read(build(rows_of(np.random.default_rng(0), rows), KINDS))


def main() -> None:
    """Draw the figure, and print what it shows."""
    reference, figure = reference_of(), Figure(figsize=(7.2, 5.2), layout="constrained")
    for place, (name, (shifts, parameter)) in zip(figure.subplots(2, 2, sharey=True).flat, SHIFTS.items(), strict=True):
        for rows in ROWS:
            shares = [share(reference, parameter, shift, rows) for shift in shifts]
            place.plot(shifts, shares, marker="o", markersize=4, label=f"{rows:,} rows")
            print(f"{name}, {rows:,} rows: {dict(zip(shifts, shares, strict=True))}")
        place.set(xlabel=name, ylim=(-0.03, 1.03))
    figure.axes[0].legend(frameon=False)
    figure.supylabel("share of windows that drift")
    figure.savefig(FIGURE, metadata={"Date": None})


if __name__ == "__main__":
    main()
