"""The outcome of a drift check, as ``result`` is written."""

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from kubeline.columns import Kind
from kubeline.errors import listed
from kubeline.printable import rounded
from kubeline.settings import Parameters

DriftVerdict = Literal["stable", "drift", "insufficient_data"]
ColumnVerdict = Literal["stable", "drift", "expected", "insufficient_data", "not_judged"]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DriftRule(Parameters):
    """When a column has drifted, and when the window has."""

    min_effect: float = Field(default=0.1, gt=0, lt=math.inf, description="a PSI above 0, such as 0.1")
    max_p: float = Field(default=0.01, gt=0, lt=1, description="a share between 0 and 1, such as 0.01")
    min_rows: int = Field(default=200, ge=1, description="a whole number from 1")
    min_columns: int = Field(default=1, ge=1, description="a whole number from 1")
    min_auc: float = Field(
        default=0.6, gt=0.5, le=1, description="a number above 0.5, such as 0.6, or 1 for no classifier"
    )

    def __str__(self) -> str:
        columns = "one column has" if self.min_columns == 1 else f"{self.min_columns} columns have"
        together = (
            f", or a classifier distinguishes its rows from the reference's with an AUC of at least {self.min_auc:g} "
            "that is no chance either"
        )
        return (
            f"A column has drifted when its effect is at least {self.min_effect:g} AND its p-value, adjusted for the "
            f"number of columns, is at most {self.max_p:g} AND both samples have at least {self.min_rows:,} rows. "
            f"The window has drifted when {columns}, or a prediction or the labels have"
            f"{together if self.min_auc < 1 else ''}."
        )


class ColumnSide(_Model):
    """One column in one sample; the moments and extremes are of numbers and times (seconds since 1970 UTC)."""

    rows: int
    missing_share: float
    mean: float | None = None
    std: float | None = None
    smallest: float | None = None
    largest: float | None = None


class Unseen(_Model):
    """Categories of the current window that the reference does not have.

    `certain` is False when the reference has more categories than its profile lists; some may then be known ones.
    """

    categories: int
    rows: int
    most_frequent: dict[str, int]
    certain: bool


class Share(_Model):
    """Shares of one bin in the two samples."""

    label: str
    reference: float
    current: float


class ColumnDrift(_Model):
    """One column compared.

    `effect` is the PSI minus its bias; `p_value` is of "no drift", `adjusted_p` the same after Benjamini-Hochberg over
    all judged columns (None when the column is not judged). `shares` are the bins, at most the 50 largest.
    """

    name: str
    kind: Kind
    verdict: ColumnVerdict
    effect: float
    psi: float
    p_value: float
    adjusted_p: float | None
    bins: int
    reference: ColumnSide
    current: ColumnSide
    unseen: Unseen | None
    shares: list[Share]


class Separation(_Model):
    """How well a classifier distinguishes rows of the window from rows of the reference, by all columns at once.

    `auc`, the chance that a row of the window is taken for one rather than a row of the reference, has a 95 % interval;
    `p_value` is of "it is one half", one-sided. `reference_rows` and `rows` are the samples it learned from and was
    asked about, by turns, `columns` how many were compared; `assumed` says which rows belong together.
    """

    auc: float
    lower: float
    upper: float
    p_value: float
    reference_rows: int
    rows: int
    columns: int
    assumed: str = ""


class Together(Separation):
    """The same, judged: `adjusted_p` among the columns'.

    `explained_by` is what of the AUC is lost without a column's values, where there is drift.
    """

    verdict: ColumnVerdict
    adjusted_p: float
    explained_by: dict[str, float] = {}

    @property
    def of_columns(self) -> int:
        """How many columns explain it, one at least."""
        return max(len(self.explained_by), 1)

    def __str__(self) -> str:
        explained = f"; explained by {listed(list(self.explained_by))}" if self.explained_by else ""
        return (
            f"a classifier distinguishes {self.rows:,} rows of the window and {self.reference_rows:,} of the reference "
            f"with an AUC of {self.auc:.3f} [{self.lower:.3f}, {self.upper:.3f}]{explained}"
        )


class Notable(_Model):
    """Something about one column that is of interest whatever its effect."""

    kind: Literal["new_categories", "vanished_categories", "missing"]
    column: str
    text: str


