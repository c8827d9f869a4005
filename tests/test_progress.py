"""Long work says how far it is, and short work says nothing."""

import logging
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from kubeline.progress import Progress


@pytest.fixture
def reported(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.INFO, logger="kubeline.progress")
    return caplog


def ticking(seconds: float) -> Iterator[float]:
    now = 0.0
    while True:
        yield now
        now += seconds


def test_rows_their_share_the_rate_and_the_time_left_are_reported_every_ten_seconds(reported: Any) -> None:
    clock = ticking(5.0)
    with Progress("loading", 1_000, clock=lambda: next(clock)) as progress:
        for _ in range(4):
            progress.add(100)
    assert reported.messages == [
        "loading: 200 rows, 20% of 1,000 rows, 20 rows/s, about 40 s left",
        "loading: 400 rows, 40% of 1,000 rows, 20 rows/s, about 30 s left",
        "loading: 400 rows, 40% of 1,000 rows, 16 rows/s, about 38 s left, after 25 s",
    ]


def test_hours_of_work_do_not_fill_the_log(reported: Any) -> None:
    clock = ticking(1.0)
    with Progress("predicting", clock=lambda: next(clock)) as progress:
        for _ in range(36_000):
            progress.add(1)
    assert len(reported.messages) < 100
    assert reported.messages[-1] == "predicting: 36,000 rows, 1 rows/s, after 10.0 h"


def test_short_work_says_nothing(reported: Any) -> None:
    with Progress("splitting") as progress:
        batches = list(progress.over([pa.record_batch({"a": [1, 2]})]))
    assert len(batches) == 1
    assert not reported.messages


def test_what_is_more_than_was_expected_has_no_share(reported: Any) -> None:
    clock = ticking(20.0)
    with Progress("downloading", 1 << 20, "bytes", lambda: next(clock)) as progress:
        progress.add(3 << 20)
    assert reported.messages[0] == "downloading: 3 MB, 154 kB/s"
