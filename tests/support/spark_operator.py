"""A Kubernetes API server with an operator that does what the Spark operator does with a SparkApplication."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from embedded_kserve.kubernetes.api_server import ApiServer
from embedded_kserve.kubernetes.resources import NAMESPACE, Kind
from embedded_kserve.kubernetes.store import Store
from tests.support.waiting import repeating

APPLICATION = Kind("sparkoperator.k8s.io", "v1beta2", "sparkapplications", "SparkApplication")


class Operator(ApiServer):
    """The API server, and what becomes of the applications that are created; `seen` are all of them."""

    def __init__(self) -> None:
        super().__init__(Store((NAMESPACE, APPLICATION)))
        self.store.create(NAMESPACE, {"metadata": {"name": "default"}})
        self.seen: list[dict[str, Any]] = []

    @contextmanager
    def running(self, *states: dict[str, str], write: Callable[[str], Any] = lambda _: None) -> Iterator[None]:
        """Let each application go through these states; before the last one it writes to its last argument."""

        def follow() -> None:
            for one in self.store.every(APPLICATION):
                if one["metadata"]["uid"] in {seen["metadata"]["uid"] for seen in self.seen}:
                    continue
                self.seen.append(one)
                for state in states:
                    time.sleep(0.05)
                    if state is states[-1]:
                        write(one["spec"]["arguments"][-1])
                    where = one["metadata"]["namespace"], one["metadata"]["name"]
                    self.store.set_status(APPLICATION, *where, {"applicationState": state})

        with repeating(follow, pause=0.02):
            yield
