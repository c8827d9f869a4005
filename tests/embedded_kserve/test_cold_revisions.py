"""Traffic that goes to a revision without pods waits for them, whenever in a step of the controller they answer."""

from pathlib import Path
from typing import Any

import pytest

from embedded_kserve.controllers.knative import KnativeController
from embedded_kserve.controllers.manifests import install_defaults
from embedded_kserve.data_plane.gateway import Traffic
from embedded_kserve.data_plane.pods import Pod, PodSet, Template
from embedded_kserve.delays import Pace
from embedded_kserve.faults import FaultBook
from embedded_kserve.kubernetes.admission import review
from embedded_kserve.kubernetes.resources import INFERENCE_SERVICE, REVISION, installed
from embedded_kserve.kubernetes.store import Store
from tests.embedded_kserve.world import inference_service

HOST = "flights-predictor.default.example.com"
ONE, TWO = "flights-predictor-00001", "flights-predictor-00002"
LOOKS = range(26)  # those of two steps, so that a pod comes to answer between any two looks at it
_QUIET_STEPS = 5  # without a change, of which fewer are due to pods that do not answer yet


class NoProcess(Pod):
    """A pod that answers once it has been looked at so many times."""

    looks_missing = 0

    def _live(self) -> None:
        self._ending.wait()
        self.ended.set()

    @property
    def ready(self) -> bool:
        if self.looks_missing:
            self.looks_missing -= 1
            return False
        return not self.leaving_since


class NoProcesses(PodSet):
    """Pods without processes; those to come answer after so many looks."""

    looks_missing = 0

    def scale(self, wanted: int) -> None:
        self.wanted = wanted
        for pod in self.pods[wanted:]:
            pod.stop()
        made = [NoProcess(f"{self.name}-{number}", self) for number in range(len(self.pods), wanted)]
        for pod in made:
            pod.looks_missing = NoProcesses.looks_missing
        self.pods = [*self.pods[:wanted], *made]


class Remembering:
    """A gateway that applies everything at once, and remembers it."""

    def __init__(self) -> None:
        self.applied: list[Traffic] = []

    def apply(self, traffic: Traffic) -> None:
        self.applied.append(traffic)

    @property
    def refusals(self) -> list[tuple[str, str]]:
        """Hosts that ever led to a revision without a pod that answers, which is a 503."""
        return [
            (host, backend.cluster)
            for traffic in self.applied
            for host, backends in traffic.hosts.items()
            for backend in backends
            if backend.weight and not traffic.endpoints.get(backend.cluster)
        ]


class Stepped(KnativeController):
    """A controller whose steps are taken by hand, and in which nothing takes time."""

    def __init__(self, folder: Path) -> None:
        self.remembered = Remembering()
        store = Store(installed("knative"), lambda new, old: review(new, old, "Knative"))
        install_defaults(store, "knative")
        super().__init__(store, self.remembered, FaultBook(), folder, Pace.of(0), lambda: None)  # type: ignore[arg-type]

    def new_set(self, namespace: str, name: str, template: Template) -> PodSet:
        del namespace
        return NoProcesses(name, template, self._logs, self.pace, lambda: None, self._changed)

    def write(self, **predictor: Any) -> None:
        """Change the predictor, and take as many steps as it takes until nothing changes any more."""
        self.store.patch(INFERENCE_SERVICE, "default", "flights", {"spec": {"predictor": predictor}})
        self.settle()

    def settle(self) -> None:
        version, quiet = -1, 0
        while quiet < _QUIET_STEPS:
            quiet = quiet + 1 if version == self.store.version else 0
            version = self.store.version
            self.step()

    @property
    def leads_to_revisions(self) -> set[str]:
        return {backend.cluster.partition("/")[2] for backend in self.remembered.applied[-1].hosts[HOST]}

    def pods(self, revision: str) -> int:
        return int(self.store.get(REVISION, "default", revision)["status"]["desiredReplicas"])


@pytest.fixture
def stepped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stepped:
    """With a promoted second revision, and a first one that has no pods left."""
    monkeypatch.setattr(NoProcesses, "looks_missing", 0)
    controller = Stepped(tmp_path)
    controller.store.create(INFERENCE_SERVICE, inference_service("flights", "file:///one", minReplicas=2))
    controller.settle()
    controller.write(model={"storageUri": "file:///two"}, canaryTrafficPercent=100)
    assert (controller.leads_to_revisions, controller.pods(ONE), controller.pods(TWO)) == ({TWO}, 0, 2)
    return controller


@pytest.mark.parametrize("looks", LOOKS)
def test_traffic_goes_back_to_a_cold_revision_when_a_pod_of_it_answers_and_not_before(
    stepped: Stepped, monkeypatch: pytest.MonkeyPatch, looks: int
) -> None:
    monkeypatch.setattr(NoProcesses, "looks_missing", looks)
    stepped.write(canaryTrafficPercent=0)
    assert stepped.leads_to_revisions == {ONE}
    assert stepped.remembered.refusals == []
