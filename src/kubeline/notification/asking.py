"""Asks the platform how the run ended: the folder of its outputs, Argo's workflow, or KFP's API server.

What does not answer is named in the log, and nothing is guessed: then the ending is not known.
"""

import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from kubeline import json_files
from kubeline.decision import described
from kubeline.errors import KubelineError
from kubeline.kubernetes.cluster import Cluster
from kubeline.kubernetes.connection import IN_CLUSTER
from kubeline.kubernetes.resources import POD, Resource
from kubeline.notification.ending import Ending, Said, of_run, of_workflow, state_of
from kubeline.platform.kfp import connection as kfp

logger = logging.getLogger(__name__)

WORKFLOW = Resource("argoproj.io", "v1alpha1", "workflows", "Workflow")
ENDPOINT = "KF_PIPELINES_ENDPOINT"  # as KFP's own client names it
_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_SECONDS = 10.0  # for each request
_PATIENCE_SECONDS = 20.0  # the controller writes the end of a task a moment after the exit handler was started
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class FinalStatus(Protocol):
    """How a pipeline ended; `kfp.dsl.PipelineTaskFinalStatus` satisfies it."""

    state: str
    pipeline_job_resource_name: str
    pipeline_task_name: str
    error_code: int | None
    error_message: str | None


def ending(status: FinalStatus) -> Ending:
    """How the run of this process ended, as far as anyone says.

    Args:
        status: what KFP says, which is not always true; see `kubeline.notification.ending`.
    """
    output = own_output()
    found = Ending(state_of(status.state), decisions=decisions_in(output.parent.parent) if output else ())
    handler = status.pipeline_task_name or ""
    if "KUBERNETES_SERVICE_HOST" in os.environ and status.pipeline_job_resource_name and _NAMESPACE_FILE.exists():
        namespace = _NAMESPACE_FILE.read_text(encoding="utf-8").strip()
        name = status.pipeline_job_resource_name
        found = _better(found, lambda: by_workflow(Cluster.connect(IN_CLUSTER, _SECONDS, ()), namespace, name, handler))
    run = run_id()
    in_kfp = ENDPOINT in os.environ or "KUBERNETES_SERVICE_HOST" in os.environ
    if found.state == "UNKNOWN" and run and in_kfp:
        endpoint = os.environ.get(ENDPOINT, kfp.IN_CLUSTER)
        found = _better(found, lambda: by_api(endpoint, run, handler))
    return found


def _better(found: Ending, ask: Callable[[], Ending]) -> Ending:
    """What is found, with what an answer adds to it."""
    try:
        said = ask()
    except (KubelineError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        sentence = str(error) if isinstance(error, KubelineError) else type(error).__name__
        logger.warning("how the run ended could not be read: %s", sentence)
        return found
    state = found.state if said.state == "UNKNOWN" else said.state
    return Ending(state, said.failures or found.failures, said.decisions or found.decisions)


def by_workflow(
    cluster: Cluster, namespace: str, name: str, handler: str, patience: float = _PATIENCE_SECONDS
) -> Ending:
    """The ending by the workflow and its pods; waits a little for a task whose end is not written yet.

    Raises:
        KubelineError: when the API server refuses, does not answer, or has no such workflow.
    """
    until = time.monotonic() + patience
    while True:
        workflow = cluster.read(namespace, name, WORKFLOW)
        if workflow is None:
            raise KubelineError(f"there is no workflow '{name}' in namespace '{namespace}'")
        found = of_workflow(workflow, [], handler)
        if found.state != "UNKNOWN" or time.monotonic() >= until:
            break
        time.sleep(1)
    try:
        pods = cluster.find(namespace, POD, f"workflows.argoproj.io/workflow={name}")
    except KubelineError as error:
        logger.warning("what the steps said could not be read: %s", error)
        return found
    return replace(of_workflow(workflow, pods, handler), state=found.state)


def by_api(endpoint: str, run: str, handler: str, seconds: float = _SECONDS) -> Ending:
    """The ending by KFP's API server.

    Raises:
        KubelineError: when it does not answer, or refuses.
    """
    address = endpoint if "://" in endpoint else f"http://{endpoint}"
    connection = kfp.KfpConnection(kfp.KfpAccess(address, patience=seconds))
    return of_run(connection.read(f"{kfp.API}/runs/{run}"), handler)


def own_output() -> Path | None:
    """The file that the KFP executor of this process will write, in the folder of this task."""
    try:
        given = json.loads(sys.argv[sys.argv.index("--executor_input") + 1])
        return Path(given["outputs"]["outputFile"])
    except (ValueError, IndexError, KeyError, TypeError):
        return None


def run_id() -> str:
    """The id of this process' run in Kubeflow Pipelines, which is a part of where its output goes; empty elsewhere."""
    found = _UUID.search(str(own_output() or ""))
    return found[0] if found else ""


def decisions_in(folder: Path) -> tuple[Said, ...]:
    """What the tasks decided whose outputs lie in the folder of a run, on this machine or in a mounted bucket."""
    files = [file for pattern in ("*", "*/*") for file in folder.glob(f"{pattern}/executor_output.json")]
    found = []
    for file in sorted(files, key=lambda file: file.stat().st_mtime_ns):
        document: dict[str, Any] = json_files.parse(json_files.contents_of(file, f"'{file}'"), f"'{file}'")
        task = re.sub(r"_-?\d+$", "", file.parent.name)  # Vertex adds a number
        for written in document.get("artifacts", {}).values():
            for artifact in written["artifacts"]:
                place = re.sub(r"^gs://", "/gcs/", artifact["uri"])
                found += [Said(task, text) for text in [described(artifact.get("metadata") or {}, place)] if text]
    return tuple(found)
