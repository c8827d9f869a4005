"""The process that runs one compiled pipeline: ``python -m kubeline.local.worker PIPELINE ARGUMENTS ROOT [IMAGES]``.

It is a process of its own because the local runner writes its log to the standard output and patches `print`.
IMAGES is a JSON file that says what each step runs in; without it all run in the environment of this process:

- ``{"environments": {image: {variable: value}}}``: a process of this machine with the variables of its image, whose
  ``PATH`` leads to the image's ``python3``
- ``{"docker": {argument: value}}``: a container of its image, with these arguments of docker's ``containers.run``; with
  ``"variables": {variable: value}`` for its environment, and ``"reporter": [word, …]`` as what reports its step
"""

import json
import logging
import os
import sys
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

# KFP's own variable for "no client of a back end is needed": that one, with Kubernetes', is two thirds of its import.
os.environ["_KFP_RUNTIME"] = "true"
import kfp  # noqa: F401 (the package alone; its parts read the variable again)

del os.environ["_KFP_RUNTIME"]
from kfp import local
from kfp.components import load_component_from_text

from kubeline.local.events import ADDRESS, Event, Reporter, reporting

# The times of a run in a compiled pipeline, as kfp.dsl writes them.
_TIMES = ("{{$.pipeline_job_create_time_utc}}", "{{$.pipeline_job_schedule_time_utc}}")


def main(pipeline: str, arguments: str, root: str, images: str = "") -> None:
    """Run the compiled `pipeline` with the JSON file `arguments`; outputs go below `root`."""
    # The runner warns of every display name, cache switch and resource request: they are for clusters.
    warnings.filterwarnings("ignore", message=".*have no effect in the current local runner.*")
    places = json.loads(Path(images).read_text(encoding="utf-8")) if images else {}
    document = next(yaml.safe_load_all(Path(pipeline).read_text(encoding="utf-8")))
    _without_retries(document)
    if reporting():
        _report_steps(document, places.get("reporter", ["python3", "-P", "-m", "kubeline.local.step"]))
    runner: local.SubprocessRunner | local.DockerRunner = local.SubprocessRunner(use_venv=False)
    if "docker" in places:
        runner = local.DockerRunner(**places["docker"])
        _set_variables(document, lambda _: places.get("variables", {}))
    elif "environments" in places:
        _set_variables(document, places["environments"].__getitem__)
        sys.executable = "python3"  # which the runner writes into the command: that of the step's own PATH
    local.init(runner, pipeline_root=root)
    text = _with_times(yaml.safe_dump(document, sort_keys=False))
    errors = _Errors()
    logging.getLogger().addFilter(errors)
    try:
        load_component_from_text(text)(**json.loads(Path(arguments).read_text(encoding="utf-8")))
    except Exception as error:
        if reporting():  # when no step has failed, this is why
            words = errors.first or " ".join(str(error).split()) or type(error).__name__
            with Reporter(os.environ[ADDRESS]) as reporter:
                reporter.send(Event("broken", text=words))
        raise


class _Errors(logging.Filter):
    """Remembers the first error that KFP logs: what it raises in the end names only the task."""

    first = ""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.ERROR:
            self.first = self.first or " ".join(record.getMessage().split())
        return True


def _report_steps(document: dict[str, Any], reporter: list[str]) -> None:
    """Let each Python step report itself: the `reporter` is put before its command."""
    for executor in document["deploymentSpec"]["executors"].values():
        container = executor.get("container", {})
        if "--executor_input" in container.get("args", []):
            container["command"] = [*reporter, *container["command"]]


def _without_retries(document: dict[str, Any]) -> None:
    """Let no task be retried.

    Retries are for nodes that go away. Here they would only repeat a wrong input, after minutes of waiting.
    """
    for component in [document["root"], *document.get("components", {}).values()]:
        for task in component.get("dag", {}).get("tasks", {}).values():
            task.pop("retryPolicy", None)


def _with_times(text: str) -> str:
    """Fill in when the run was made and due, which is now; the runner of KFP fails of either."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    for placeholder in _TIMES:
        text = text.replace(placeholder, now)
    return text


def _set_variables(document: dict[str, Any], variables_of: Callable[[str], dict[str, str]]) -> None:
    """Give each step the variables for its image; those that the pipeline sets stay."""
    for executor in document["deploymentSpec"]["executors"].values():
        container = executor["container"]
        variables = {
            **variables_of(container["image"]),
            **{each["name"]: each["value"] for each in container.get("env", [])},
        }
        container["env"] = [{"name": name, "value": value} for name, value in variables.items()]


if __name__ == "__main__":
    main(*sys.argv[1:])
