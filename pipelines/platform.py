"""What a task needs of the platform it runs on; the recipe of a pipeline stays the same on all of them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

from google.protobuf.json_format import MessageToDict
from kfp.dsl import PIPELINE_JOB_SCHEDULE_TIME_UTC_PLACEHOLDER, PipelineTask
from kfp.dsl.base_component import BaseComponent
from kfp.dsl.pipeline_channel import PipelineChannel, extract_pipeline_channels_from_any

from kubeline.data.timespan import OR
from kubeline.resources import Platform

NOTIFY_SECRET = "kubeline-notify"  # noqa: S105 (a name, not a secret): its keys: `urls`, the channels of `notify`, and `run-page`

Access = Literal["storage", "registry", "tracker", "database", "hashing", "signing", "signatures"]
# The variables by which the libraries take their credentials; the secret has keys of the same names.
VARIABLES: dict[Access, tuple[str, ...]] = {
    "storage": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_REGION"),
    "registry": ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"),
    "tracker": ("WANDB_API_KEY", "WANDB_BASE_URL"),
    "hashing": ("KUBELINE_HASH_KEY",),
    "signing": ("KUBELINE_SIGNING_KEY", "KUBELINE_SIGNING_CERTIFICATE"),
    "signatures": ("KUBELINE_PUBLIC_KEY", "KUBELINE_TRUSTED_ROOT", "KUBELINE_SIGNER", "KUBELINE_SIGNER_ISSUER"),
    "database": ("PGUSER", "PGPASSWORD", "MYSQL_USER", "MYSQL_PWD", "KAFKA_CONFIG"),
}

# CPU and memory on Vertex AI, by KUBELINE_PROFILE when compiling: of a step that reads, and of one that trains.
PROFILES = {
    "small": {"read": ("1", "4G"), "train": ("2", "8G")},
    "medium": {"read": ("2", "8G"), "train": ("4", "16G")},
    "large": {"read": ("4", "16G"), "train": ("16", "64G")},
}

_target: ContextVar[Platform] = ContextVar("target", default="kubeflow")


@contextmanager
def compiling_for(target: Platform) -> Iterator[None]:
    """Compile what is in the block for `target`."""
    token = _target.set(target)
    try:
        yield
    finally:
        _target.reset(token)


def resources(
    task: PipelineTask, work: Literal["read", "train"], requests: tuple[str, str], limits: tuple[str, str]
) -> PipelineTask:
    """Ask for CPU and memory: on Kubeflow Pipelines for what the pipeline's parameters say, on Vertex for a profile.

    Args:
        task: the step.
        work: what it does.
        requests: CPU and memory that a node must have free, as Kubernetes quantities; never empty.
        limits: CPU and memory that it may use, likewise.
    """
    if _target.get() == "vertex":
        requests = limits = PROFILES[os.environ.get("KUBELINE_PROFILE", "medium")][work]
    # set_cpu_request and the others do not declare the parameter in the graphs around the task
    task.register_pipeline_channels(extract_pipeline_channels_from_any([requests, limits]))
    task.set_cpu_request(requests[0]).set_cpu_limit(limits[0])
    return task.set_memory_request(requests[1]).set_memory_limit(limits[1])


def with_credentials(task: PipelineTask, secret: str, *access: Access) -> PipelineTask:
    """Give a step its credentials for external services: on Kubeflow Pipelines from a secret, if there is one.

    On Vertex AI Pipelines, which takes no Kubernetes section, the step has the service account of the job.

    Args:
        task: the step.
        secret: name of the secret. Not empty: the back end fails on that.
        access: what the credentials are for.
    """
    if _target.get() == "kubeflow":
        from kfp import kubernetes

        names = {name: name for one in access for name in VARIABLES[one]}
        kubernetes.use_secret_as_env(task, secret_name=secret, secret_key_to_env=names, optional=True)
    return task


def or_scheduled_time(at: PipelineChannel) -> PipelineChannel | str:
    """The parameter `at`, or, where it is empty on Vertex AI Pipelines, the time for which a schedule had the run due.

    A schedule of Vertex hands the same parameters to each run, and fills placeholders in where steps take them; one of
    Kubeflow Pipelines fills parameters in.
    """
    return f"{at}{OR}{PIPELINE_JOB_SCHEDULE_TIME_UTC_PLACEHOLDER}" if _target.get() == "vertex" else at


def unprivileged(pipeline: BaseComponent) -> None:
    """Let no step of a pipeline run as root: on Kubeflow Pipelines, whose specification is changed in place.

    The back end itself forbids privilege escalation, drops every capability and takes the runtime's seccomp profile
    (from 2.16 on); that the user is not root is left to the pipeline. The images name one by number, as the node wants.
    Vertex AI Pipelines takes no Kubernetes section.
    """
    if _target.get() != "kubeflow":
        return
    from kfp.kubernetes.kubernetes_executor_config_pb2 import KubernetesExecutorConfig, SecurityContext

    wanted = MessageToDict(KubernetesExecutorConfig(security_context=SecurityContext(run_as_non_root=True)))
    configured = pipeline.platform_spec.platforms["kubernetes"].deployment_spec.executors
    for executor in pipeline.pipeline_spec.deployment_spec["executors"]:
        configured[executor].update(wanted)


def retried(task: PipelineTask) -> PipelineTask:
    """Run again after a PlatformError: every step is safe to repeat."""
    return task.set_retry(num_retries=2, backoff_duration="30s", backoff_factor=2.0)


def never_cached(task: PipelineTask) -> PipelineTask:
    """Run always, because the step reads or changes something outside the pipeline."""
    return task.set_caching_options(enable_caching=False)


def with_channels(task: PipelineTask) -> PipelineTask:
    """Give `notify` its channels: on Kubeflow Pipelines from the optional secret `kubeline-notify`.

    Vertex AI Pipelines takes no Kubernetes section; there the channels come with the image or from a mounted file.
    """
    if _target.get() == "kubeflow":
        from kfp import kubernetes

        kubernetes.use_secret_as_env(
            task,
            secret_name=NOTIFY_SECRET,
            secret_key_to_env={"urls": "KUBELINE_NOTIFY_URLS", "run-page": "KUBELINE_RUN_PAGE"},
            optional=True,
        )
    return task
