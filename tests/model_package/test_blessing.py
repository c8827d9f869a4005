"""A blessing lets exactly one package pass, and only by the check it is of."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kubeline.errors import UserError
from kubeline.model_package.blessing import Blessing, Verdict, require
from tests.support.artifacts import Maker


@pytest.fixture
def blessing(artifact: Maker) -> Any:
    """`blessing(verdict)`: a written evaluation blessing of package ``abc``."""

    def write(verdict: Verdict = "promote") -> Any:
        written = artifact("Artifact", "blessing")
        Blessing(
            check="evaluation",
            verdict=verdict,
            package_digest="abc",
            reasons=["roc_auc is too low"],
            evidence={"roc_auc": 0.7, "p": math.nan},
        ).write(written)
        return written

    return write


def test_a_promoting_blessing_lets_its_own_package_pass(blessing: Callable[..., Any]) -> None:
    written = blessing()
    found = require(written, "evaluation", "abc")
    assert found.evidence == {"roc_auc": 0.7}
    assert written.metadata == {"verdict": "promote", "check": "evaluation", "package_digest": "abc"}


@pytest.mark.parametrize("verdict", ["hold", "inconclusive"])
def test_any_other_verdict_stops_it_with_the_reasons(blessing: Callable[..., Any], verdict: str) -> None:
    with pytest.raises(UserError, match=f"evaluation says {verdict}, so the model may not go on: roc_auc is too low"):
        require(blessing(verdict), "evaluation", "abc")


def test_another_package_does_not_pass(blessing: Callable[..., Any]) -> None:
    with pytest.raises(UserError, match="the evaluation blessing speaks of package abc, but the model given is xyz"):
        require(blessing(), "evaluation", "xyz")


def test_a_blessing_of_another_check_does_not_count(blessing: Callable[..., Any]) -> None:
    with pytest.raises(UserError, match="a blessing of infra_validation is needed, but a blessing of evaluation"):
        require(blessing(), "infra_validation", "abc")


def test_a_missing_and_a_damaged_blessing_are_distinguished(artifact: Maker, tmp_path: Path) -> None:
    missing = artifact("Artifact", "blessing")
    with pytest.raises(UserError, match="there is no blessing at"):
        require(missing, "evaluation", "abc")
    (tmp_path / "blessing").write_text('{"verdict": "promote"}')
    with pytest.raises(UserError, match="is not a blessing"):
        require(missing, "evaluation", "abc")
