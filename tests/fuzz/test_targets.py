"""A few inputs for each parser, the same ones each time; ``make fuzz`` gives it new ones for any number of seconds."""

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzz.targets import TARGETS

_MILLISECONDS = 250  # for each target


@pytest.mark.parametrize("name", TARGETS)
def test_a_parser_answers_or_refuses_in_a_sentence(name: str) -> None:
    target = TARGETS[name]
    limits = settings(
        max_examples=min(40, _MILLISECONDS // target.weight), deadline=None, database=None, derandomize=True,
        phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    limits(given(target.inputs)(target.run))()
