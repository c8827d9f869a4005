"""Starts the embedded KServe as a process of its own, which ends with this one."""

import contextlib
import json
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from embedded_kserve.delays import DEFAULT_FACTOR
from embedded_kserve.faults import Faults
from kubeline.errors import PlatformError
from kubeline.processes import bound_command, stop

Mode = Literal["knative", "standard", "openshift"]

_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
LOG = "kserve.log"


@dataclass(frozen=True)
class LocalKServe:
    """A running embedded KServe.

    Attributes:
        mode: of deployment: ``knative``, ``standard``, or ``openshift``, Standard mode behind OpenShift's Routes.
        folder: its files: the kubeconfig, Envoy's configuration, and ``logs``.
        kubeconfig: file to reach the API server with.
        api_url: the API server.
        gateway_url: Envoy; send requests here, with the host of an InferenceService's ``status.url``, of a tag's
            address, or of a Service inside the cluster (``NAME.NAMESPACE.svc.cluster.local``) as their Host header.
        envoy_url: Envoy's admin interface: ``/stats``, ``/stats/prometheus``, ``/clusters``.
        faults: makes it fail.
        pid: process id.
    """

    mode: Mode
    folder: Path
    kubeconfig: Path
    api_url: str
    gateway_url: str
    envoy_url: str
    faults: Faults
    pid: int


@contextlib.contextmanager
def start(
    folder: str | Path, mode: Mode = "knative", splits: bool = True, pace: float = DEFAULT_FACTOR
) -> Iterator[LocalKServe]:
    """Run the embedded KServe until the block ends, or this process.

    Args:
        folder: where it keeps its files; made when missing.
        mode: of deployment.
        splits: False behaves as KServe 0.20.0 does in Standard mode: the status claims a split of the traffic, and the
            HTTPRoute never has one. True behaves as later versions.
        pace: what the delays of a real cluster are multiplied by; 1 is as slow as that one.

    Raises:
        PlatformError: when it does not start.
    """
    place = Path(folder).absolute()
    place.mkdir(parents=True, exist_ok=True)
    how = ["--mode", mode, "--pace", f"{pace:g}", *([] if splits else ["--no-splits"])]
    line = bound_command("embedded_kserve", *how, "--folder", str(place))
    with (place / LOG).open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - no shell, no words of a user
            line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True
        )
    try:
        yield _addresses(process, place)
    finally:
        stop(process, _STOP_SECONDS)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def _addresses(process: "subprocess.Popen[bytes]", folder: Path) -> LocalKServe:
    impatient = threading.Timer(_START_SECONDS, process.kill)
    impatient.start()
    line = process.stdout.readline() if process.stdout else b""
    impatient.cancel()
    if not line:
        words = (folder / LOG).read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
        raise PlatformError(f"the embedded KServe did not start ({words or 'no last words'}); see '{folder / LOG}'")
    ready = json.loads(line)
    kubeconfig = Path(ready.pop("kubeconfig"))
    token = json.loads(kubeconfig.read_text(encoding="utf-8"))["users"][0]["user"]["token"]
    faults = Faults(ready["api_url"], token)
    return LocalKServe(folder=folder, kubeconfig=kubeconfig, faults=faults, pid=process.pid, **ready)
