"""Records what an embedded KServe shows, in the form of the recordings of a real one."""

import contextlib
import dataclasses
import json
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from embedded_kserve import LocalKServe
from tests.embedded_kserve.world import Api
from tests.support.recordings import Change, Recording, World

_WATCHED = {
    "knative": (
        "/apis/serving.knative.dev/v1/namespaces/{}/services",
        "/apis/serving.knative.dev/v1/namespaces/{}/configurations",
        "/apis/serving.knative.dev/v1/namespaces/{}/revisions",
        "/apis/serving.knative.dev/v1/namespaces/{}/routes",
        "/apis/networking.internal.knative.dev/v1alpha1/namespaces/{}/ingresses",
    ),
    "standard": (
        "/apis/gateway.networking.k8s.io/v1/namespaces/{}/httproutes",
        "/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers",
        "/api/v1/namespaces/{}/services",
    ),
}
_IN_BOTH = (
    "/apis/serving.kserve.io/v1beta1/namespaces/{}/inferenceservices",
    "/apis/apps/v1/namespaces/{}/deployments",
    "/api/v1/namespaces/{}/pods",
)


@dataclass
class Recorder:
    """Follows every kind of object of one namespace.

    Attributes:
        kserve: the cluster.
        namespace: which one.
        changes: events so far.
    """

    kserve: LocalKServe
    namespace: str
    changes: list[Change] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._began = time.monotonic()
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._following = threading.Barrier(len(_WATCHED[self.kserve.mode]) + len(_IN_BOTH) + 1)

    @contextlib.contextmanager
    def running(self) -> Iterator["Recorder"]:
        """Record while the block runs."""
        paths = (*_WATCHED[self.kserve.mode], *_IN_BOTH)
        threads = [threading.Thread(target=self._follow, args=(path.format(self.namespace),)) for path in paths]
        for thread in threads:
            thread.start()
        try:
            self._following.wait(20)
            yield self
        finally:
            self._ending.set()
            for thread in threads:
                thread.join()

    def forget(self) -> None:
        """Begin anew, with what is there now."""
        world = self.world()
        with self._lock:
            self.changes = [Change(self.seconds, "ADDED", document) for document in world.objects.values()]

    def recording(self, name: str) -> Recording:
        """What was recorded."""
        with self._lock:
            ordered = sorted(self.changes, key=lambda change: int(change.object["metadata"]["resourceVersion"]))
        seconds, numbered = 0.0, []
        for number, one in enumerate(ordered):  # one watch may be behind another, but versions are not
            seconds = max(seconds, one.seconds)
            numbered.append(dataclasses.replace(one, seconds=seconds + number * 1e-6))
        header = {"mode": self.kserve.mode, "namespace": self.namespace}
        return Recording(name, header, tuple(numbered), (), (), ())

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._began

    def world(self) -> World:
        """As it is now."""
        return self.recording("").at(float("inf"))

    def wait(self, until: Callable[[World], Any], what: Callable[[World], str], seconds: float = 40) -> World:
        """The objects as soon as `until` is true of them."""
        deadline = time.monotonic() + seconds
        while not until(world := self.world()):
            assert time.monotonic() < deadline, what(world)
            time.sleep(0.02)
        return world

    def _follow(self, path: str) -> None:
        begun = False
        token = Api.of(self.kserve.kubeconfig).token
        while not self._ending.is_set():
            url = f"{self.kserve.api_url}{path}?watch=true&timeoutSeconds=2{self._from(path)}"
            request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})  # noqa: S310
            with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
                if not begun:
                    begun = self._following.wait(20) >= 0
                for line in response:
                    event = json.loads(line)
                    with self._lock:
                        self._versions[path] = event["object"]["metadata"]["resourceVersion"]
                        self.changes.append(Change(self.seconds, event["type"], event["object"]))

    def _from(self, path: str) -> str:
        known = self._versions.get(path)
        return f"&resourceVersion={known}" if known else ""

    _versions: dict[str, str] = field(default_factory=dict)
