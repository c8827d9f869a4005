"""The reference profile: what a window of data is compared with, without the data itself.

A number is kept as counts in bins whose edges are quantiles of the reference, a category as the count of each
category. The profile is plain JSON, holds no time stamp, and is the same for the same rows in any order.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from kubeline.columns import Kind
from kubeline.drift.values import numbers, texts
from kubeline.errors import UserError
from kubeline.typing import Array

VERSION: Literal[1] = 1
BINS = 10  # deciles, for which the usual limits of the population stability index were set (Siddiqi 2006)
MAX_CATEGORIES = 10_000  # categories of one column that are listed by name
QUANTILES = 101  # every percent, for display
_CACHED = 32_768  # values
_LATER = ("calibrations", "losses", "clusters", "sample", "labels")  # fields that profiles did not always have


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NumberProfile(_Model):
    """A column of numbers, or of times as seconds since 1970 UTC.

    Bin ``i`` holds the values above ``edges[i - 1]`` and up to ``edges[i]``; the first and the last bin are open.
    """

    kind: Literal["number", "datetime"]
    rows: int
    missing: int
    edges: list[float]
    counts: list[int]
    integer: bool  # every value is whole
    mean: float | None  # of the finite values, like all that follows; None when there are none
    std: float | None
    quantiles: list[float]  # at 0 %, 1 %, … 100 %; empty when there is no finite value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if len(self.counts) != len(self.edges) + 1 or sorted(set(self.edges)) != self.edges:
            raise ValueError("edges must rise and counts must be one more than edges")
        if sum(self.counts) + self.missing != self.rows:
            raise ValueError("the counts of all bins and of missing values must add up to the rows")
        return self


class CategoryProfile(_Model):
    """A column of categories; booleans are the categories ``true`` and ``false``."""

    kind: Literal["category", "boolean"]
    rows: int
    missing: int
    counts: dict[str, int]  # most frequent first, then by name
    other: int  # rows whose category is not listed
    floor: int  # a category that is not listed occurs at most this often; 0 when all are listed

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if sum(self.counts.values()) + self.missing + self.other != self.rows:
            raise ValueError("the counts of categories, other and missing must add up to the rows")
        return self


ReferenceColumn = Annotated[NumberProfile | CategoryProfile, Field(discriminator="kind")]


class Calibration(_Model):
    """What became of the rows of two classes that training held out: the share of positive ones by score.

    `scores` and `rates` are the knots of a rising curve; `rows` and `positives` are how many it was drawn from.
    """

    scores: list[float] = Field(min_length=1)
    rates: list[float] = Field(min_length=1)
    rows: int = Field(gt=0)
    positives: float

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if len(self.scores) != len(self.rates) or sorted(self.scores) != self.scores:
            raise ValueError("the knots must be pairs of scores, ascending, and rates")
        return self


class Losses(_Model):
    """The squared errors of a regression on the rows that training held out, by bins of its predictions.

    `edges` are the inner bounds of the bins; of each bin `means` and `variances` of the errors, and its `rows`.
    """

    edges: list[float]
    means: list[float] = Field(min_length=1)
    variances: list[float]
    rows: list[int]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if not len(self.edges) + 1 == len(self.means) == len(self.variances) == len(self.rows):
            raise ValueError("there must be one mean, variance and number of rows for each bin")
        return self


class KeptRows(_Model):
    """Some rows of the reference as bins, packed; :class:`kubeline.drift.coded_rows.CodedRows` reads them."""

    columns: list[str]
    rows: int = Field(ge=0)
    codes: str  # rows x columns bytes, by zlib and base64
    together: str | None  # four bytes a row, the same way


class Profile(_Model):
    """The reference profile of a table and of the predictions for it (``reference.json``).

    `predictions` has a column ``probability.<class>`` for each class, or ``prediction`` for a regression, and may
    come from other rows than `columns`: predictions for the rows a model was fitted on are too sure of themselves
    to be compared with predictions for new rows.
    """

    version: Literal[1] = VERSION
    rows: int
    columns: dict[str, ReferenceColumn]
    predictions: dict[str, ReferenceColumn] = {}
    calibration: Calibration | None = None  # of two classes
    calibrations: dict[str, Calibration] | None = None  # of more, by class
    losses: Losses | None = None  # of a regression
    clusters: int | None = Field(default=None, gt=0)  # groups or days that the rows are of
    sample: KeptRows | None = None  # of the reference
    labels: ReferenceColumn | None = None  # what is predicted

    @classmethod
    def read(cls, document: Any, source: str = "the reference profile") -> Self:
        """Check and read what :func:`build` returned, or its JSON.

        Raises:
            UserError: when it is not such a profile; `source` names it in the message.
        """
        try:
            if isinstance(document, (str, bytes)):
                return cls.model_validate_json(document)
            return cls.model_validate(document)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "the document"
            raise UserError(
                f"{source} is not a reference profile of version {VERSION} ({place}: {first['msg']}); "
                "train the model again, or give a reference table"
            ) from error


def build(
    frame: pd.DataFrame,
    kinds: Mapping[str, str],
    predictions: pd.DataFrame | None = None,
    calibration: Calibration | None = None,
    calibrations: dict[str, Calibration] | None = None,
    losses: Losses | None = None,
    clusters: int | None = None,
    labels: ReferenceColumn | None = None,
) -> dict[str, Any]:
    """Profile a table, as ``reference.json`` of a model package keeps it.

    Args:
        frame: The rows the model was trained on; columns that are not in `kinds` are left out.
        kinds: Kind of each column to profile: ``number``, ``category``, ``boolean`` or ``datetime``.
        predictions: Predictions of the model for rows it was NOT fitted on (a validation set, or out-of-fold): a
            column ``probability.<class>`` for each class, or ``prediction`` for a regression. Predictions for rows
            of the training itself would be further from 0.5 than any later ones and look like drift.
        calibration: Of the same rows, where there are two classes.
        calibrations: The same where there are more, by class.
        losses: Of the same rows, of a regression.
        clusters: How many groups or days the rows of `frame` are of, where they belong together.
        labels: Profile of what is predicted.

    Returns:
        A plain JSON document that :meth:`Profile.read` reads; the same for the same rows.

    Raises:
        UserError: when a column is missing or does not hold what its kind says.
    """
    for name in kinds:
        if name not in frame.columns:
            raise UserError(f"column '{name}' is to be profiled but is not in the table")
    scores = {} if predictions is None else {str(name): predictions[name] for name in predictions.columns}
    profile = Profile(
        rows=len(frame),
        columns={name: column(frame[name], kind) for name, kind in kinds.items()},  # type: ignore[arg-type]
        predictions={name: column(values, "number") for name, values in scores.items()},
        calibration=calibration,
        calibrations=calibrations,
        losses=losses,
        clusters=clusters,
        labels=labels,
    )
    return document(profile)


def document(profile: Profile) -> dict[str, Any]:
    """A profile as ``reference.json`` has it, for :meth:`Profile.read`."""
    without = {name for name in _LATER if getattr(profile, name) is None}
    return profile.model_dump(mode="json", exclude=without)


def column(values: pd.Series, kind: Kind) -> NumberProfile | CategoryProfile:
    """Profile one column."""
    if kind in ("category", "boolean"):
        return category_profile(kind, *texts(values, kind))
    array = numbers(values, kind)
    return _of_ascending(kind, ascending(array), len(array))


def sorted_in_place(values: Array) -> NumberProfile:
    """The same of numbers of which none is infinite and missing ones are NaN; they are sorted where they are."""
    values.sort()  # NaN comes last
    return _of_ascending("number", values[: np.searchsorted(values, np.nan)], len(values))


def _of_ascending(kind: Kind, finite: Array, rows: int) -> NumberProfile:
    """The same of the finite values in ascending order of so many rows."""
    edges = _edges(finite)
    up_to = np.searchsorted(finite, edges, side="right")  # of sorted values, which are all that are not missing
    counts = np.diff(up_to, prepend=0, append=len(finite))
    return _number_profile(kind, edges, counts.tolist(), rows - len(finite), finite)


def number_profile(kind: Kind, edges: list[float], counts: list[int], missing: int, sample: Array) -> NumberProfile:
    """Put a profile together from counts over all rows and a sample (or all) of the values for display."""
    return _number_profile(kind, edges, counts, missing, ascending(sample))


def _number_profile(kind: Kind, edges: list[float], counts: list[int], missing: int, finite: Array) -> NumberProfile:
    """The same of finite values in ascending order, so that sums do not depend on the order of rows."""
    # what np.quantile calls inverted_cdf, of what is sorted already
    places = np.ceil(finite.size * np.linspace(0, 1, QUANTILES) - 1).clip(0).astype(int)
    quantiles = finite[places] if finite.size else finite
    with np.errstate(over="ignore", invalid="ignore"):
        mean, std = (float(finite.mean()), float(finite.std())) if finite.size else (None, None)
    return NumberProfile(
        kind=kind,  # type: ignore[arg-type]
        rows=sum(counts) + missing,
        missing=missing,
        edges=edges,
        counts=counts,
        integer=bool(finite.size) and every(finite, lambda some: np.array_equal(some, np.rint(some))),
        mean=mean if mean is not None and np.isfinite(mean) else None,
        std=std if std is not None and np.isfinite(std) else None,
        quantiles=quantiles.tolist(),
    )


def category_profile(
    kind: Kind, counts: Counter[str], missing: int, dropped: int = 0, floor: int = 0
) -> CategoryProfile:
    """Keep the `MAX_CATEGORIES` most frequent categories by name and the rest as one number.

    `dropped` rows are of categories that `counts` already left out, each of which may have up to `floor` rows.
    """
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    cut = ranked[MAX_CATEGORIES:]
    other = sum(count for _, count in cut) + dropped
    return CategoryProfile(
        kind=kind,  # type: ignore[arg-type]
        rows=counts.total() + dropped + missing,
        missing=missing,
        counts=dict(ranked[:MAX_CATEGORIES]),
        other=other,
        floor=floor + (cut[0][1] if cut else 0),
    )


def quantile_edges(values: Array) -> list[float]:
    """Edges between bins of about equal share, from all finite values or from a sample of them.

    A value that alone has the share of a bin (the zero of a zero-inflated column, a constant), and each value of a
    column with few (a month), gets a bin of its own, with its edges half-way to its neighbours: a shift away from it
    in either direction then changes bins.
    """
    return _edges(ascending(values))


def _edges(ordered: Array) -> list[float]:
    """The same of finite values in ascending order."""
    distinct, atoms, at = _landmarks(ordered)
    edges = {_between(distinct, i + 1) for i in at.tolist() if i + 1 < distinct.size}
    for i in atoms.tolist():
        edges |= {_between(distinct, i), _between(distinct, i + 1)}
    return sorted(edge for edge in edges if np.isfinite(edge))


def _landmarks(ordered: Array) -> tuple[Array, Array, Array]:
    """Values that edges are beside, with the values next to them and those at both ends.

    They are found by searches, for there may be millions of values.

    Returns:
        These different values in ascending order; which of them get a bin of their own; and which others hold a
        quantile.
    """
    first = _first_places(ordered, 2 * BINS + 1)
    if first.size <= 2 * BINS:
        return ordered[first], np.arange(first.size), np.arange(0)
    rows = len(ordered)
    begin = np.unique(_begin(ordered, ordered[:: rows // BINS]))  # a value as frequent as a bin is among them
    frequent = begin[(_end(ordered, ordered[begin]) - begin) * BINS >= rows]
    holding = _begin(ordered, ordered[np.ceil(rows * np.arange(1, BINS) / BINS).astype(int) - 1])
    chosen = np.concatenate([frequent, holding, first[:2], _begin(ordered, ordered[-1:])])
    before = _begin(ordered, ordered[chosen[chosen > 0] - 1])
    after = _end(ordered, ordered[chosen])
    places = np.unique(np.concatenate([chosen, before, after[after < rows]]))
    atoms = np.searchsorted(places, frequent)
    return ordered[places], atoms, np.setdiff1d(np.searchsorted(places, holding), atoms)


def _first_places(ordered: Array, most: int) -> Array:
    """Where the first so many different values begin."""
    places: list[int] = []
    place = 0
    while place < len(ordered) and len(places) < most:
        places.append(place)
        place = int(_end(ordered, ordered[place]))
    return np.array(places, dtype=np.int64)


def _begin(ordered: Array, values: Array) -> Array:
    """Where each of these values occurs first."""
    return np.searchsorted(ordered, values)


def _end(ordered: Array, values: Array) -> Array:
    """Where the value after each of these occurs first."""
    return np.searchsorted(ordered, values, side="right")


def ascending(values: Array) -> Array:
    """The finite values, sorted; themselves where they are so already."""
    finite = values if every(values, lambda some: bool(np.isfinite(some).all())) else values[np.isfinite(values)]
    in_order = every(finite, lambda some: bool((some[1:] >= some[:-1]).all()), 1)
    return finite if in_order else np.sort(finite)


def every(values: Array, holds: Callable[[Array], bool], overlap: int = 0) -> bool:
    """Whether this holds of all values, by as many as a cache holds, until it does not."""
    return all(holds(values[start : start + _CACHED + overlap]) for start in range(0, len(values), _CACHED))


def _between(distinct: Array, i: int) -> float:
    """An edge below ``distinct[i]``: half-way to the value before, or as far beyond the ends as the next value."""
    if 0 < i < distinct.size:
        low, high = distinct[i - 1], distinct[i]
        middle = low / 2 + high / 2  # the difference of two huge values overflows
        return float(middle if low <= middle < high else low)
    end, sign = (distinct[0], -1.0) if i == 0 else (distinct[-1], 1.0)
    if distinct.size == 1:
        return float(end + sign * max(abs(end) * 1e-6, 1e-9))  # wider than the rounding of float32
    half_gap = distinct[1] / 2 - distinct[0] / 2 if i == 0 else distinct[-1] / 2 - distinct[-2] / 2
    with np.errstate(over="ignore"):
        return float(end + sign * half_gap)


def without_missing(values: Array) -> Array:
    """The values that are not NaN; themselves where none is."""
    missing = np.isnan(values)
    return values[~missing] if missing.any() else values


def bin_counts(values: Array, edges: list[float]) -> Array:
    """Counts of values, of which none is NaN, in each bin, (len(edges) + 1,) integers."""
    up_to = [np.count_nonzero(values <= edge) for edge in edges]  # of so few, five times as fast as searchsorted
    return np.diff([0, *up_to, len(values)])
