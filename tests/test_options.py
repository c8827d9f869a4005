"""Groups of a pipeline's parameters are inputs of its steps, with their defaults, and laid over them."""

import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.alarm.component import alarm
from components.deploy.component import deploy
from components.drift_check.component import drift_check
from components.evaluate.component import evaluate
from components.load.component import load
from components.split.component import split
from components.train.component import train
from components.validate.component import validate
from kubeline.errors import UserError
from kubeline.options import (
    AFTER_EVALUATION,
    ALARM,
    CHECKS,
    DRIFT,
    GATE,
    SERVICE,
    SOURCE,
    SPLIT,
    TRAINING,
    laid_over,
    of_evaluation,
    of_gate,
)
from kubeline.preflight.parameters import check_gate

ROOT = Path(__file__).parents[1]
_STEPS = {
    "source": (SOURCE, load),
    "checks": (CHECKS, validate),
    "split": (SPLIT, split),
    "training": (TRAINING, train),
    "gate": (GATE, evaluate),
    "service": (SERVICE, deploy),
    "drift": (DRIFT, drift_check),
    "alarm": (ALARM, alarm),
}


@pytest.mark.parametrize("group", _STEPS)
def test_a_group_has_the_defaults_of_the_steps_own_inputs(group: str) -> None:
    fields, step = _STEPS[group]
    inputs = {name: one.default for name, one in inspect.signature(step.python_func).parameters.items()}
    assert {name: inputs[name] for name in fields} == fields
    assert {name: type(inputs[name]) for name in fields} == {name: type(value) for name, value in fields.items()}


@pytest.mark.parametrize(
    "file", sorted(ROOT.glob("pipelines/*/*.yaml")), ids=lambda file: f"{file.parent.name}/{file.name}"
)
def test_a_compiled_pipeline_shows_every_field_of_a_group_with_its_default(file: Path) -> None:
    document = next(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    parameters = document["root"]["inputDefinitions"]["parameters"]
    groups = {
        name: one["defaultValue"] for name, one in parameters.items() if one.get("defaultValue") and name in _STEPS
    }
    assert len(groups) == {"training": 6, "retraining": 6, "monitoring": 3, "batch_prediction": 1}[file.parent.name]
    assert groups == {name: _STEPS[name][0] for name in groups}
    assert len(parameters) <= 32  # what a page of the UI holds


def test_what_every_step_of_the_training_can_do_can_be_asked_of_the_pipeline() -> None:
    for name in ("task", "folds", "validation_fraction"):
        assert name in TRAINING
    for name in ("leak_threshold", "min_class_share", "rules"):
        assert name in CHECKS
    for name in ("query", "format", "rename"):
        assert name in SOURCE


@pytest.mark.parametrize(
    ("options", "taken"),
    [
        ({}, {"folds": 5, "share": 0.1, "balanced": False, "task": "auto", "types": {}}),
        ({"folds": 3.0}, {"folds": 3, "share": 0.1, "balanced": False, "task": "auto", "types": {}}),
        ({"share": 1}, {"folds": 5, "share": 1.0, "balanced": False, "task": "auto", "types": {}}),
        (
            {"types": {"a": "text"}},
            {"folds": 5, "share": 0.1, "balanced": False, "task": "auto", "types": {"a": "text"}},
        ),
    ],
)
def test_options_go_over_the_inputs_each_of_its_type(options: dict[str, Any], taken: dict[str, Any]) -> None:
    found = laid_over(options, folds=5, share=0.1, balanced=False, task="auto", types={})
    assert found == taken
    assert [type(value) for value in found.values()] == [int, float, bool, str, dict]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"fold": 3}, "'fold' is not an option of this step; did you mean 'folds'?"),
        ({"zz": 3}, "'zz' is not an option of this step; there are: folds, share, balanced"),
        ({"folds": 2.5}, "option 'folds' is 2.5; expected a value such as 5"),
        ({"folds": float("inf")}, "option 'folds' is inf; expected a value such as 5"),
        ({"folds": 1e308}, "option 'folds' is 1e+308; expected a value such as 5"),
        ({"share": float("nan")}, "option 'share' is nan; expected a value such as 0.1"),
        ({"share": -float("inf")}, "option 'share' is -inf; expected a value such as 0.1"),
        ({"share": 10**400}, f"option 'share' is {10**400}; expected a value such as 0.1"),
        ({"share": False}, "option 'share' is False; expected a value such as 0.1"),
        ({"folds": True}, "option 'folds' is True; expected a value such as 5"),
        ({"share": "half"}, "option 'share' is 'half'; expected a value such as 0.1"),
        ({"balanced": 1}, "option 'balanced' is 1; expected a value such as False"),
    ],
)
def test_an_option_that_is_none_is_refused_in_a_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as error:
        laid_over(options, folds=5, share=0.1, balanced=False)
    assert str(error.value) == sentence


def test_a_gate_may_hold_what_the_steps_behind_evaluate_take_and_their_own_inputs_stand_where_it_does_not() -> None:
    gate = {"margin": 0.02, "max_latency_ms": 5, "promote": False}
    assert of_evaluation(gate) == {"margin": 0.02}
    assert (of_gate(gate, "max_latency_ms", 100.0), of_gate(gate, "promote", True)) == (5.0, False)
    assert (of_gate({}, "max_latency_ms", 70.0), of_gate({}, "promote", False)) == (70.0, False)
    assert not AFTER_EVALUATION.keys() & GATE.keys()


@pytest.mark.parametrize(
    ("gate", "sentence"),
    [
        ({"promote": "no"}, "option 'promote' is 'no'; expected a value such as True"),
        ({"max_latency_ms": "fast"}, "option 'max_latency_ms' is 'fast'; expected a value such as 100.0"),
        ({"max_latency_ms": 0}, "max_latency_ms"),
        ({"max_latency": 5}, "'max_latency' is not an option of this step"),
    ],
)
def test_a_gate_that_means_nothing_is_refused_before_anything_is_loaded(gate: dict[str, Any], sentence: str) -> None:
    check_gate("", [], {"max_latency_ms": 5.0, "promote": False})
    with pytest.raises(UserError, match=sentence):
        check_gate("", [], gate)
