"""The process that runs one compiled pipeline: ``python -m kubeline.local.worker PIPELINE ARGUMENTS ROOT``.

It is a process of its own because the local runner writes its log to the standard output and patches `print`.
"""

import json
import sys
import warnings
from pathlib import Path

import yaml
from kfp import local
from kfp.components import load_component_from_text


def main(pipeline: str, arguments: str, root: str) -> None:
    """Run the compiled `pipeline` with the JSON file `arguments`; outputs go below `root`."""
    # The runner warns of every display name, cache switch and resource request: they are for clusters.
    warnings.filterwarnings("ignore", message=".*have no effect in the current local runner.*")
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=root)
    text = without_retries(Path(pipeline).read_text(encoding="utf-8"))
    load_component_from_text(text)(**json.loads(Path(arguments).read_text(encoding="utf-8")))


def without_retries(compiled: str) -> str:
    """The pipeline's first document with no task retried.

    Retries are for nodes that go away. Here they would only repeat a wrong input, after minutes of waiting.
    """
    document = next(yaml.safe_load_all(compiled))
    for component in [document["root"], *document.get("components", {}).values()]:
        for task in component.get("dag", {}).get("tasks", {}).values():
            task.pop("retryPolicy", None)
    return yaml.safe_dump(document, sort_keys=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
