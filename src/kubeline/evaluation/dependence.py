"""Partial dependence: the mean prediction for some test rows when one column has the same value in all of them.

It is that of ``sklearn.inspection.partial_dependence`` (method "brute"), asked of the model that serves. Rows are made
that may not exist where the column is correlated with another one, so that the report names such columns beside it.
Accumulated local effects would not make such rows, but are not defined for categories without an order.

Source: Friedman (2001), Greedy Function Approximation: A Gradient Boosting Machine.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from kubeline.evaluation.importance import Importance, SampledRows
from kubeline.model_package.predictor import Predictions, Predictor
from kubeline.model_package.signature import Feature, Signature
from kubeline.printable import rounded
from kubeline.typing import Array

COLUMNS = 6
ROWS = 300
POINTS = 12  # of a number, from its 5th to its 95th percentile
_VALUES = 10  # of a category, the most frequent
_CELLS = 2_000_000  # of the rows, so that a table of ten thousand columns has fewer


@dataclass(frozen=True)
class Dependence:
    """How the mean prediction goes along with one column.

    Attributes:
        feature: The column.
        of: What is predicted: the probability of a class, or the target.
        correlated: Other columns that go with it, so that some of its rows do not exist.
        values: The values as text.
        positions: The values as numbers, or None of a category or boolean.
        means: The mean prediction for each value.
    """

    feature: str
    of: str
    correlated: tuple[str, ...]
    values: tuple[str, ...]
    positions: tuple[float, ...] | None
    means: tuple[float, ...]


def dependences(
    predictor: Predictor,
    sample: SampledRows,
    alone: Sequence[Importance],
    groups: Sequence[Importance],
    personal: Container[str],
) -> list[Dependence]:
    """The partial dependence of the columns that matter most, alone or in their group.

    Args:
        predictor: The model in ONNX Runtime.
        sample: Test rows, of which the first `ROWS` are asked about.
        alone: What each column is worth.
        groups: What correlated columns are worth together.
        personal: Columns whose values must not be shown.
    """
    together = {name: group for group in groups for name in group.features}
    ranked = sorted(
        ((one.loss, one.features[0]) for one in alone if one.features[0] not in personal and not _idle(one, together)),
        key=lambda pair: (-max(pair[0], together[pair[1]].loss if pair[1] in together else 0.0), -pair[0]),
    )
    signature = predictor.signature
    kinds = {feature.name: feature for feature in signature.features}
    rows = max(1, min(ROWS, _CELLS // len(kinds)))
    tensors = predictor.tensors({name: column[:rows] for name, column in sample.columns.items()})
    place, of = _output(signature, sample)
    weights = None if sample.scored.weights is None else sample.scored.weights[:rows]
    found = []
    for _, name in ranked[:COLUMNS]:
        others = tuple(one for one in (together[name].features if name in together else ()) if one != name)
        labels, values, positions = _grid(kinds[name], sample.columns[name][:rows, 0], predictor.column(tensors, name))
        if len(values) > 1:
            means = _means(predictor, tensors, name, values, place, weights)
            found.append(Dependence(name, of, others, labels, positions, means))
    return found


def _idle(one: Importance, together: dict[str, Importance]) -> bool:
    name = one.features[0]
    return one.idle and (name not in together or together[name].idle)


def _output(signature: Signature, sample: SampledRows) -> tuple[int | None, str]:
    """Which of the probabilities is shown, and what it is of: the positive class, or the one predicted most."""
    if signature.classes is None:
        return None, f"'{signature.target}'"
    label = signature.positive_class
    if label is None:
        label = sample.scored.classes[int(np.bincount(sample.scored.prediction).argmax())]
    return signature.classes.index(label), f"probability of '{label}'"


def _grid(feature: Feature, values: Array, read: Array) -> tuple[tuple[str, ...], list[Any], tuple[float, ...] | None]:
    """The values as text, as the model reads them, and as numbers.

    Args:
        feature: The column.
        values: (rows,) as :meth:`Signature.encode` makes them.
        read: (rows,) the same as the model reads them, which of categories are codes.
    """
    if feature.kind == "category":
        different, first, counts = np.unique(values.astype(str), return_index=True, return_counts=True)
        most = np.argsort(-counts, kind="stable")[:_VALUES]
        return tuple(str(different[one]) or "missing" for one in most), [read[first[one]] for one in most], None
    known = np.unique(values[~np.isnan(values)])
    if feature.kind == "boolean":
        return tuple("true" if value else "false" for value in known), list(known), None
    if len(known) > POINTS:
        low, high = np.quantile(values[~np.isnan(values)].astype(np.float64), [0.05, 0.95]).tolist()
        known = np.unique(np.linspace(low, high, POINTS).astype(values.dtype))
    texts = tuple(_moment(value) if feature.kind == "datetime" else rounded(float(value)) for value in known)
    return texts, list(known), tuple(map(float, known))


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def _means(
    predictor: Predictor,
    tensors: dict[str, Array],
    name: str,
    values: Sequence[Any],
    place: int | None,
    weights: Array | None,
) -> tuple[float, ...]:
    column = predictor.column(tensors, name)
    kept, means = column.copy(), []
    for value in values:
        column[:] = value
        means.append(float(np.average(_answers(predictor.predict_tensors(tensors), place), weights=weights)))
    column[:] = kept
    return tuple(means)


def _answers(found: Predictions, place: int | None) -> Array:
    answers: Array = found.values if found.probabilities is None else found.probabilities[:, place or 0]
    return answers.astype(np.float64)
