"""Runs: started, followed to their end, listed; and what their steps said."""

import math
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any
from urllib.parse import quote

from kubeline.errors import PlatformError, UserError, listed
from kubeline.http.requests import UnclearError
from kubeline.platform.compiled import Json
from kubeline.platform.following import Ended, RunSnapshot
from kubeline.platform.kfp.connection import API, KfpConnection
from kubeline.platform.kfp.nodes import RunStep, steps
from kubeline.platform.kfp.versions import PipelineVersion, equals
from kubeline.platform.step_logs import failure_sentence, has_failed

_IDENTIFIER = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PATIENCE = 10.0  # seconds for a log that only explains what is known already
_RUNS = f"{API}/runs"
_NEWEST = "created_at desc"
_CANCELLED = frozenset({"CANCELED", "CANCELLED", "CANCELING"})
_ENDED = frozenset({"SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"})


@dataclass(frozen=True)
class RunRequest:
    """A run that is asked for.

    Attributes:
        name: of the run.
        values: of the pipeline's parameters.
        experiment: that it belongs to.
        service_account: of its pods; empty for the installation's.
    """

    name: str
    values: Mapping[str, Any]
    experiment: str = "Default"
    service_account: str = ""


def experiment(connection: KfpConnection, name: str, make: bool = True) -> str:
    """The identifier of an experiment, made if it is not there; else empty."""
    path = f"{API}/experiments"

    def find() -> str | None:
        named = equals("display_name", name)
        found = connection.read(path, namespace=connection.namespace, filter=named).get("experiments", [])
        return found[0]["experiment_id"] if found else None

    there = find() or ""
    if there or not make:
        return there
    wanted = {"display_name": name, "namespace": connection.namespace}
    return connection.make(path, wanted, find, "experiment_id", f"the experiment '{name}'")


def start(connection: KfpConnection, version: PipelineVersion, request: RunRequest) -> str:
    """Start a run once, and return its identifier."""
    mark = f"submitted by kubeline ({secrets.token_hex(8)})"  # by which a run is known whose answer was lost
    place = experiment(connection, request.experiment)

    def find() -> str | None:
        wanted = {"experiment_id": place, "filter": equals("name", request.name), "sort_by": _NEWEST}
        found = connection.read(_RUNS, **wanted).get("runs", [])
        return next((run["run_id"] for run in found if run.get("description") == mark), None)

    wanted = {
        "experiment_id": place,
        "display_name": request.name,
        "description": mark,
        "pipeline_version_reference": {"pipeline_id": version.pipeline, "pipeline_version_id": version.version},
        "runtime_config": {"parameters": dict(request.values)},
        **({"service_account": request.service_account} if request.service_account else {}),
    }
    return connection.make(_RUNS, wanted, find, "run_id", "the run")


def read(connection: KfpConnection, identifier: str) -> Json:
    """A run by its identifier, or the latest one of that name.

    Raises:
        UserError: when there is none.
    """
    if not _IDENTIFIER.fullmatch(identifier):
        wanted = {"namespace": connection.namespace, "filter": equals("name", identifier), "sort_by": _NEWEST}
        found = connection.read(_RUNS, page_size=1, **wanted).get("runs", [])
        identifier = found[0]["run_id"] if found else identifier
    run: Json | None = connection.find(f"{_RUNS}/{quote(identifier, safe='')}")
    if run is None:
        raise UserError(f"there is no run '{identifier}'; `kubeline runs` lists them")
    return run


def latest(connection: KfpConnection, most: int, state: str = "", in_experiment: str = "") -> list[Json]:
    """The latest runs, the newest first.

    Args:
        connection: to the server.
        most: of them.
        state: only those in this state, such as ``FAILED``.
        in_experiment: only those of the experiment of this name.
    """
    fields: dict[str, Any] = {"page_size": min(100, most), "sort_by": _NEWEST}
    if in_experiment:
        fields["experiment_id"] = experiment(connection, in_experiment)
    else:
        fields["namespace"] = connection.namespace
    if state:
        fields["filter"] = equals("state", state)
    return list(islice(connection.each(_RUNS, "runs", "page_token", **fields), most))


def snapshot(connection: KfpConnection, identifier: str) -> RunSnapshot:
    """What is seen of a run."""
    return seen(connection, connection.read(f"{_RUNS}/{identifier}"))


