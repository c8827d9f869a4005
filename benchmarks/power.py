"""How often shifts of known sizes are found in windows of 1,000 and 100,000 rows: docs/drift-power.svg.

Columns are judged one by one; what moves between them alone is a matter of the classifier.

python -m benchmarks.power
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmarks.false_alarms import window_of
from kubeline.drift.check import judge
from kubeline.drift.coded_rows import CodedRows
from kubeline.drift.compare import compare
from kubeline.drift.profile import Profile, build
from kubeline.drift.reference import Reference
from kubeline.drift.result import DriftRule
from kubeline.drift.window import counter

FIGURE = Path(__file__).parents[1] / "docs" / "drift-power.svg"
RULE = DriftRule(min_effect=0.1, max_p=0.01, min_rows=200, min_columns=1, min_auc=0.6)
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


CORRELATION = "correlation alone"
# By what is shifted: how far, and the parameter of `rows_of` that says so.
SHIFTS: Mapping[str, tuple[list[float], str]] = {
    "mean, in standard deviations": ([0.0, 0.1, 0.2, 0.3, 0.4, 0.5], "mean"),
    "standard deviation, times": ([1.0, 1.1, 1.2, 1.3, 1.4, 1.5], "spread"),
    "share of a category of 1 %": ([0.01, 0.02, 0.04, 0.06, 0.08, 0.1], "rare"),
    CORRELATION: ([0.0, 0.2, 0.4, 0.6, 0.8, 0.95], "together"),
}


def found(reference: Reference, window: pd.DataFrame, *, classifier: bool = False) -> bool:
    """Whether a window has drifted: by its columns, or by the classifier as well."""
    if classifier:
        return judge(window_of(reference, window, clustered=False), reference, RULE)[0].drifted
    counters = {name: counter(column) for name, column in reference.profile.columns.items()}
    for name, each in counters.items():
        each.add(window[name])
    columns = compare(counters, {}, RULE).columns
    return any(column.verdict == "drift" for column in columns)


def share(
    reference: Reference, parameter: str, shift: float, rows: int, windows: int = WINDOWS, *, classifier: bool = False
) -> float:
    """The share of so many windows with a shift that have drifted."""
    rng = np.random.default_rng(rows)
    drawn = (rows_of(rng, rows, **{parameter: shift}) for _ in range(windows))
    return float(np.mean([found(reference, window, classifier=classifier) for window in drawn]))


def reference_of(rows: int = REFERENCE) -> Reference:
    """What the windows are compared with."""
    frame = rows_of(np.random.default_rng(0), rows)
    profile = Profile.read(build(frame, KINDS))
    return Reference("reference", profile, [*KINDS], coded=CodedRows.of(frame, profile.columns, "").sample())


def main() -> None:
    """Draw the figure, and print what it shows."""
    reference, figure = reference_of(), Figure(figsize=(7.2, 5.2), layout="constrained")
    for place, (name, (shifts, parameter)) in zip(figure.subplots(2, 2, sharey=True).flat, SHIFTS.items(), strict=True):
        for number, rows in enumerate(ROWS):
            for classifier in (False, True) if name == CORRELATION else (False,):
                shares = [share(reference, parameter, shift, rows, classifier=classifier) for shift in shifts]
                style, label = ("--", ", with the classifier") if classifier else ("-", "")
                place.plot(
                    shifts, shares, style, color=f"C{number}", marker="o", markersize=4, label=f"{rows:,} rows{label}"
                )
                print(f"{name}, {rows:,} rows{label}: {dict(zip(shifts, shares, strict=True))}", flush=True)
        place.set(xlabel=name, ylim=(-0.03, 1.03))
    figure.axes[0].legend(frameon=False)
    either = Line2D([], [], color="gray", linestyle="--", label="with the classifier")
    figure.axes[-1].legend(handles=[either], frameon=False, loc="upper left")
    figure.supylabel("share of windows that drift")
    figure.savefig(FIGURE, metadata={"Date": None})


if __name__ == "__main__":
    main()
