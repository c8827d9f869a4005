"""Pipeline jobs: started, inspected, listed; and what their steps said."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from urllib.parse import quote

from kubeline.errors import KubelineError, PlatformError, UserError, listed
from kubeline.platform.compiled import Compiled, Json
from kubeline.platform.following import STATES, Ended, RunSnapshot
from kubeline.platform.step_logs import failure_sentence
from kubeline.platform.vertex.connection import VertexConnection

VERSION_LABEL = "kubeline-version"
_NAME = re.compile(r"[a-z][-a-z0-9]{0,127}")
_LABEL = re.compile(r"[a-z0-9_-]{0,63}")
_LINES = 1_000
_LISTED = "name,displayName,state,createTime,endTime"  # of each job in a list: with their pipelines it would be large


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


def described(compiled: Compiled, request: JobRequest, name: str) -> Json:
    """The job, as the service takes it.

    Raises:
        UserError: when Vertex cannot take it.
    """
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
    return {
        "displayName": name,
        "pipelineSpec": specification,
        "runtimeConfig": {"gcsOutputDirectory": root, "parameterValues": dict(request.values)},
        "labels": labels,
        **({"serviceAccount": request.service_account} if request.service_account else {}),
        **({"network": request.network} if request.network else {}),
        **({"encryptionSpec": {"kmsKeyName": request.kms_key}} if request.kms_key else {}),
    }


def start(connection: VertexConnection, job: Json, identifier: str) -> str:
    """Start a job once, and return its identifier."""
    if not _NAME.fullmatch(identifier):
        raise UserError(f"'{identifier}' cannot be the name of a job; expected a-z, 0-9 and '-', a letter first")
    jobs, api = f"/v1/{connection.parent}/pipelineJobs", connection.api
    made = api.write("POST", f"{jobs}?pipelineJobId={identifier}", job, lambda: api.find(f"{jobs}/{identifier}"))
    return str(made.get("name", "")).rpartition("/")[2] or identifier


def read(connection: VertexConnection, identifier: str) -> Json:
    """A job by its identifier.

    Raises:
        UserError: when there is none.
    """
    found: Json | None = connection.api.find(f"/v1/{connection.parent}/pipelineJobs/{quote(identifier, safe='')}")
    if found is None:
        raise UserError(f"there is no run '{identifier}'; `kubeline runs --to vertex` lists them")
    return found


def latest(connection: VertexConnection, most: int, failed: bool = False) -> list[Json]:
    """The latest jobs, the newest first, without their pipelines."""
    wanted: Json = {"orderBy": "create_time desc", "pageSize": min(100, most), "readMask": _LISTED}
    wanted["filter"] = 'state="PIPELINE_STATE_FAILED"' if failed else ""
    return list(islice(connection.api.each(f"/v1/{connection.parent}/pipelineJobs", "pipelineJobs", **wanted), most))


def snapshot(connection: VertexConnection, identifier: str) -> RunSnapshot:
    """What is seen of a job."""
    job = read(connection, identifier)
    return RunSnapshot(steps_of(job), ended(connection, job))


def state_of(job: Json) -> str:
    """``RUNNING``, ``SUCCEEDED``, ``FAILED``, ``CANCELLED`` and so on."""
    return str(job.get("state", "UNSPECIFIED")).removeprefix("PIPELINE_STATE_")


def steps_of(job: Json) -> list[JobStep]:
    """The tasks of a job that run something, as far as it lists them, in the order in which they were made."""
    details = sorted(job.get("jobDetail", {}).get("taskDetails", []), key=lambda one: one.get("createTime", "~"))
    groups = {detail.get("parentTaskId") for detail in details}
    return [_step(detail) for detail in details if detail.get("taskId") not in groups]


def ended(connection: VertexConnection, job: Json) -> Ended | None:
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
        said = job.get("error", {}).get("message")
        return Ended("FAILED", sentence=said or "it is not known which step failed; see the console")
    step = failed[0]
    try:
        said = failure_sentence("\n".join(connection.log(step.job, _LINES))) if step.job else ""
    except KubelineError as error:
        said = f"{step.error or 'it failed'} ({error})"
    return Ended("FAILED", step.name, said or step.error or "it ended without a message; see its log")


def log(connection: VertexConnection, job: Json, name: str) -> str:
    """What a step of a job printed.

    Raises:
        UserError: when there is no such step, or it printed nowhere.
        PlatformError: when there is nothing yet.
    """
    found = {step.name: step for step in steps_of(job)}
    if name not in found:
        raise UserError(
            f"run '{job['displayName']}' has no step '{name}'; it has: {listed(found, limit=40) or 'none yet'}"
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


def _step(detail: Json) -> JobStep:
    container = str(detail.get("executorDetail", {}).get("containerDetail", {}).get("mainJob", ""))
    return JobStep(
        detail.get("taskName", ""),
        str(detail.get("taskId", "")),
        STATES.get(detail.get("state", ""), "waiting"),
        detail.get("endTime", ""),
        container.rpartition("/")[2],
        " ".join(detail.get("error", {}).get("message", "").split()),
    )
