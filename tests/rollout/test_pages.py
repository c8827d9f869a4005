"""The commands of an operator, as the pages have them, given while rollouts go on."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from embedded_kserve import LocalKServe
from kubeline.rollout.status import RolloutStatus, State
from tests.rollout.house import House
from tests.rollout.vertex_house import VertexHouse, bucket, vertex_house
from tests.support.shells import Shell, clean_environment

pytestmark = pytest.mark.slow


@pytest.fixture
def house(_knative: LocalKServe, tmp_path: Path) -> Iterator[House]:
    made = House(_knative, tmp_path, "flights-of-a-page")
    yield made
    made.close()


@pytest.fixture
def vertex(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[VertexHouse]:
    with bucket() as address, vertex_house(tmp_path, address, monkeypatch) as made:
        yield made


def when(state: State, do: Callable[[], object]) -> Callable[[RolloutStatus], None]:
    """Do something, once, as soon as a rollout is in this state."""
    done: list[object] = []

    def look(status: RolloutStatus) -> None:
        if status.state is state and not done:
            done.append(True)
            do()

    return look


def test_the_page_on_rollouts(house: House, tmp_path: Path) -> None:
    kubeconfig = clean_environment(KUBECONFIG=str(house.kserve.kubeconfig), MLFLOW_TRACKING_URI="")
    shell = Shell("docs/rollout.md", tmp_path, {" flights": f" {house.name}", "models": "default"}, kubeconfig)
    commands = shell.commands()

    def promote() -> None:
        for _ in range(2):
            shell.give(next(commands))

    first = house.stable()
    record = house.roll_out(house.package("second"), on_change=when(State.AWAITING_APPROVAL, promote), approval=True)
    assert record.outcome == "promoted"
    status, promoted = shell.printed.values()
    assert status.startswith(f"default/{house.name}: awaiting_approval\n")
    assert "to promote" in promoted

    abort = when(State.BAKING, lambda: shell.give(next(commands)))
    record = house.roll_out(house.package("third"), on_change=abort)
    assert (record.outcome, record.reason) == ("rolled_back", "aborted by request")

    for command in commands:
        assert "\npromoted: " in shell.give(command)
    assert house.serving() == first.digest


def test_the_page_on_endpoints_of_vertex_ai(vertex: VertexHouse, tmp_path: Path) -> None:
    shell = Shell("docs/vertex-endpoints.md", tmp_path, {" flights": f" {vertex.name}"})

    def abort() -> None:
        for command in shell.commands():
            shell.give(command)

    vertex.stable()
    record = vertex.roll_out(vertex.package("second"), when(State.BAKING, abort))
    assert (record.outcome, record.reason) == ("rolled_back", "aborted by request")
    status, _ = shell.printed.values()
    assert status.startswith(f"team/europe-west4/{vertex.name}: baking\n")
