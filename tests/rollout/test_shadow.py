"""Shadow rollouts: logged requests asked of the candidate, and no user's request."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from kubeline.rollout.operations import request
from kubeline.rollout.status import RolloutStatus
from tests.rollout.house import NAMESPACE, House, write_payload_log

pytestmark = pytest.mark.slow


def roll_out(house: House, payload_log: str, **settings: float) -> RolloutStatus:
    shadow = {"payload_log": payload_log, **settings}
    return house.roll_out(house.package("candidate"), strategy="shadow", shadow=shadow)


def test_a_shadow_compares_answers_and_leaves_users_alone(house: House, tmp_path: Path) -> None:
    stable = house.stable()
    record = roll_out(house, write_payload_log(stable, tmp_path / "log", wrong=10), min_agreement=0.7)
    assert record.outcome == "reported"
    assert record.shadow is not None
    assert (record.shadow.rows, record.shadow.alike) == (40, 30)
    assert {event.share for event in record.timeline} <= {None, 0}
    assert house.serving() == stable.digest


def test_a_candidate_that_answers_otherwise_is_reported(house: House, tmp_path: Path) -> None:
    log = write_payload_log(house.stable(), tmp_path / "log", wrong=30)
    record = roll_out(house, log, min_agreement=0.7)
    assert record.outcome == "rolled_back"
    assert "10 of 40 logged requests are answered alike (25.00%)" in record.reason


def test_an_agreeing_shadow_is_promoted_when_the_plan_says_so(house: House, tmp_path: Path) -> None:
    shadow = {"payload_log": write_payload_log(house.stable(), tmp_path / "log"), "share": 0.5}
    record = house.roll_out(house.package("candidate"), strategy="shadow", shadow=shadow, promote=True)
    assert record.outcome == "promoted"
    assert record.shadow is not None
    assert 5 < record.shadow.rows < 35


def test_labels_of_the_logged_requests_decide_for_the_candidate_or_against_it(house: House, tmp_path: Path) -> None:
    """Both models answer the same rows, so that the differences of their losses are judged."""
    stable = house.stable()
    shadow = {"payload_log": write_payload_log(stable, tmp_path / "log")}
    logged = pd.read_parquet(tmp_path / "log")
    labels = tmp_path / "labels.parquet"
    pd.DataFrame({"request.id": logged["request.id"], "late": logged["output.prediction"] == "True"}).to_parquet(labels)
    plan: dict[str, Any] = {"strategy": "shadow", "shadow": shadow, "promote": True, "rules": {"min_outcomes": 40}}
    plan["outcomes"] = {"source": str(labels)}
    wrong = house.roll_out(house.package("turned", turned=True), **plan)
    assert wrong.outcome == "rolled_back"
    assert wrong.shadow is not None
    assert (wrong.shadow.label_loss or {})["outcome"] == "fail"
    assert "The log loss by labels of 40 and 40 requests is" in wrong.reason
    few = house.roll_out(house.package("candidate"), **plan | {"rules": {"min_outcomes": 41}})
    assert few.outcome == "held"
    assert "Labels have come for 40 requests of the canary and 40 of the stable version, but 41" in few.reason
    assert request(house.cluster, NAMESPACE, house.name, "abort").startswith("rolled_back")
    assert house.roll_out(house.package("candidate"), **plan).outcome == "promoted"


def test_without_a_log_of_this_model_the_rollout_is_held_and_says_why(house: House, tmp_path: Path) -> None:
    house.stable()
    record = roll_out(house, str(tmp_path / "nothing"))
    assert record.outcome == "held"
    assert "there is no payload log" in record.reason
    assert request(house.cluster, NAMESPACE, house.name, "abort").startswith("rolled_back")
    (tmp_path / "log").mkdir()
    pd.DataFrame({"x": [1]}).to_parquet(tmp_path / "log" / "part-0.parquet")
    assert "has no column" in roll_out(house, str(tmp_path / "log")).reason
