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
from tests.embedded_kserve.world import Api, Json
from tests.support.recordings import Change, Recording, World
from tests.support.waiting import wait_for

_SECONDS = 120  # however busy the machine is

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

    Each kind has a watch of its own, and one watch may be far behind another: what counts are the versions.

    Attributes:
        kserve: the cluster.
        namespace: which one.
        changes: events so far.
    """

    kserve: LocalKServe
    namespace: str
    changes: list[Change] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._api = Api.of(self.kserve.kubeconfig)
        self._paths = [path.format(self.namespace) for path in (*_WATCHED[self.kserve.mode], *_IN_BOTH)]
        self._began = time.monotonic()
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._following = threading.Barrier(len(self._paths) + 1)
        self._told: dict[str, int] = {}  # the newest version of each object, by uid

    @contextlib.contextmanager
    def running(self) -> Iterator["Recorder"]:
        """Record while the block runs."""
        threads = [threading.Thread(target=self._follow, args=(path,)) for path in self._paths]
        for thread in threads:
            thread.start()
        try:
            self._following.wait(_SECONDS)
            yield self
        finally:
            self._ending.set()
            for thread in threads:
                thread.join()

    def catch_up(self) -> None:
        """Wait until every watch has told what there is by now."""
        there = [item["metadata"] for path in self._paths for item in self._list(path)["items"]]
        wait_for(lambda: not self._untold(there), lambda: f"never told: {self._untold(there)}", _SECONDS)

    def forget(self) -> None:
        """Begin anew, with what is there now."""
        self.catch_up()
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

    def wait(self, until: Callable[[World], Any], what: Callable[[World], str]) -> World:
        """The objects as soon as `until` is true of them."""
        deadline = time.monotonic() + _SECONDS
        while not until(world := self.world()):
            assert time.monotonic() < deadline, what(world)
            time.sleep(0.02)
        return world

    def _follow(self, path: str) -> None:
        listed = self._list(path)
        for document in listed["items"]:
            self._take("ADDED", document)
        version = listed["metadata"]["resourceVersion"]
        self._following.wait(_SECONDS)
        while not self._ending.is_set():
            url = f"{self._api.url}{path}?watch=true&timeoutSeconds=2&resourceVersion={version}"
            request = urllib.request.Request(url, headers={"Authorization": f"Bearer {self._api.token}"})  # noqa: S310
            with urllib.request.urlopen(request, timeout=_SECONDS) as response:  # noqa: S310
                for line in response:
                    event = json.loads(line)
                    version = self._take(event["type"], event["object"])

    def _take(self, kind: str, document: Json) -> str:
        """Record an event; returns its version."""
        version = str(document["metadata"]["resourceVersion"])
        with self._lock:
            self._told[document["metadata"]["uid"]] = int(version)
            self.changes.append(Change(self.seconds, kind, document))
        return version

    def _list(self, path: str) -> Json:
        code, listed = self._api.get(path)
        assert code == 200, listed
        return dict(listed)

    def _untold(self, there: list[Json]) -> list[str]:
        """Names of the objects that were there, and of which a watch has not told this version yet."""
        with self._lock:
            return [one["name"] for one in there if self._told.get(one["uid"], 0) < int(one["resourceVersion"])]
