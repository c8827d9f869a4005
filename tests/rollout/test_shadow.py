"""Shadow rollouts: logged requests asked of the candidate, and no user's request."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kubeline.model_package import ModelPackage
from kubeline.rollout.operations import request
from kubeline.rollout.record import Record
from tests.rollout.house import NAMESPACE, House

pytestmark = pytest.mark.slow


def log(package: ModelPackage, folder: Path, rows: int = 40, wrong: int = 0) -> str:
    """A payload log with the answers of a package; the first `wrong` rows of it were answered otherwise."""
    frame = package.golden().sample(rows, replace=True, random_state=0).reset_index(drop=True)
    logged = frame[package.signature.names].assign(
        **{
            "request.id": [f"request-{number}" for number in range(rows)],
            "request.time": pd.date_range("2026-01-01", periods=rows, freq="s", tz="UTC"),
            "output.prediction": frame["expected.prediction"],
        }
    )
    for label in package.signature.classes or ():
        moved = np.where(np.arange(rows) < wrong, 0.3, 0.0)
        logged[f"output.probability.{label}"] = (frame[f"expected.probability.{label}"] + moved).astype(np.float32)
    folder.mkdir()
    logged.to_parquet(folder / "part-0.parquet", index=False)
    return str(folder)


def roll_out(house: House, payload_log: str, **settings: float) -> Record:
    shadow = {"payload_log": payload_log, **settings}
    return house.roll_out(house.package("candidate"), strategy="shadow", shadow=shadow)


def test_a_shadow_compares_answers_and_leaves_users_alone(house: House, tmp_path: Path) -> None:
    stable = house.stable()
    record = roll_out(house, log(stable, tmp_path / "log", wrong=10), min_agreement=0.7)
    assert record.outcome == "reported"
    assert record.shadow is not None
    assert (record.shadow["rows"], record.shadow["alike"]) == (40, 30)
    assert {event.share for event in record.timeline} <= {None, 0}
    assert house.serving() == stable.digest


def test_a_candidate_that_answers_otherwise_is_told(house: House, tmp_path: Path) -> None:
    record = roll_out(_with_stable(house), log(house.package("stable"), tmp_path / "log", wrong=30), min_agreement=0.7)
    assert record.outcome == "rolled_back"
    assert "10 of 40 logged requests are answered alike (25.00%)" in record.reason


def test_an_agreeing_shadow_is_promoted_when_the_plan_says_so(house: House, tmp_path: Path) -> None:
    shadow = {"payload_log": log(_with_stable(house).package("stable"), tmp_path / "log"), "share": 0.5}
    record = house.roll_out(house.package("candidate"), strategy="shadow", shadow=shadow, promote=True)
    assert record.outcome == "promoted"
    assert record.shadow is not None
    assert 5 < record.shadow["rows"] < 35


def test_without_a_log_of_this_model_the_rollout_is_held_and_says_why(house: House, tmp_path: Path) -> None:
    _with_stable(house)
    record = roll_out(house, str(tmp_path / "nothing"))
    assert record.outcome == "held"
    assert "there is no payload log" in record.reason
    assert request(house.cluster, NAMESPACE, house.name, "abort").startswith("rolled_back")
    (tmp_path / "log").mkdir()
    pd.DataFrame({"x": [1]}).to_parquet(tmp_path / "log" / "part-0.parquet")
    assert "has no column" in roll_out(house, str(tmp_path / "log")).reason


def _with_stable(house: House) -> House:
    house.stable()
    return house
