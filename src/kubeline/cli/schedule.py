"""``kubeline schedule``: recurring runs as a file in git describes them."""

import argparse
from pathlib import Path
from typing import Any

from kubeline.cli.parser import add_command
from kubeline.cli.platforms import add_connections, add_vertex_job, kubeflow, labels, vertex

_SIGNS = {"create": "+", "update": "~", "pause": "~", "resume": "~", "delete": "-", "none": " "}
_DIFFERS = 1


def add_parser(commands: Any) -> None:
    """Add the command and its two actions."""
    words = "make a platform's recurring runs match a file"
    schedule = commands.add_parser("schedule", help=words, description=words)
    actions = schedule.add_subparsers(required=True, metavar="ACTION")
    for name, command, words in (
        ("diff", diff, "show what would change; the exit code is 1 when something would"),
        ("apply", apply, "create, change, pause and delete what the file says, and nothing of others"),
    ):
        action = add_command(actions, name, words, command)
        action.add_argument("file", type=Path, help="YAML file of schedules")
        add_connections(action)
        add_vertex_job(action)


def diff(options: argparse.Namespace) -> int:
    """Print the changes; nothing is written."""
    changes, _ = _changes(options, write=False)
    for change in changes:
        _print_change(change, change.kind)
    return _DIFFERS if any(change.kind != "none" for change in changes) else 0


def apply(options: argparse.Namespace) -> None:
    """Make the changes."""
    changes, platform = _changes(options, write=True)
    for change in changes:
        if change.kind != "none":
            platform.apply(change)
        _print_change(change, _DONE[change.kind])


_DONE = {
    "create": "created",
    "update": "updated",
    "pause": "paused",
    "resume": "resumed",
    "delete": "deleted",
    "none": "unchanged",
}


def _changes(options: argparse.Namespace, write: bool) -> tuple[list[Any], Any]:
    from kubeline.platform.schedule.document import read
    from kubeline.platform.schedule.plan import plan

    document, files = read(options.file)
    platform = (_vertex if document.platform == "vertex" else _kubeflow)(options, document.owner)
    changes = plan(platform.wanted(document, files, write), platform.live())
    for name in platform.used_by_others(document.schedules):
        print(f"  '{name}' is also the name of a schedule of others, which is left alone")
    return changes, platform


def _kubeflow(options: argparse.Namespace, owner: str) -> Any:
    from kubeline.platform.schedule.kubeflow import Kubeflow

    return Kubeflow(kubeflow(options), owner)


def _vertex(options: argparse.Namespace, owner: str) -> Any:
    from kubeline.platform.schedule.vertex import Vertex
    from kubeline.platform.vertex.jobs import JobRequest

    request = JobRequest({}, options.pipeline_root, "", options.network, options.kms_key, labels(options))
    return Vertex(vertex(options), owner, request)


def _print_change(change: Any, word: str) -> None:
    print(f"{_SIGNS[change.kind]} {change.name}: {'unchanged' if word == 'none' else word}")
    for difference in change.differences:
        print(f"    {difference}")
