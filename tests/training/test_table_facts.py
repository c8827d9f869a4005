"""What is found out about a table while a model learns from it."""

import os
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from kubeline.roles import Roles
from kubeline.training.table_facts import Background, TableFacts


@pytest.mark.skipif(sys.platform != "linux", reason="a thread has no priority of its own")
def test_it_takes_the_time_that_the_fit_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    def priority(table: Any, kinds: Mapping[str, Any], roles: Roles) -> int:
        return os.nice(0)

    monkeypatch.setattr(TableFacts, "of", priority)
    with Background(Roles("y")) as background:
        found: Any = background.facts(None, {})  # type: ignore[arg-type]
    assert found == min(19, os.nice(0) + 10)
