"""When the server gives memory back: what it has counts, not who took it."""

import pytest

from kubeline_serving.memory import TrimSchedule

MIB = 2**20
USUAL = 200 * MIB


@pytest.fixture
def schedule() -> TrimSchedule:
    return TrimSchedule(USUAL)


def due_at(schedule: TrimSchedule, taken: int, seconds: range) -> list[int]:
    """The seconds, of these, in which a trim is due while so much memory is taken."""
    return [now for now in seconds if schedule.is_due(taken, now)]


def test_a_server_that_has_little_more_than_at_its_start_trims_nothing(schedule: TrimSchedule) -> None:
    assert due_at(schedule, USUAL + 64 * MIB, range(1000)) == []


def test_memory_that_cannot_be_given_back_is_tried_less_and_less_often(schedule: TrimSchedule) -> None:
    assert due_at(schedule, USUAL + 300 * MIB, range(200)) == [0, 2, 6, 14, 30, 62, 126, 190]


def test_after_a_trim_that_gave_all_back_the_next_burst_is_trimmed_within_two_seconds(schedule: TrimSchedule) -> None:
    due_at(schedule, USUAL + 300 * MIB, range(200))
    assert due_at(schedule, USUAL, range(200, 210)) == []
    assert due_at(schedule, USUAL + 80 * MIB, range(210, 213)) == [210, 212]


def test_more_memory_than_before_is_trimmed_within_two_seconds(schedule: TrimSchedule) -> None:
    due_at(schedule, USUAL + 300 * MIB, range(127))
    assert due_at(schedule, USUAL + 400 * MIB, range(127, 134)) == [129, 131]
