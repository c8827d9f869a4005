"""``kubeline new project``: a repository of one's own on top of the components."""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from kubeline.cli.parser import add_command
from kubeline.errors import PlatformError


def add_parser(commands: Any) -> None:
    """Add the command."""
    words = "write a repository of your own on top of the components"
    parser = commands.add_parser("new", help=words, description=words)
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    words = "a pipeline, parameters by environment, tests, CI and deployment, pinned to this version"
    project = add_command(kinds, "project", words, project_command)
    project.add_argument("name", help="of the project and its model, such as churn")
    project.add_argument("--folder", type=Path, help="where to write it, new or empty (./NAME)")


def project_command(options: argparse.Namespace) -> None:
    """Write the repository, compile its pipeline and say what comes next."""
    from kubeline.new_project.project import write_project

    folder = options.folder or Path(options.name)
    files = write_project(options.name, folder)
    compiled = subprocess.run(
        # -P: nothing of the folder but what PYTHONPATH names
        [sys.executable, "-P", "-m", "pipelines.compile"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(["src", ".", *filter(None, [os.environ.get("PYTHONPATH")])])},
        capture_output=True,
        text=True,
        check=False,
    )
    if compiled.returncode:
        last = (compiled.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise PlatformError(f"{folder} was written, but its pipeline did not compile: {last}; run make compile there")
    print(f"wrote {len(files)} files into {folder} and compiled its pipeline; next:")
    print(f"  cd {folder} && git init && make lint check test")
