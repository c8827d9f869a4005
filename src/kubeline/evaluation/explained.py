"""A few predictions for test rows, each with what its columns contribute, as the server's ``:explain`` answers."""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
import pandas as pd

from kubeline.data.stored import StoredTable
from kubeline.errors import counted
from kubeline.evaluation.kept import Numbers, release
from kubeline.evaluation.rows import positions_of
from kubeline.evaluation.scored import Scored
from kubeline.model_package.explanations import Explainer, Explanation, largest
from kubeline.model_package.package import ModelPackage
from kubeline.printable import rounded
from kubeline.typing import Array

ROWS = 5
LARGEST = 8  # contributions of a row that are named
_VALUES = 500_000_000  # that are predicted from for all rows, about
_PREDICTION, _SCORE = attrgetter("prediction"), attrgetter("held_score")
_PLACES = ("lowest", "first quartile", "median", "third quartile", "highest")


@dataclass(frozen=True)
class Contribution:
    """How far a column moves a prediction, and its standard error; `value` is None where it must not be shown."""

    column: str
    value: str | None
    by: float
    error: float


@dataclass(frozen=True)
class ExplainedRow:
    """Why one prediction is what it is.

    Attributes:
        row: Its position in the test table.
        title: What it stands for.
        of: What is predicted, such as the probability of a class.
        actual: What was true.
        prediction: Of the row.
        base: The mean prediction of the golden rows.
        contributions: The largest, the furthest from zero first.
        others: The sum of all others; with it they add up to the prediction minus the base.
    """

    row: int
    title: str
    of: str
    actual: str
    prediction: float
    base: float
    contributions: list[Contribution]
    others: float


@dataclass(frozen=True)
class ExplainedRows:
    """Explained predictions, and, where there are fewer than there could be, a sentence that says why."""

    rows: list[ExplainedRow]
    golden: int
    note: str = ""


def explain_rows(
    test: StoredTable, judged: Numbers, package: ModelPackage, scored: Scored, personal: Container[str] | None
) -> ExplainedRows:
    """Explain the predictions for a few of the rows judged: from the lowest up, or the surest of each class.

    Args:
        test: All rows.
        judged: (n,) True for those that judge the model.
        package: The model.
        scored: Its answers for the rows judged.
        personal: Columns of personal data, of which no value is shown; None where nobody has looked for such, so that
            none is shown of any column.
    """
    signature, golden = package.signature, package.golden()
    if not len(golden):
        return ExplainedRows([], 0, "the package has no golden rows to explain predictions beside; train it again")
    predictor = package.predictor()
    explainer = Explainer(predictor, predictor.tensors(signature.encode(golden)))
    chosen, note = _chosen(scored), ""
    most = affordable(explainer.cost, len(explainer.names))
    if most < len(chosen):
        note = (
            f"of {counted(len(explainer.names), 'column')}, explaining one prediction takes up to "
            f"{explainer.cost:,} others: {most} of {len(chosen)} are explained; the server explains any by :explain"
        )
        chosen = chosen[:most]
    if not chosen:
        return ExplainedRows([], len(golden), note)
    places = sorted({place for _, place, _ in chosen})
    positions = positions_of(judged, places)
    frame = test.take(positions, signature.names)
    release()
    blocks, rows = predictor.tensors(signature.encode(frame)), []
    for title, place, label in chosen:
        at = places.index(place)
        found, output = explainer.explain(blocks, at), 0 if label is None else (signature.classes or []).index(label)
        named = _named(explainer.names, found, output, frame.iloc[at], personal)
        rows.append(
            ExplainedRow(
                row=int(positions[at]),
                title=title,
                of=f"'{signature.target}'" if label is None else f"the probability of '{label}'",
                actual=rounded(scored.target[place]) if label is None else scored.classes[scored.target[place]],
                prediction=float(found.prediction[output]),
                base=float(found.base[output]),
                contributions=named,
                others=float(found.contributions[:, output].sum()) - sum(one.by for one in named),
            )
        )
    return ExplainedRows(rows, len(golden), note)


def _named(
    names: Sequence[str], found: Explanation, output: int, row: pd.Series, personal: Container[str] | None
) -> list[Contribution]:
    """The largest contributions, of those that there are."""
    errors = dict(zip(names, found.errors[:, output].tolist(), strict=True))
    return [
        Contribution(name, _value(row[name], name, personal), by, errors[name])
        for name, by in largest(names, found.contributions[:, output], LARGEST)
        if by
    ]


def affordable(cost: int, columns: int) -> int:
    """How many predictions are explained, of which each takes at most `cost` others, from all columns."""
    return min(ROWS, _VALUES // (cost * columns))


def _chosen(scored: Scored) -> list[tuple[str, int, str | None]]:
    """What each row stands for, its place among the rows judged, and the class whose probability is explained."""
    if scored.task != "multiclass":
        is_number = scored.task == "regression"
        label, make = (None, _PREDICTION) if is_number else (scored.classes[1], _SCORE)
        ranking = scored.ranked_by("prediction", make) if is_number else scored.ranking()
        ranks = np.linspace(0, len(scored) - 1, ROWS).round().astype(int)
        places = [_place(scored, make, rank, ranking.ranked(np.array([rank]))[0]) for rank in ranks]
        return [(title, place, label) for title, place in zip(_PLACES, places, strict=True)]
    rows = []
    for code in np.argsort(-scored.class_counts[1], kind="stable")[:ROWS]:
        place, most, start = -1, -1.0, 0
        for some in scored.pieces():
            sure = np.where(some.prediction == code, some.probability_of(code), -1.0)
            if sure.max() > most:
                place, most = start + int(sure.argmax()), float(sure.max())
            start += len(some)
        if most >= 0:
            label = scored.classes[code]
            rows.append((f"surest '{label}'", place, label))
    return rows


def _place(scored: Scored, make: Callable[[Scored], Array], rank: int, value: float) -> int:
    """Where the row stands that has this value and rank; of equal values, those of smaller ranks come first."""
    smaller, equal, start = 0, [], 0
    for some in scored.pieces():
        values = make(some)
        smaller += int(np.count_nonzero(values < value))
        equal.append(start + np.flatnonzero(values == value))
        start += len(some)
    return int(np.concatenate(equal)[rank - smaller])


def _value(value: Any, name: str, personal: Container[str] | None) -> str | None:
    if personal is None or name in personal:
        return None
    if pd.isna(value):
        return "missing"
    return rounded(float(value)) if isinstance(value, float | np.floating) else str(value)
