"""The demo's canary: users ask a real service all the time, and their page tells what they saw."""

import json
import re
import time
from pathlib import Path

import pandas as pd
import pytest

import embedded_kserve
from examples.flights import canary
from examples.flights.canary import Watch
from examples.flights.page import write_page
from examples.flights.traffic import Traffic
from kubeline.local.overview import write_overview
from kubeline.model_package import version_of
from kubeline.rollout import RolloutStatus


@pytest.fixture
def months(flights: pd.DataFrame, tmp_path: Path) -> list[Path]:
    """The sample flights, one file a month."""
    files = [tmp_path / f"{month:02d}.parquet" for month in range(1, 13)]
    for month, file in enumerate(files, start=1):
        flights[flights["month"] == month].to_parquet(file, index=False)
    return files


@pytest.mark.slow
def test_a_bad_model_is_rolled_back_and_no_user_is_left_without_an_answer(
    flights: pd.DataFrame, months: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stable = canary.earlier_model(months, tmp_path / "stable")
    bad = canary.bad_model(months, tmp_path / "bad")
    names = {version_of(stable.digest): "stable", version_of(bad.digest): "bad"}
    started: list[RolloutStatus] = []
    over: list[RolloutStatus] = []
    with embedded_kserve.start(tmp_path / "kserve") as cluster:
        canary.deploy(cluster, stable, strategy="blue-green", bootstrap="direct")
        host = canary.host(cluster)
        users = Traffic(cluster.gateway_url, host, canary.NAME, stable.signature, flights)
        with users as traffic, Watch(cluster, traffic, names, started.append, over.append, prints=False) as watch:
            record = canary.deploy(cluster, bad, bake_seconds=1)
    assert record.outcome == "rolled_back"
    assert [each.candidate.digest for each in started] == [bad.digest]
    assert [each.outcome for each in over] == ["rolled_back"]
    assert traffic.failed == 0
    answered = traffic.by_version()
    assert 0 < answered[version_of(bad.digest)] < 0.3 * answered[version_of(stable.digest)]
    assert max(moment.planned for moment in watch.moments) == canary.PLAN["steps"][0]
    assert watch.record is not None
    page = write_page(tmp_path / "runs", "bad", watch.record, watch.moments, traffic.answers, names)
    assert "0 of them failed" in page.read_text()
    assert "<script" not in page.read_text()
    reported = json.loads((page.parent / "result.json").read_text())
    assert reported["reason"].startswith("rolled back: failed: ")
    assert f"{page.parent.name}/index.html" in write_overview(tmp_path / "runs").read_text()
    assert "withdrawing" not in capsys.readouterr().out  # buffered, while somebody else prints
    watch.print_buffered()
    assert re.search(r"withdrawing +back to the stable model: failed.* bad, 0 failed", capsys.readouterr().out)


@pytest.mark.slow
def test_a_service_that_is_gone_is_counted_as_failed(flights: pd.DataFrame, months: list[Path], tmp_path: Path) -> None:
    signature = canary.earlier_model(months, tmp_path / "stable").signature
    nobody = "nobody.default.example.com"
    with (
        embedded_kserve.start(tmp_path / "kserve") as cluster,
        Traffic(cluster.gateway_url, nobody, "flights", signature, flights) as traffic,
    ):
        while not traffic.answers:
            time.sleep(0.05)
    assert traffic.failed == len(traffic.answers)
    assert traffic.by_version() == {}
    assert traffic.answers[0].failure.startswith("404")
