"""The process that runs one compiled pipeline: ``python -m kubeline.local.worker PIPELINE ARGUMENTS ROOT``.

It is a process of its own because the local runner writes its log to the standard output and patches `print`.
"""

import json
import sys
import warnings
from pathlib import Path

from kfp import local
from kfp.components import load_component_from_file


def main(pipeline: str, arguments: str, root: str) -> None:
    """Run the compiled `pipeline` with the JSON file `arguments`; outputs go below `root`."""
    # The runner warns of every display name, cache switch and resource request: they are for clusters.
    warnings.filterwarnings("ignore", message=".*have no effect in the current local runner.*")
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=root)
    load_component_from_file(pipeline)(**json.loads(Path(arguments).read_text(encoding="utf-8")))


if __name__ == "__main__":
    main(*sys.argv[1:])
