"""Recordings are read whole, in order, and give the world of each moment."""

import pytest

from tests.support.recordings import NAMES, read


@pytest.mark.parametrize("name", NAMES)
def test_each_recording_holds_a_rollout_its_users_and_the_cluster(name: str) -> None:
    recording = read(name)
    assert recording.header["mode"] == name.partition("-")[0]
    assert recording.users
    assert recording.lines[-1].exit_code is not None
    seconds = [change.seconds for change in recording.changes]
    assert seconds == sorted(seconds)
    _, last = list(recording.moments())[-1]
    assert last == recording.at(seconds[-1])
    assert last.find("InferenceService", recording.header["name"]) is not None


def test_a_moment_has_what_was_there_then_and_not_what_was_deleted() -> None:
    recording = read("standard-02-good")
    promoted = recording.said("verify: the candidate answers everything")
    assert recording.at(recording.said("shift: the candidate is given 5 %")).find("Deployment", "flights-predictor")
    assert recording.at(promoted).find("Deployment", "flights-predictor") is None
    assert recording.said("done: promoted") > promoted
    with pytest.raises(LookupError):
        recording.said("rolled back")


def test_services_of_the_core_and_of_knative_are_distinguished() -> None:
    world = read("knative-02-good").at(1e9)
    assert len(world.every("Service", "serving.knative.dev")) == 1
    assert len(world.every("Service", "")) > 1
