"""Pipeline jobs: started, inspected, listed; and what their steps said."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubeline.errors import KubelineError, PlatformError, UserError, listed
from kubeline.http.requests import MissingError
from kubeline.platform.compiled import Compiled
from kubeline.platform.following import Ended, RunSnapshot
from kubeline.platform.step_logs import failure_sentence
from kubeline.platform.vertex.connection import VertexConnection

VERSION_LABEL = "kubeline-version"
_NAME = re.compile(r"[a-z][-a-z0-9]{0,127}")
_LABEL = re.compile(r"[a-z0-9_-]{0,63}")
_LINES = 1_000
_STATES: Mapping[str, str] = {
    "PENDING": "running",
    "RUNNING": "running",
    "SUCCEEDED": "succeeded",
    "FAILED": "failed",
    "CANCELLED": "failed",
    "SKIPPED": "skipped",
    "NOT_TRIGGERED": "skipped",
}


@dataclass(frozen=True)
class JobRequest:
    """A job that is asked for.

    Attributes:
        values: of the pipeline's parameters.
        root: where artifacts go, a ``gs://`` address; empty: the pipeline's own.
        service_account: of the steps.
        network: full name of a VPC network to peer with.
        kms_key: full name of the key that encrypts everything (CMEK).
        labels: of the job.
    """

    values: Mapping[str, Any]
    root: str = ""
    service_account: str = ""
    network: str = ""
    kms_key: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class JobStep:
    """A task of a job."""

    name: str
    path: str
    state: str
    ended: str
    job: str  # identifier of its custom job; empty for what runs none
    error: str


def described(compiled: Compiled, request: JobRequest, name: str) -> Any:
    """The job, as the service takes it.

    Raises:
        UserError: when Vertex cannot take it.
    """
    from google.cloud.aiplatform_v1.types import PipelineJob
    from google.protobuf import json_format

    if len(compiled.documents) > 1:
        raise UserError(
            f"pipeline '{compiled.name}' has a Kubernetes section, which Vertex does not take; give its vertex.yaml, "
            "or compile it without kfp-kubernetes"
        )
    specification = compiled.documents[0]
    root = request.root or specification.get("defaultPipelineRoot", "")
    if not root.startswith("gs://"):
        raise UserError(f"the pipeline root is '{root}'; give --pipeline-root gs://BUCKET/FOLDER")
    labels = {**request.labels, VERSION_LABEL: compiled.version}
    if wrong := [text for pair in labels.items() for text in pair if not _LABEL.fullmatch(text)]:
        raise UserError(f"'{wrong[0]}' cannot stand in a label; expected a-z, 0-9, '_' and '-', 63 at most")
    wanted = {
        "displayName": name,
        "pipelineSpec": specification,
        "runtimeConfig": {"gcsOutputDirectory": root, "parameterValues": dict(request.values)},
        "labels": labels,
        **({"serviceAccount": request.service_account} if request.service_account else {}),
        **({"network": request.network} if request.network else {}),
        **({"encryptionSpec": {"kmsKeyName": request.kms_key}} if request.kms_key else {}),
    }
    job = PipelineJob()
    json_format.ParseDict(wanted, PipelineJob.pb(job))
    return job


def start(connection: VertexConnection, job: Any, identifier: str) -> str:
    """Start a job once, and return its identifier."""
    if not _NAME.fullmatch(identifier):
        raise UserError(f"'{identifier}' cannot be the name of a job; expected a-z, 0-9 and '-', a letter first")
    full = f"{connection.parent}/pipelineJobs/{identifier}"

    def find() -> Any:
        try:
            return connection.read(connection.jobs.get_pipeline_job, name=full)
        except MissingError:
            return None

    request = {"parent": connection.parent, "pipeline_job": job, "pipeline_job_id": identifier}
    made = connection.write(connection.jobs.create_pipeline_job, find, **request)
    return str(made.name).rpartition("/")[2] or identifier


def read(connection: VertexConnection, identifier: str) -> Any:
    """A job by its identifier.

    Raises:
        UserError: when there is none.
    """
    try:
        return connection.read(connection.jobs.get_pipeline_job, name=f"{connection.parent}/pipelineJobs/{identifier}")
    except MissingError as error:
        raise UserError(f"there is no run '{identifier}'; `kubeline runs --to vertex` lists them") from error


def latest(connection: VertexConnection, most: int, failed: bool = False) -> list[Any]:
    """The latest jobs, the newest first."""
    request = {"parent": connection.parent, "order_by": "create_time desc", "page_size": min(100, most)}
    if failed:
        request["filter"] = 'state="PIPELINE_STATE_FAILED"'
    found: list[Any] = []
    for job in connection.read(connection.jobs.list_pipeline_jobs, **request):
        found.append(job)
        if len(found) >= most:
            break
    return found


def snapshot(connection: VertexConnection, identifier: str) -> RunSnapshot:
    """What is seen of a job."""
    job = read(connection, identifier)
    return RunSnapshot(steps_of(job), ended(connection, job))


def state_of(job: Any) -> str:
    """``RUNNING``, ``SUCCEEDED``, ``FAILED``, ``CANCELLED`` and so on."""
    return str(job.state.name).removeprefix("PIPELINE_STATE_")


def steps_of(job: Any) -> list[JobStep]:
    """The tasks of a job that run something, as far as it lists them."""
    details = list(job.job_detail.task_details)
    groups = {detail.parent_task_id for detail in details}
    return [_step(detail) for detail in details if detail.task_id not in groups]


def ended(connection: VertexConnection, job: Any) -> Ended | None:
    """How a job ended, with the first failed step and its sentence from its log; None while it has not."""
    state = state_of(job)
    if state in {"SUCCEEDED", "CANCELLED"}:
        return Ended(state, sentence="" if state == "SUCCEEDED" else "it was cancelled")
    if state != "FAILED":
        return None
    failed: Sequence[JobStep] = sorted(
        (step for step in steps_of(job) if step.state == "failed"), key=lambda step: step.ended
    )
    if not failed:
        return Ended("FAILED", sentence=job.error.message or "it is not known which step failed; see the console")
    step = failed[0]
    try:
        said = failure_sentence("\n".join(connection.log(step.job, _LINES))) if step.job else ""
    except KubelineError as error:
        said = f"{step.error or 'it failed'} ({error})"
    return Ended("FAILED", step.name, said or step.error or "it ended without a message; see its log")


def log(connection: VertexConnection, job: Any, name: str) -> str:
    """What a step of a job printed.

    Raises:
        UserError: when there is no such step, or it printed nowhere.
        PlatformError: when there is nothing yet.
    """
    found = {step.name: step for step in steps_of(job)}
    if name not in found:
        raise UserError(
            f"run '{job.display_name}' has no step '{name}'; it has: {listed(found, limit=40) or 'none yet'}"
        )
    if not found[name].job:
        raise UserError(f"step '{name}' has run nothing; it was {found[name].state}")
    lines = connection.log(found[name].job, _LINES)
    if not lines:
        raise PlatformError(f"Cloud Logging has nothing of '{name}' yet; try again")
    return "".join(f"{line}\n" for line in lines)


def page(connection: VertexConnection, identifier: str) -> str:
    """The page of a job in the console."""
    access = connection.access
    return (
        f"https://console.cloud.google.com/vertex-ai/locations/{access.location}/pipelines/runs/{identifier}"
        f"?project={access.project}"
    )


def _step(detail: Any) -> JobStep:
    container = str(detail.executor_detail.container_detail.main_job)
    return JobStep(
        detail.task_name,
        f"{detail.task_id}",
        _STATES.get(detail.state.name, "waiting"),
        str(detail.end_time or ""),
        container.rpartition("/")[2],
        " ".join(detail.error.message.split()),
    )
