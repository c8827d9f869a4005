"""Runs: started, followed to their end, listed; and what their steps said."""

import math
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from kubeline.errors import PlatformError, UserError, listed
from kubeline.http.requests import MissingError, UnclearError
from kubeline.notification.ending import state_of
from kubeline.platform.following import Ended, RunSnapshot
from kubeline.platform.kfp.connection import KfpConnection
from kubeline.platform.kfp.nodes import RunStep, steps
from kubeline.platform.kfp.versions import PipelineVersion, equals
from kubeline.platform.step_logs import failure_sentence, has_failed

_IDENTIFIER = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PATIENCE = 10.0  # seconds for a log that only explains what is known already
ENDED = frozenset({"SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"})


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
    from kfp_server_api import V2beta1Experiment

    api = connection.experiments

    def find() -> str | None:
        wanted = {"namespace": connection.namespace, "filter": equals("display_name", name)}
        found = connection.read(api.experiment_service_list_experiments, **wanted)
        return next((str(one.experiment_id) for one in found.experiments or []), None)

    there = find() or ""
    if there or not make:
        return there
    wanted = V2beta1Experiment(display_name=name, namespace=connection.namespace)
    what = f"the experiment '{name}'"
    return connection.make(api.experiment_service_create_experiment, find, "experiment_id", what, wanted)


def start(connection: KfpConnection, version: PipelineVersion, request: RunRequest) -> str:
    """Start a run once, and return its identifier."""
    from kfp_server_api import V2beta1PipelineVersionReference, V2beta1Run, V2beta1RuntimeConfig

    mark = f"submitted by kubeline ({secrets.token_hex(8)})"  # by which a run is known whose answer was lost
    place = experiment(connection, request.experiment)

    def find() -> str | None:
        wanted = {"experiment_id": place, "filter": equals("name", request.name), "sort_by": "created_at desc"}
        found = connection.read(connection.runs.run_service_list_runs, **wanted)
        return next((str(run.run_id) for run in found.runs or [] if run.description == mark), None)

    wanted = V2beta1Run(
        experiment_id=place,
        display_name=request.name,
        description=mark,
        pipeline_version_reference=V2beta1PipelineVersionReference(
            pipeline_id=version.pipeline, pipeline_version_id=version.version
        ),
        runtime_config=V2beta1RuntimeConfig(parameters=dict(request.values)),
        service_account=request.service_account or None,
    )
    return connection.make(connection.runs.run_service_create_run, find, "run_id", "the run", wanted)


def read(connection: KfpConnection, identifier: str) -> Any:
    """A run by its identifier, or the latest one of that name.

    Raises:
        UserError: when there is none.
    """
    if not _IDENTIFIER.fullmatch(identifier):
        found = connection.read(
            connection.runs.run_service_list_runs,
            namespace=connection.namespace,
            filter=equals("name", identifier),
            sort_by="created_at desc",
            page_size=1,
        )
        identifier = next((str(run.run_id) for run in found.runs or []), identifier)
    try:
        return connection.read(connection.runs.run_service_get_run, identifier)
    except MissingError as error:
        raise UserError(f"there is no run '{identifier}'; `kubeline runs` lists them") from error


def latest(connection: KfpConnection, most: int, state: str = "", in_experiment: str = "") -> list[Any]:
    """The latest runs, the newest first.

    Args:
        connection: to the server.
        most: of them.
        state: only those in this state, such as ``FAILED``.
        in_experiment: only those of the experiment of this name.
    """
    fields: dict[str, Any] = {"namespace": connection.namespace}
    if in_experiment:
        fields = {"experiment_id": experiment(connection, in_experiment)}
    if state:
        fields["filter"] = equals("state", state)
    fields["sort_by"] = "created_at desc"
    found = connection.each(connection.runs.run_service_list_runs, "runs", min(100, most), **fields)
    return list(islice(found, most))


def snapshot(connection: KfpConnection, identifier: str) -> RunSnapshot:
    """What is seen of a run."""
    run = connection.read(connection.runs.run_service_get_run, identifier)
    return RunSnapshot(steps_of(run), ended(connection, run) if run.state in ENDED else None)


def ended(connection: KfpConnection, run: Any) -> Ended:
    """How a run that is over ended, with the first failed step and its sentence from its log."""
    if run.state == "SUCCEEDED":
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
    error = getattr(run.error, "message", None) if run.error else None
    return Ended("FAILED", sentence=str(error or "it is not known which step failed; see the UI"))


def _failures(connection: KfpConnection, run: Any) -> Iterator[tuple[RunStep, str]]:
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


def log(connection: KfpConnection, run: Any, name: str) -> str:
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
            raise UserError(f"run '{run.display_name}' has no step '{name}'; it has: {known}")
        name = loops[0]
    text = _log_of(connection, run, found[name])
    if not text:
        raise PlatformError(
            f"the log of '{name}' is not there: the step has not started, or its pod is gone (an hour after the end, "
            f"by default) and logs are not archived; see {page(connection, run.run_id)}"
        )
    return text


def _log_at_hand(connection: KfpConnection, run: Any, step: RunStep) -> str:
    """The log of a step where it can be had soon, since the run's end is known without it."""
    try:
        return _log_of(connection, run, step, _PATIENCE)
    except UnclearError:
        return ""


def _log_of(connection: KfpConnection, run: Any, step: RunStep, patience: float = math.inf) -> str:
    """What a step printed, its launcher included; empty where it is not stored.

    The API server reads it from the pod, then from the archive of logs; the UI's server does, too, where the host is
    the UI's.
    """
    namespace = connection.access.namespace or "kubeflow"
    for pod in step.pods():
        for path in (
            f"/apis/v1alpha1/runs/{run.run_id}/nodes/{pod}/log",
            f"/k8s/pod/logs?podname={pod}&runid={run.run_id}&podnamespace={namespace}",
        ):
            text = connection.text(path, patience)
            if text:
                return text
    return ""


def page(connection: KfpConnection, identifier: str) -> str:
    """The page of a run in the UI."""
    return connection.link(f"runs/details/{identifier}")


def steps_of(run: Any) -> Sequence[RunStep]:
    """The steps of a run, as far as its task details list them."""
    details = run.run_details.task_details if run.run_details else None
    document = run.pipeline_spec or {}
    specification = document.get("pipeline_spec", document)
    return steps(details or [], specification) if "root" in specification else []


def was_cancelled(run: Any) -> bool:
    """The API ends a cancelled run as FAILED; that it was cancelled stands in its history, if anywhere."""
    words = [run.state, *(one.state for one in run.state_history or [])]
    return any(state_of(word) == "CANCELLED" for word in words)
