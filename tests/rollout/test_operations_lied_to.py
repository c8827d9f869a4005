"""`kubeline rollout` in a world that lies: what is known is said, and what is not has an exit code of its own."""

import datetime
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from kubeline.cli import main
from kubeline.errors import NotKnownError, PlatformError, UserError
from kubeline.rollout import operations
from kubeline.rollout.status import State
from tests.rollout.liar import LIES, NAME, NAMESPACE
from tests.rollout.lying_world import Moment, World, world

NOW = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
ACTIONS: dict[str, Callable[[Any], Any]] = {
    "status": lambda cluster: list(operations.describe(cluster, NAMESPACE, NAME, NOW)),
    "promote": lambda cluster: operations.request(cluster, NAMESPACE, NAME, "promote"),
    "abort": lambda cluster: operations.request(cluster, NAMESPACE, NAME, "abort"),
    "rollback": lambda cluster: operations.roll_back(cluster, NAMESPACE, NAME, ""),
}


@pytest.fixture(scope="module")
def lied_to(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world")) as made:
        yield made


@pytest.fixture(scope="module")
def moments(lied_to: World) -> dict[State, Moment]:
    return lied_to.moments()


@pytest.fixture(autouse=True)
def no_traceback(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


def lie(lied_to: World, name: str, about: str = "/", method: str = "") -> None:
    lied_to.liar.lie, lied_to.liar.about, lied_to.liar.method = LIES[name], about, method


def asked(lied_to: World, action: str) -> int:
    return main(["rollout", action, NAME, "--kubeconfig", lied_to.kubeconfig])


@pytest.mark.parametrize("name", [name for name in LIES if name != "404"])
def test_what_a_rollout_does_is_not_known_from_a_lie(name: str, lied_to: World, moments: dict[State, Moment]) -> None:
    lied_to.restore(moments[State.BAKING])
    before = lied_to.service()["spec"]
    lie(lied_to, name)
    for act in ACTIONS.values():
        with pytest.raises(NotKnownError, match="what the rollout of default/flights does is not known: ") as caught:
            act(lied_to.cluster)
        assert caught.value.exit_code == 4
    lied_to.liar.lie = None
    assert (lied_to.service()["spec"], lied_to.record()) == (
        before,
        replace(moments[State.BAKING].record, write=lied_to.record().write),
    )


@pytest.mark.parametrize("action", ACTIONS)
def test_not_known_has_an_exit_code_of_its_own(
    action: str, lied_to: World, moments: dict[State, Moment], capsys: pytest.CaptureFixture[str]
) -> None:
    lied_to.restore(moments[State.BAKING])
    lie(lied_to, "403")
    assert asked(lied_to, action) == 4
    assert capsys.readouterr().err.startswith("kubeline: what the rollout of default/flights does is not known: ")


def test_where_there_is_no_record_there_never_was_a_rollout(lied_to: World, moments: dict[State, Moment]) -> None:
    lied_to.restore(moments[State.BAKING])
    lied_to.delete_record()
    for act in ACTIONS.values():
        with pytest.raises(UserError, match="there never was a rollout"):
            act(lied_to.cluster)


def test_the_status_says_what_the_cluster_does_now(
    lied_to: World, moments: dict[State, Moment], capsys: pytest.CaptureFixture[str]
) -> None:
    lied_to.restore(moments[State.BAKING])
    assert asked(lied_to, "status") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "default/flights: baking"
    assert lines[-2:] == [
        f"now its specification is of {'b' * 12}",
        "now the candidate has 10 % of the traffic, and is ready",
    ]


@pytest.mark.parametrize("name", ["403", "422", "404 of a proxy"])
def test_the_status_says_what_is_recorded_where_the_cluster_lies(
    name: str, lied_to: World, moments: dict[State, Moment], capsys: pytest.CaptureFixture[str]
) -> None:
    lied_to.restore(moments[State.BAKING])
    lie(lied_to, name, "inferenceservices")
    assert asked(lied_to, "status") == 4
    said = capsys.readouterr()
    assert said.out.startswith("default/flights: baking\ncandidate bbbbbbbbbbbb, stable aaaaaaaaaaaa")
    assert "what the cluster does with default/flights now is not known: " in said.err


@pytest.mark.parametrize("action", ["promote", "abort"])
def test_whether_the_driver_was_asked_is_not_known_when_the_answer_is_lost(
    action: str, lied_to: World, moments: dict[State, Moment]
) -> None:
    lied_to.restore(moments[State.BAKING])
    lie(lied_to, "a web page", "configmaps", "PATCH")
    with pytest.raises(NotKnownError, match=rf"whether me was asked to {action} default/flights is not known"):
        ACTIONS[action](lied_to.cluster)
    lie(lied_to, "403", "configmaps", "PATCH")  # which is known: it was not
    with pytest.raises(PlatformError, match="may not patch configmaps") as caught:
        ACTIONS[action](lied_to.cluster)
    assert caught.value.exit_code == 3


def test_whether_a_held_rollout_was_taken_up_is_not_known_when_the_answer_is_lost(
    lied_to: World, moments: dict[State, Moment]
) -> None:
    lied_to.restore(moments[State.HELD])
    lie(lied_to, "a web page", "configmaps", "PATCH")
    with pytest.raises(NotKnownError, match="whether the rollout of default/flights was taken over to abort it is not"):
        ACTIONS["abort"](lied_to.cluster)


def test_an_abort_that_cannot_be_done_is_the_loudest_error(lied_to: World, moments: dict[State, Moment]) -> None:
    lied_to.restore(moments[State.HELD])
    lie(lied_to, "403", "inferenceservices")
    with pytest.raises(PlatformError, match="THE ROLLBACK OF default/flights FAILED") as caught:
        ACTIONS["abort"](lied_to.cluster)
    assert caught.value.exit_code == 3


def test_no_model_is_brought_back_when_it_is_not_known_which_is_served(
    lied_to: World, moments: dict[State, Moment]
) -> None:
    lied_to.restore(moments[State.VERIFYING])
    assert lied_to.drive(lied_to.restore(moments[State.VERIFYING])).outcome == "promoted"
    lie(lied_to, "a web page", "inferenceservices")
    with pytest.raises(NotKnownError, match="which model default/flights serves is not known"):
        ACTIONS["rollback"](lied_to.cluster)
