"""Hyperparameters that speak of columns: given by name, because preprocessing puts columns elsewhere.

Libraries take them by position in the table that they are given, which is not the table of the user: numbers come
first, a category may become a hundred columns, and a date five.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from kubeline.columns import Kind
from kubeline.errors import UserError, listed
from kubeline.task import Task

MONOTONE = ("monotonic_cst", "monotone_constraints")
INTERACTION = ("interaction_cst", "interaction_constraints")
_WORDS = ("pairwise", "no_interactions")  # that scikit-learn knows


def take(params: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part what speaks of columns from the other hyperparameters."""
    ours = {name: value for name, value in params.items() if name in (*MONOTONE, *INTERACTION) and value is not None}
    return ours, {name: value for name, value in params.items() if name not in (*MONOTONE, *INTERACTION)}


def check(constraints: Mapping[str, Any], kinds: Mapping[str, Kind], task: Task) -> None:
    """Refuse positions, columns that are no features, and values that are none.

    Raises:
        UserError: says how the hyperparameter is given by name.
    """
    for name, value in constraints.items():
        if name in MONOTONE:
            _check_monotone(name, value, kinds, task)
        elif value not in _WORDS or name != "interaction_cst":
            _check_groups(name, value, kinds)


def _check_monotone(name: str, value: Any, kinds: Mapping[str, Kind], task: Task) -> None:
    if not isinstance(value, Mapping):
        raise UserError(
            f"{name} is {value!r}, but positions of columns change on their way to the model; give "
            '{"column": 1 (rising), -1 (falling) or 0, …}'
        )
    _check_names(name, value, kinds)
    for column, direction in value.items():
        if isinstance(direction, bool) or direction not in (-1, 0, 1):
            raise UserError(f"{name} of column '{column}' is {direction!r}; expected 1 (rising), -1 (falling) or 0")
        if kinds[column] not in ("number", "boolean"):
            raise UserError(f"{name} names column '{column}', a {kinds[column]}, which has no order; name numbers only")
    if name == "monotonic_cst" and task == "multiclass":
        raise UserError(f"{name} is for regression and two classes, but the task is multiclass; leave it out")


def _check_groups(name: str, value: Any, kinds: Mapping[str, Kind]) -> None:
    groups = value if isinstance(value, list | tuple) else [value]
    for group in groups:
        if not isinstance(group, list | tuple) or not all(isinstance(column, str) for column in group):
            raise UserError(
                f"{name} is {value!r}, but positions of columns change on their way to the model; give "
                '[["column", "column"], …]: columns of one group may interact'
            )
        _check_names(name, group, kinds)


def _check_names(name: str, columns: Any, kinds: Mapping[str, Kind]) -> None:
    for column in columns:
        if column not in kinds:
            raise UserError(f"{name} names column '{column}', which is no feature; the features are: {listed(kinds)}")


def placed(constraints: Mapping[str, Any], columns: Any, as_text: bool) -> dict[str, Any]:
    """The hyperparameters as the library takes them.

    Args:
        constraints: by name, checked.
        columns: the fitted ColumnTransformer whose output the library is given.
        as_text: whether groups are text, as XGBoost takes positions.

    Raises:
        UserError: when a monotone column takes two numbers, see :mod:`kubeline.training.numbers`.
    """
    places: dict[str, list[int]] = {}
    values: dict[str, list[int]] = {}  # where a column's numbers themselves are
    width = 0
    for step, name, position in _outputs(columns):
        places.setdefault(name, []).append(position)
        if step in ("numbers", "differences"):
            values.setdefault(name, []).append(position)
        width = max(width, position + 1)
    found: dict[str, Any] = {}
    for name, value in constraints.items():
        if name in MONOTONE:
            found[name] = _directions(name, value, values, width)
        elif isinstance(value, str):
            found[name] = value
        else:
            groups = [sorted(place for column in group for place in places.get(column, ())) for group in value]
            found[name] = json.dumps(groups) if as_text else groups
    return found


def _directions(name: str, value: Mapping[str, float], values: Mapping[str, list[int]], width: int) -> tuple[int, ...]:
    found = [0] * width
    for column, direction in value.items():
        positions = values.get(column, [])
        if len(positions) > 1 and direction:
            raise UserError(
                f"{name} names column '{column}', whose numbers need more than float32, so that the model reads each "
                "as two; leave it out, or make the numbers smaller"
            )
        for position in positions:
            found[position] = int(direction)
    return tuple(found)


def _outputs(columns: Any) -> Iterator[tuple[str, str, int]]:
    """Step, column of the table and position of every column that a fitted ColumnTransformer makes."""
    for step, transformer, names in columns.transformers_:
        place = columns.output_indices_[step].start
        for name in _sources(transformer, list(names), columns.output_indices_[step]):
            yield step, name, place
            place += 1


def _sources(transformer: Any, names: list[str], outputs: slice) -> list[str]:
    """The column of the table that each output comes from."""
    first = transformer[0] if hasattr(transformer, "steps") else transformer
    if hasattr(first, "rest_"):
        return [*names, *(names[place] for place in first.rest_)]
    if hasattr(first, "handle_unknown") and not hasattr(first, "encoded_missing_value"):  # one column each
        return [name for name, found in zip(names, first.categories_, strict=True) for _ in found]
    return list(np.repeat(names, (outputs.stop - outputs.start) // max(len(names), 1)))
