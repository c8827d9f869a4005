"""The platform's own page about the run of this process."""

import os
import re

from kubeline.notification.asking import FinalStatus, run_id

RUN_PAGE = "KUBELINE_RUN_PAGE"
_VERTEX = re.compile(r"projects/(?P<project>[^/]+)/locations/(?P<location>[^/]+)/pipelineJobs/(?P<job>[^/]+)")
_CONSOLE = "https://console.cloud.google.com/vertex-ai/locations/{location}/pipelines/runs/{job}?project={project}"


def page_of_run(status: FinalStatus) -> str:
    """Address of the page that the platform has about this run; empty where none is known.

    Nothing in a step knows where people open Kubeflow's UI, so an operator says it: the environment variable
    ``KUBELINE_RUN_PAGE``, in which ``{run}`` stands for the id of the run, such as
    ``https://kubeflow.example.com/pipeline/#/runs/details/{run}``. The console of Vertex AI Pipelines is known.
    """
    template, run = os.environ.get(RUN_PAGE, "").strip(), run_id()
    if template and run:
        return template.replace("{run}", run)
    job = _VERTEX.fullmatch(status.pipeline_job_resource_name or "")
    return _CONSOLE.format(**job.groupdict()) if job else ""