def is_worse(validation: float | None, lower: float | None, upper: float | None, greater_is_better: bool) -> bool:
    """Whether a whole interval is on the worse side of the validation value; not so where one of them is not known."""
    if validation is None or lower is None or upper is None:
        return False
    return upper < validation if greater_is_better else lower > validation


class Performance(_Model):
    """The model on the labelled rows of the window, or `estimated` on all, beside its validation during training.

    `worse` when the whole 95 % interval is on the worse side of the validation value. `assumed` says
    what the interval takes for granted and by what rows count. `calibration` is the expected calibration error of a
    classification, as `evaluate` has it: the mean gap between predicted probability and what came true, in 15 bins. By
    labels it has a 95 % interval, whole groups or days resampled where the one of the metric has them so.
    """

    metric: str
    label: str
    value: float
    lower: float | None
    upper: float | None
    validation: float | None
    worse: bool
    rows: int
    assumed: str = ""
    estimated: bool = False
    calibration: float | None = None
    calibration_lower: float | None = None
    calibration_upper: float | None = None

    def __str__(self) -> str:
        interval = (
            "" if self.lower is None or self.upper is None else f" [{rounded(self.lower)}, {rounded(self.upper)}]"
        )
        before = "" if self.validation is None else f"; in validation it was {rounded(self.validation)}"
        assumed = f" ({self.assumed})" if self.assumed else ""
        kind = "" if self.estimated else "labelled "
        return f"{self.label} on {self.rows:,} {kind}rows is {rounded(self.value)}{interval}{before}{assumed}"


class SlicePerformance(_Model):
    """The metric on the labelled rows of one slice, such as ``carrier=UA``, or estimated, with its 95 % interval.

    `weak` when it is surely worse than on the other rows, after correction for all slices, which labels alone show;
    `undefined` says why there is no value.
    """

    slice: str
    rows: int
    value: float | None
    lower: float | None
    upper: float | None
    weak: bool
    undefined: str = ""


class Shift(_Model):
    """One column, prediction or the labels beside a further reference; without an effect it follows from others."""

    name: str
    verdict: ColumnVerdict
    effect: float | None = None
    adjusted_p: float | None = None


class FurtherReference(_Model):
    """What the window was compared with beside the training, or `note`: why it could not be.

    `rows` are those of its profile. What can be compared is listed, each list by effect, greatest first.
    """

    reference: str
    rows: int = 0
    note: str = ""
    columns: list[Shift] = []
    predictions: list[Shift] = []
    labels: list[Shift] = []
    together: Together | None = None

    @property
    def together_is_stable(self) -> bool:
        """Whether a classifier was asked and does not distinguish the window from it."""
        return self.together is not None and self.together.verdict == "stable"

    def __str__(self) -> str:
        if self.note:
            return f"{self.reference} is not compared with: {self.note}; the verdict is by the others alone"
        if all(one.verdict == "insufficient_data" for one in self.columns):
            return f"{self.reference} has {self.rows:,} rows, too few to judge by; the verdict is by the others alone"
        moved = [one.name for one in [*self.columns, *self.predictions, *self.labels] if one.verdict == "drift"]
        moved += ["all columns at once"] if self.together and self.together.verdict == "drift" else []
        return f"beside {self.reference} drifted: {listed(moved, limit=8) if moved else 'nothing'}"


class DriftResult(_Model):
    """The whole outcome; `columns` and `predictions` are sorted by effect, greatest first.

    `further` are references beside the training. What drifted from the training, and not from one of them, is expected.

    `labels` has one entry where the window has labels; `together` is all columns at once, or `together_note` says why
    it is not known. `window` is the interval of time that was loaded, empty without bounds; `assumed` says which rows
    belong together.
    """

    version: Literal[1] = 1
    verdict: DriftVerdict
    drifted: bool
    reasons: list[str]
    rule: DriftRule
    reference: str
    reference_rows: int
    current_rows: int
    columns: list[ColumnDrift]
    predictions: list[ColumnDrift]
    labels: list[ColumnDrift] = []
    together: Together | None = None
    together_note: str = ""
    further: list[FurtherReference] = []
    findings: list[Notable] = []
    performance: Performance | None
    performance_note: str
    estimate: Performance | None = None
    slices: list[SlicePerformance] = []
    estimated_slices: list[SlicePerformance] = []
    window: str = ""
    assumed: str = ""
    excluded: list[str] = []
    not_in_reference: list[str]
    read_as: list[str] = []
    evidently_note: str = ""
