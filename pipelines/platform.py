"""What a task needs of the platform it runs on; the recipe of a pipeline stays the same on all of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from kfp.dsl import PipelineTask

from kubeline.resources import Target

NOTIFY_SECRET = "kubeline-notify"  # noqa: S105 (a name, not a secret): key `urls` holds the channels of `notify`

_target: ContextVar[Target] = ContextVar("target", default="kubeflow")


@contextmanager
def compiling_for(target: Target) -> Iterator[None]:
    """Compile what is in the block for `target`."""
    token = _target.set(target)
    try:
        yield
    finally:
        _target.reset(token)


def resources(task: PipelineTask, cpu: str, memory: str) -> PipelineTask:
    """Ask for CPU and memory; the same amounts are request and limit, so that a step is never evicted for its use."""
    task.set_cpu_request(cpu).set_cpu_limit(cpu)
    return task.set_memory_request(memory).set_memory_limit(memory)


def retried(task: PipelineTask) -> PipelineTask:
    """Run again after a failure of the world around: every step is safe to repeat."""
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
            task, secret_name=NOTIFY_SECRET, secret_key_to_env={"urls": "KUBELINE_NOTIFY_URLS"}, optional=True
        )
    return task
