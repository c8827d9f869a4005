"""Labels that come during a rollout: read beside the payload log, and a candidate that is fast, healthy and wrong."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kubeline.model_client.golden import GoldenRows
from kubeline.model_client.protocols import V2Client
from kubeline.model_package import ModelPackage, version_of
from kubeline.rollout.probes.outcomes import Outcomes
from kubeline.rollout.probes.transports import RoutedTransport
from kubeline.rollout.spec import OutcomesSpec
from tests.rollout.house import House
from tests.support.packages import write_tiny_package
from tests.support.waiting import repeating

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)
CANDIDATE, STABLE = "c" * 12, "s" * 12


def log(folder: Path, versions: list[str], right: list[float], **more: Any) -> Path:
    """A payload log of requests ``r-0``, ``r-1`` …, each with the probability that it gave to True."""
    rows = len(versions)
    table = pd.DataFrame(
        {
            "request.id": [f"r-{number}" for number in range(rows)],
            "request.time": pd.date_range(BEGIN, periods=rows, freq="s"),
            "request.row": np.zeros(rows, np.int32),
            "model.version": versions,
            "output.prediction": np.where(np.array(right) > 0.5, "True", "False"),
            "output.probability.False": 1 - np.array(right, np.float32),
            "output.probability.True": np.array(right, np.float32),
        }
    ).assign(**more)
    (folder / "date=2026-03-01").mkdir(parents=True)
    table.to_parquet(folder / "date=2026-03-01" / "part-0.parquet", index=False)
    return folder


def known(folder: Path, ids: list[str], late: list[Any], **more: Any) -> Path:
    folder.mkdir(exist_ok=True)
    number = len(list(folder.iterdir()))
    frame = pd.DataFrame({"request.id": ids, "late": late} | more)
    frame.to_parquet(folder / f"part-{number}.parquet", index=False)
    return folder


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    return write_tiny_package(tmp_path_factory.mktemp("package") / "tiny")


def compared(package: ModelPackage, log: Path, source: Path, since: datetime = BEGIN, **spec: Any) -> Any:
    outcomes = Outcomes(OutcomesSpec(source=str(source), payload_log=str(log), **spec), package.signature)
    return outcomes.compare(CANDIDATE, STABLE, since.timestamp())


TWO = [CANDIDATE, STABLE] * 2


def test_the_loss_of_each_version_is_that_of_its_own_labelled_requests(package: ModelPackage, tmp_path: Path) -> None:
    rows = log(tmp_path / "log", [*TWO, "older", CANDIDATE], [0.9, 0.8, 0.6, 0.5, 0.1, 0.7])
    labels, business = compared(package, rows, known(tmp_path / "known", ["r-0", "r-1", "r-2", "r-4"], [True] * 4))
    assert business is None
    assert (labels.metric, labels.problem, labels.logged) == ("log_loss", "", (3, 2))
    assert (labels.canary.n, labels.stable.n) == (2, 1)
    assert labels.canary.mean == pytest.approx(-np.log([0.9, 0.6]).mean(), rel=1e-6)
    assert labels.stable.mean == pytest.approx(-np.log(0.8), rel=1e-6)


def test_labels_that_come_twice_are_one_and_of_two_that_differ_neither_counts(
    package: ModelPackage, tmp_path: Path
) -> None:
    rows = log(tmp_path / "log", TWO, [0.9] * 4)
    source = known(tmp_path / "known", ["r-0", "r-0", "r-1", "r-1", "r-2"], [True, True, True, False, True])
    labels, _ = compared(package, rows, source)
    assert (labels.canary.n, labels.stable.n, labels.differing) == (2, 0, 1)


def test_a_label_that_comes_late_counts_from_then_on(package: ModelPackage, tmp_path: Path) -> None:
    rows = log(tmp_path / "log", TWO, [0.9] * 4)
    labels, _ = compared(package, rows, known(tmp_path / "known", ["r-0"], [True]))
    assert (labels.canary.n, labels.stable.n) == (1, 0)
    labels, _ = compared(package, rows, known(tmp_path / "known", ["r-1", "r-2", "r-3"], [True, True, False]))
    assert (labels.canary.n, labels.stable.n) == (2, 2)


def test_requests_from_before_the_step_do_not_count(package: ModelPackage, tmp_path: Path) -> None:
    rows = log(tmp_path / "log", TWO, [0.9] * 4)
    source = known(tmp_path / "known", ["r-0", "r-1", "r-2", "r-3"], [True] * 4)
    labels, _ = compared(package, rows, source, since=BEGIN + timedelta(seconds=2))
    assert (labels.logged, labels.canary.n, labels.stable.n) == ((1, 1), 1, 1)


def test_a_payload_log_whose_last_file_is_cut_counts_by_its_whole_files(package: ModelPackage, tmp_path: Path) -> None:
    rows = log(tmp_path / "log", TWO, [0.9] * 4)
    content = (rows / "date=2026-03-01" / "part-0.parquet").read_bytes()
    (rows / "date=2026-03-01" / "part-1.parquet").write_bytes(content[: len(content) // 2])
    labels, _ = compared(package, rows, known(tmp_path / "known", ["r-0", "r-1"], [True, True]))
    assert (labels.problem, labels.canary.n, labels.stable.n) == ("", 1, 1)


def test_rows_of_a_request_are_joined_by_their_number(package: ModelPackage, tmp_path: Path) -> None:
    rows = log(tmp_path / "log", TWO, [0.9] * 4, **{"request.id": ["a", "b", "a", "b"], "request.row": [0, 0, 1, 1]})
    by_row = known(tmp_path / "known", ["a", "a", "b"], [True, False, True], **{"request.row": [0, 1, 1]})
    labels, _ = compared(package, rows, by_row)
    assert (labels.canary.n, labels.stable.n) == (1, 1)
    assert labels.canary.mean == pytest.approx(-np.log([0.9, 0.1]).mean(), rel=1e-6)
    labels, _ = compared(package, rows, known(tmp_path / "whole", ["a", "b"], [True, True]))
    assert "requests of the log have several rows" in labels.problem


def test_a_business_value_is_averaged_beside_the_labels(package: ModelPackage, tmp_path: Path) -> None:
    rows = log(tmp_path / "log", TWO, [0.9] * 4)
    source = known(tmp_path / "known", ["r-0", "r-1", "r-2"], [True, False, None], revenue=[3.0, 4.0, 7.0])
    labels, business = compared(package, rows, source, value="revenue")
    assert (labels.canary.n, business.canary.n, business.stable.n) == (1, 2, 1)
    assert (business.canary.mean, business.stable.mean) == (5.0, 4.0)


@pytest.mark.parametrize(
    ("late", "spec", "sentence"),
    [
        (["perhaps"], {}, "holds 'aaaaaaa', which is not a class of this model"),
        ([True], {"label": "nowhere"}, "the table of outcomes has no column nowhere"),
        ([True], {"metric": "squared_error"}, "the metric squared_error is not one of a binary model"),
    ],
)
def test_labels_that_cannot_be_used_are_a_problem_of_the_evidence(
    late: list[Any], spec: dict[str, Any], sentence: str, package: ModelPackage, tmp_path: Path
) -> None:
    rows = log(tmp_path / "log", TWO, [0.9] * 4)
    labels, business = compared(package, rows, known(tmp_path / "known", ["r-0"], late), value="late", **spec)
    assert sentence in labels.problem
    assert business.problem == labels.problem


def test_a_table_of_outcomes_that_is_broken_or_not_there_is_a_problem_too(
    package: ModelPackage, tmp_path: Path
) -> None:
    rows = log(tmp_path / "log", TWO, [0.9] * 4)
    assert "there is no file at" in compared(package, rows, tmp_path / "nowhere")[0].problem
    (tmp_path / "known").mkdir()
    (tmp_path / "known" / "part-0.parquet").write_bytes(b"PAR1 and no more")
    assert "of the table of outcomes cannot be read" in compared(package, rows, tmp_path / "known")[0].problem


def test_labels_of_text_and_csv_are_read_as_those_of_parquet(package: ModelPackage, tmp_path: Path) -> None:
    rows = log(tmp_path / "log", TWO, [0.9] * 4, **{"request.id": ["7", "8", "9", "10"]})
    (tmp_path / "known.csv").write_text("request.id,late\n7,True\n8,False\n9,\n")
    labels, _ = compared(package, rows, tmp_path / "known.csv", metric="error")
    assert (labels.problem, labels.canary.mean, labels.stable.mean) == ("", 0.0, 1.0)


@contextmanager
def requests(house: House, package: ModelPackage) -> Iterator[None]:
    """The service is asked for golden rows as requests ``r-0``, ``r-1`` … all the time, until the block ends."""
    client = V2Client(house.name, RoutedTransport(house.service()["status"]["url"], house.kserve.gateway_url, 10))
    golden, asked = GoldenRows.of(package), count()
    bodies = [json.loads(client.prepare(golden, [row])) for row in range(len(golden.records))]

    def ask() -> None:
        number = next(asked)
        client.send(json.dumps(bodies[number % len(bodies)] | {"id": f"r-{number}"}).encode())

    with repeating(ask, pause=0.004):
        yield


@pytest.mark.slow
def test_by_labels_alone_a_wrong_candidate_goes_and_a_right_one_waits_until_they_have_come(
    house: House, tmp_path: Path
) -> None:
    """Both are fast and healthy; the labels of a real outcome agree with the stable model."""
    logged = {
        "spec": {"predictor": {"model": {"args": [f"--payload_log={tmp_path / 'log'}", "--payload_seconds=0.2"]}}}
    }
    stable = house.package("stable")
    assert house.roll_out(stable, strategy="blue-green", overrides=logged).outcome == "promoted"
    truth = GoldenRows.of(stable).expected.values == "True"
    ids = [f"r-{number}" for number in range(20_000)]
    everything = known(tmp_path / "known", ids, [bool(truth[number % len(truth)]) for number in range(len(ids))])
    nothing = known(tmp_path / "nothing", ["another"], [True])
    rules = {
        "min_requests": 20,
        "min_outcomes": 60,  # so that the metrics, which are read before the log, have enough by then
        "max_label_loss": 2.0,  # the right one asks easier or harder rows than the stable one, by chance
        "max_latency_shift": None,
        "max_prediction_drift": None,
        "inconclusive_limit": 10,  # as many as the labels may take on a busy machine
    }

    def rolled(name: str, source: Path, turned: bool = False) -> Any:
        outcomes = {"source": str(source), "payload_log": str(tmp_path / "log")}
        plan: dict[str, Any] = {
            "steps": [50],
            "bake_seconds": 0.5,
            "max_bake_seconds": 60,
            "rules": rules,
            "outcomes": outcomes,
        }
        return house.roll_out(house.package(name, turned=turned), None, overrides=logged, **plan)

    with requests(house, stable):
        while not [*(tmp_path / "log").glob("*/part-*.parquet")]:  # of the stable version, without which nothing begins
            time.sleep(0.05)
        wrong = rolled("wrong", everything, turned=True)
        waiting = rolled("right", nothing)
        known(nothing, ids, [bool(truth[number % len(truth)]) for number in range(len(ids))])
        right = rolled("right", nothing)

    assert wrong.outcome == "rolled_back", wrong.reason
    failed = {one["name"]: one["outcome"] for one in wrong.analyses[-1].findings}
    assert failed.pop("label_loss") == "fail"
    assert set(failed.values()) == {"pass"}
    assert "The log loss by labels of" in wrong.reason
    assert waiting.outcome == "held"
    assert "Labels have come for 0 requests of the canary and 0 of the stable version" in waiting.reason
    assert right.outcome == "promoted", right.reason
    evidence = (right.analyses[-1].evidence or {})["labels"]
    assert min(evidence["canary"]["n"], evidence["stable"]["n"]) >= 60
    assert right.rollout_id == waiting.rollout_id
    assert version_of(house.serving()) == version_of(house.package("right").digest)