def seen(connection: KfpConnection, run: Json) -> RunSnapshot:
    """What a run shows."""
    return RunSnapshot(steps_of(run), ended(connection, run) if state_of(run) in _ENDED else None)


def state_of(run: Json) -> str:
    """``PENDING``, ``RUNNING``, ``SUCCEEDED``, ``FAILED`` and so on."""
    return str(run.get("state", "PENDING"))


def ended(connection: KfpConnection, run: Json) -> Ended:
    """How a run that is over ended, with the first failed step and its sentence from its log."""
    if run["state"] == "SUCCEEDED":
        return Ended("SUCCEEDED")
    if was_cancelled(run):
        return Ended("CANCELLED", sentence="it was cancelled")
    try:
        failure = next(_failures(connection, run), None)
    except UserError as refused:
        return Ended("FAILED", sentence=f"why cannot be read: {refused}")
    if failure:
        step, log = failure
        sentence = failure_sentence(log) if log else "its log is not there any more; the UI may have it"
        return Ended("FAILED", step.name, sentence or "it ended without a message; see its log")
    error = run.get("error", {}).get("message")
    return Ended("FAILED", sentence=error or "it is not known which step failed; see the UI")


def _failures(connection: KfpConnection, run: Json) -> Iterator[tuple[RunStep, str]]:
    """The steps that failed, the earliest first; where task details are frozen, those whose log says so."""
    found = steps_of(run)
    failed = sorted((step for step in found if step.state == "failed"), key=lambda step: step.ended)
    if failed:
        yield from ((step, _log_at_hand(connection, run, step)) for step in failed)
        return
    for step in found:
        if step.state in {"waiting", "running"}:
            log = _log_at_hand(connection, run, step)
            if has_failed(log):
                yield step, log


def log(connection: KfpConnection, run: Json, name: str) -> str:
    """What a step of a run printed.

    Raises:
        UserError: when there is no such step.
        PlatformError: when the log is not there any more, or not yet, or the server does not answer.
    """
    found = {step.name: step for step in steps_of(run)}
    if name not in found:
        loops = [other for other in found if other.split()[0] == name]
        if len(loops) != 1:
            known = listed(loops or found, limit=40) or "none yet"
            raise UserError(f"run '{run['display_name']}' has no step '{name}'; it has: {known}")
        name = loops[0]
    text = _log_of(connection, run, found[name])
    if not text:
        raise PlatformError(
            f"the log of '{name}' is not there: the step has not started, or its pod is gone (an hour after the end, "
            f"by default) and logs are not archived; see {page(connection, run['run_id'])}"
        )
    return text


def _log_at_hand(connection: KfpConnection, run: Json, step: RunStep) -> str:
    """The log of a step where it can be had soon, since the run's end is known without it."""
    try:
        return _log_of(connection, run, step, _PATIENCE)
    except UnclearError:
        return ""


def _log_of(connection: KfpConnection, run: Json, step: RunStep, patience: float = math.inf) -> str:
    """What a step printed, its launcher included; empty where it is not stored.

    The API server reads it from the pod, then from the archive of logs; the UI's server does, too, where the host is
    the UI's.
    """
    namespace = connection.access.namespace or "kubeflow"
    for pod in step.pods():
        for path in (
            f"/apis/v1alpha1/runs/{run['run_id']}/nodes/{pod}/log",
            f"/k8s/pod/logs?podname={pod}&runid={run['run_id']}&podnamespace={namespace}",
        ):
            text = connection.text(path, patience)
            if text:
                return text
    return ""


def page(connection: KfpConnection, identifier: str) -> str:
    """The page of a run in the UI."""
    return connection.link(f"runs/details/{identifier}")


def steps_of(run: Json) -> Sequence[RunStep]:
    """The steps of a run, as far as its task details list them."""
    document = run.get("pipeline_spec", {})
    specification = document.get("pipeline_spec", document)
    details = run.get("run_details", {}).get("task_details", [])
    return steps(details, specification) if "root" in specification else []


def was_cancelled(run: Json) -> bool:
    """The API ends a cancelled run as FAILED; that it was cancelled stands in its history, if anywhere."""
    words = [run.get("state"), *(one.get("state") for one in run.get("state_history", []))]
    return not _CANCELLED.isdisjoint(words)
