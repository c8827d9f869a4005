"""The plan: what is allowed, and what is said of the rest."""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from kubeline.errors import UserError
from kubeline.rollout.spec import RolloutSpec, fingerprint


def test_the_simplest_plan_needs_nothing() -> None:
    plan = RolloutSpec.read()
    assert plan.shares == (5, 25, 50)
    assert plan.promotes


def test_numbers_that_kfp_made_floats_are_whole_again() -> None:
    assert RolloutSpec.read({"steps": [10.0, 100.0]}).shares == (10,)


def test_fields_given_are_laid_over_those_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text("steps: [20]\nbake_seconds: 7\n")
    plan = RolloutSpec.read(file, bake_seconds=9)
    assert (plan.shares, plan.bake_seconds) == ((20,), 9)


def test_an_ab_test_and_a_shadow_are_not_promoted_unless_asked() -> None:
    assert RolloutSpec.read({"strategy": "ab"}).shares == (50,)
    assert not RolloutSpec.read({"strategy": "ab"}).promotes
    assert RolloutSpec.read({"strategy": "ab", "promote": True}).promotes
    assert not RolloutSpec.read({"strategy": "shadow", "shadow": {"payload_log": "s3://log"}}).promotes


BUSINESS = {"source": "prometheus", "url": "http://prometheus", "business": {"query": "v{version='$version'}"}}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"step": [5]}, "step: Extra inputs are not permitted"),
        ({"steps": [50, 5]}, r"steps: must rise, .* but are \[50, 5\]"),
        ({"steps": [0, 5]}, "steps: must rise"),
        ({"steps": [100]}, "needs a step below 100; use blue-green"),
        ({"strategy": "ab", "steps": [10, 20]}, "keeps one share"),
        ({"strategy": "shadow"}, "needs shadow.payload_log"),
        ({"outcomes": {"source": "s3://labels"}}, "outcomes need a payload_log that says which version"),
        ({"outcomes": {"source": "s3://me:secret@labels", "payload_log": "s3://log"}}, "holds a user or a password"),
        (
            {"strategy": "blue-green", "outcomes": {"source": "s3://labels"}},
            "has no step at which outcomes could count",
        ),
        (
            {"outcomes": {"source": "s3://labels", "payload_log": "s3://log"}, "rules": {"max_label_loss": "off"}},
            "but rules.max_label_loss is off and outcomes.value is empty",
        ),
        ({"metrics": None}, "judges by metrics; name their source, or use blue-green"),
        ({"max_bake_seconds": 1}, "max_bake_seconds 1 is below bake_seconds 300"),
        ({"smoke": {"rows": -1}}, "smoke.rows"),
        ({"metrics": {"source": "prometheus", "url": "https://me:pw@host"}}, "holds a user or a password"),
        ({"metrics": {"business": {"query": "up"}}}, "metrics.business is a query of Prometheus; set metrics.source"),
        ({"strategy": "blue-green", "metrics": BUSINESS}, "has no step at which metrics.business could count"),
        (
            {"metrics": BUSINESS, "outcomes": {"source": "s3://a", "payload_log": "s3://b", "value": "v"}},
            "are both the business metric",
        ),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused_in_one_sentence(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        RolloutSpec.read(given)
    assert "\n" not in str(caught.value)


def _numbers(model: type[BaseModel], *where: str) -> Iterator[tuple[str, ...]]:
    """Where the numbers of a plan are."""
    for name, field in model.model_fields.items():
        kinds = {field.annotation, *get_args(field.annotation)}
        parts = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if parts:
            yield from _numbers(parts[0], *where, name)
        elif "int" in str(field.annotation) or "float" in str(field.annotation):
            yield (*where, name)


@pytest.mark.parametrize("place", list(_numbers(RolloutSpec)), ids=".".join)
def test_no_number_of_a_plan_is_true_or_false_or_infinite(place: tuple[str, ...]) -> None:
    off = place[-1].startswith("max_") and place[0] == "rules"  # where false is `off`
    for value in (True, *([] if off else [False]), math.inf, -math.inf, math.nan):
        given: Any = {"steps": [value], "override": {"age": value}}.get(place[-1], value)
        for name in reversed(place):
            given = {name: {"query": "up", **given} if name == "business" else given}
        with pytest.raises(UserError, match=rf"{re.escape('.'.join(place))}.*(finite number|should be)"):
            RolloutSpec.read(given)


@pytest.mark.parametrize("given", [{"attempt": 1e308}, {"poll_seconds": 1e308}, {"smoke": {"rows": 2**53 + 2}}])
def test_a_number_of_a_plan_that_nothing_could_count_or_wait_for_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"too large|a year at most"):
        RolloutSpec.read(given)


@pytest.mark.parametrize("content", ["- a list", "{"])
def test_a_file_that_is_no_plan_is_refused(content: str, tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(content)
    with pytest.raises(UserError, match="the rollout plan"):
        RolloutSpec.read(file)
    with pytest.raises(UserError, match="there is no rollout plan"):
        RolloutSpec.read(tmp_path / "nothing")


def test_a_fingerprint_does_not_depend_on_the_order_of_keys() -> None:
    assert fingerprint({"a": 1, "b": {"c": 2, "d": 3}}) == fingerprint({"b": {"d": 3, "c": 2}, "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})
