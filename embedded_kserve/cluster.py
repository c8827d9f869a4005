"""The embedded cluster as a whole: API server, controller, gateway, each in its place."""

import contextlib
import logging
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedded_kserve.controllers.controller import Controller
from embedded_kserve.controllers.knative import KnativeController
from embedded_kserve.controllers.manifests import MODES, install_defaults
from embedded_kserve.controllers.openshift import OpenShiftController
from embedded_kserve.controllers.standard import StandardController
from embedded_kserve.data_plane.gateway import Gateway
from embedded_kserve.data_plane.model_servers import prepare
from embedded_kserve.delays import DEFAULT_FACTOR, Pace
from embedded_kserve.faults import FaultBook
from embedded_kserve.kubernetes.admission import review
from embedded_kserve.kubernetes.api_server import ApiServer
from embedded_kserve.kubernetes.resources import installed
from embedded_kserve.kubernetes.store import Store

logger = logging.getLogger(__name__)

_STEP_SECONDS = 0.1  # between steps while nothing changes


@dataclass(frozen=True)
class ClusterSettings:
    """How to run.

    Attributes:
        folder: for files.
        mode: ``knative``, ``standard`` or ``openshift``, which is Standard mode behind Routes.
        splits: whether Standard mode splits traffic.
        pace: of the delays of a real cluster, which are multiplied by this.
    """

    folder: Path
    mode: str
    splits: bool = True
    pace: float = DEFAULT_FACTOR


class Cluster:
    """A context manager: everything runs from start to end.

    Args:
        settings: how to run.
    """

    def __init__(self, settings: ClusterSettings) -> None:
        self._settings = settings
        mode = MODES[settings.mode]
        self.store = Store(installed(settings.mode), lambda new, old: review(new, old, mode))
        self.faults = FaultBook()
        self._pace = Pace.of(settings.pace)
        self._running = contextlib.ExitStack()
        self._ending = threading.Event()
        self._due = threading.Event()

    def __enter__(self) -> "Cluster":
        folder, logs = self._settings.folder, self._settings.folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
        install_defaults(self.store, self._settings.mode, self._pace.drain)
        prepare()
        with contextlib.ExitStack() as starting:
            gateway = starting.enter_context(Gateway(folder / "envoy", logs / "envoy.log"))
            api = starting.enter_context(ApiServer(self.store, self.faults))
            self._gateway = gateway
            controller = self._controller(gateway, logs)
            self.addresses = {
                "mode": self._settings.mode,
                "kubeconfig": str(api.write_kubeconfig(folder / "kubeconfig")),
                "api_url": api.url,
                "gateway_url": gateway.url,
                "envoy_url": gateway.admin_url,
            }
            starting.callback(self._stop, controller, self._start(controller))
            self._running = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def check(self) -> None:
        """PlatformError when a part has ended."""
        self._gateway.check()

    def _controller(self, gateway: Gateway, logs: Path) -> Controller[Any]:
        common = (self.store, gateway, self.faults, logs, self._pace, self._due.set)
        if self._settings.mode == "knative":
            return KnativeController(*common)
        kind = OpenShiftController if self._settings.mode == "openshift" else StandardController
        controller = kind(*common)
        controller.splits = self._settings.splits
        return controller

    def _start(self, controller: Controller[Any]) -> list[threading.Thread]:
        threads = [
            threading.Thread(target=self._follow, name="watch", daemon=True),
            threading.Thread(target=self._reconcile, args=(controller,), name="controller", daemon=True),
        ]
        for thread in threads:
            thread.start()
        return threads

    def _follow(self) -> None:
        """A change of any object makes a step due."""
        version = 0
        while not self._ending.is_set():
            if changes := self.store.changes_since(version, _STEP_SECONDS):
                version = changes[-1].version
                self._due.set()

    def _reconcile(self, controller: Controller[Any]) -> None:
        while not self._ending.is_set():
            self._due.wait(controller.alarm.left(_STEP_SECONDS))
            self._due.clear()
            try:
                controller.step()
            except Exception:
                logger.exception("a step of the controller failed; it is tried again")
                self._ending.wait(_STEP_SECONDS)

    def _stop(self, controller: Controller[Any], threads: list[threading.Thread]) -> None:
        self._ending.set()
        for thread in threads:
            thread.join()
        controller.stop()
