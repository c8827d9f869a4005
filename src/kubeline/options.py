"""Inputs of a step that a pipeline hands over as one group, such as ``training={"folds": 3}``.

A pipeline with a parameter for every input of every step is a wall in the UI, so that what few change stands together
in one mapping for each step, whose default holds every field. KFP has no parameters of parameters: the step takes the
mapping as a whole, and lays it over its own inputs.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from kubeline.errors import UserError, suggestion

# The groups of the pipelines, with the defaults of the steps' own inputs; a test holds the two against each other.
SOURCE: dict[str, Any] = {
    "format": "auto",
    "query": "",
    "rename": {},
    "types": {},
    "decimal": "",
    "thousands": "",
    "time": "request.time",
    "labels": "",
    "features": [],
    "spark": {},
}
CHECKS: dict[str, Any] = {
    "mode": "fail",
    "rules": [],
    "min_rows": 1,
    "strict": False,
    "max_quarantine": 0.5,
    "min_class_share": 0.001,
    "leak_threshold": 0.99,
    "personal_data": "warn",
}
SPLIT: dict[str, Any] = {"by": "random", "column": "", "cutoff": "", "test_fraction": 0.2}
TRAINING: dict[str, Any] = {
    "task": "auto",
    "positive_class": "",
    "balanced": False,
    "half_life": "",
    "calibration": "none",
    "tuning_trials": 0,
    "tuning_minutes": 10.0,
    "tuning_workers": 1,
    "folds": 5,
    "validation_fraction": 0.1,
    "tolerance": 1e-5,
    "derive": {},
    "workers": {},
}
GATE: dict[str, Any] = {
    "thresholds": {},
    "fairness": {},
    "rule": "non_inferior",
    "margin": 0.01,
    "no_champion": "promote",
    "min_rows": 100,
    "min_slice_rows": 100,
    "confidence": 0.95,
    "replicates": 1000,
}
# What the gate may also hold: fields of the steps behind `evaluate`, over their own inputs.
AFTER_EVALUATION: dict[str, Any] = {"max_latency_ms": 100.0, "promote": True}
SERVICE: dict[str, Any] = {
    "namespace": "",
    "storage_uri": "",
    "service_account": "",
    "min_replicas": 1,
    "max_replicas": 0,
    "resources": {},
    "overrides": {},
}
DRIFT: dict[str, Any] = {
    "min_effect": 0.1,
    "max_p": 0.01,
    "min_rows": 200,
    "min_columns": 1,
    "min_auc": 0.6,
    "evidently": True,
    "pushgateway": "",
    "slices": [],
    "references": [],
}
ALARM: dict[str, Any] = {"needed": 2, "of": 3, "cool_down": "7d", "signals": ["drift", "performance"]}


_MAX_WHOLE = 2**53  # above, neighbouring whole numbers are one and the same float, as which KFP passes them


def is_number(value: Any, whole: bool = False) -> bool:
    """Whether a value is a finite number, or a whole one that a float holds exactly; true and false are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if whole:
        return abs(value) <= _MAX_WHOLE and value == int(value)
    return abs(value) <= sys.float_info.max  # NaN is not


def laid_over(options: Mapping[str, Any], /, **inputs: Any) -> dict[str, Any]:
    """The inputs of a step, those that `options` names with its values.

    Whole numbers come back from KFP as floats, and a whole number may stand for another one.

    Raises:
        UserError: when an option is no input of the step, or of another type than the input's own value.
    """
    return {**inputs, **{name: _typed(name, value, inputs) for name, value in options.items()}}


def inputs_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """What a step's function was given, with the values of its input `options` laid over those of the same names.

    Args:
        given: all inputs and outputs of the function by name, which a component has as its ``locals()``: written out
            one by one, their names would be a third of its source, which a workflow holds some eight times.

    Raises:
        UserError: as :func:`laid_over`; an artifact is no option.
    """
    artifacts = {name: value for name, value in given.items() if not isinstance(value, str | int | float | list | dict)}
    values = {name: value for name, value in given.items() if name not in {"options", *artifacts}}
    return {**artifacts, **laid_over(given["options"], **values)}


def of_evaluation(gate: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a gate that are those of `evaluate`."""
    return {name: value for name, value in gate.items() if name not in AFTER_EVALUATION}


def of_gate(gate: Mapping[str, Any], name: str, own: Any) -> Any:
    """A field of :data:`AFTER_EVALUATION` where the gate has it, else a step's own input.

    Raises:
        UserError: when it is of another type than the input.
    """
    return _typed(name, gate[name], AFTER_EVALUATION) if name in gate else own


def _typed(name: str, value: Any, inputs: Mapping[str, Any]) -> Any:
    if name not in inputs:
        raise UserError(f"'{name}' is not an option of this step; {suggestion(name, inputs, 'there are')}")
    default = inputs[name]
    if isinstance(default, bool) or not isinstance(default, int | float):
        right = isinstance(value, type(default))
    else:
        right = is_number(value, whole=isinstance(default, int))
        value = type(default)(value) if right else value
    if not right:
        raise UserError(f"option '{name}' is {value!r}; expected a value such as {default!r}")
    return value


def require_names(parameter: str, values: Sequence[Any]) -> None:
    """Raise a :class:`UserError` for a list of columns that holds anything but names."""
    for value in values:
        if not isinstance(value, str) or not value:
            raise UserError(f"{parameter} holds {value!r}; expected names of columns")


def whole_numbers(value: Any) -> Any:
    """The same value with every integral float an integer again: KFP passes the numbers of a dict as floats."""
    if isinstance(value, Mapping):
        return {key: whole_numbers(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [whole_numbers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
