"""``kubeline rollout``: the status of a rollout, promote, abort, roll back."""

import argparse
import datetime
import os
from pathlib import Path
from typing import Any

from kubeline.addresses import scheme
from kubeline.cli.parser import add_command
from kubeline.errors import UserError

KUBECONFIG = "~/.kube/config"


def add_parser(commands: Any) -> None:
    """Add the command and its four actions."""
    rollout = commands.add_parser("rollout", help="status of a rollout, promote, abort, roll back")
    actions = rollout.add_subparsers(required=True, metavar="ACTION", dest="action")
    for name, command, words in (
        ("status", status, "what a rollout is doing"),
        ("promote", request, "promote a candidate that waits for approval"),
        ("abort", request, "take the candidate's traffic away and go back to the stable model"),
        ("rollback", rollback, "bring back a model that was promoted earlier"),
    ):
        action = add_command(actions, name, words, command)
        action.add_argument("name", help="name of the InferenceService, or of the endpoint of Vertex AI")
        action.add_argument("--namespace", default="", help="its namespace (the kubeconfig's, or that of the pod)")
        action.add_argument(
            "--kubeconfig",
            default="",
            metavar="FILE",
            help="or in-cluster, gke://PROJECT/LOCATION/CLUSTER or vertex://… ($KUBECONFIG, else the user's)",
        )
        if name == "rollback":
            action.add_argument("--to", default="", metavar="DIGEST", help="package digest (the promoted one before)")
            action.add_argument(
                "--tracking_uri", default="", metavar="URI", help="of the registry, whose champion follows"
            )
            action.add_argument("--model", default="", metavar="NAME", help="its registered model (the service's name)")


def status(options: argparse.Namespace) -> None:
    """Print the status."""
    from kubeline.rollout.operations import describe

    for line in describe(_cluster(options), options.namespace, options.name, datetime.datetime.now(datetime.UTC)):
        print(line)


def request(options: argparse.Namespace) -> None:
    """Ask for the promotion or the end, and drive the rollout when no other process does."""
    from kubeline.rollout import operations

    print(operations.request(_cluster(options), options.namespace, options.name, options.action, print))


def rollback(options: argparse.Namespace) -> None:
    """Bring back a model of the history, and make it the registry's champion again."""
    from kubeline.registry.champion import follow
    from kubeline.rollout.operations import roll_back, serving

    cluster = _cluster(options)
    outcome = roll_back(cluster, options.namespace, options.name, options.to, print)
    print(outcome)
    if outcome.startswith(("promoted", "unchanged")):
        digest = serving(cluster, options.namespace, options.name)
        print(follow(options.model or options.name, digest, options.tracking_uri))


def _cluster(options: argparse.Namespace) -> Any:
    """Connect; where no namespace was given, it is the one that kubectl would take."""
    from kubeline.kubernetes.connection import IN_CLUSTER
    from kubeline.serving_platform.opening import namespace_at, open_platform

    given = options.kubeconfig or os.environ.get("KUBECONFIG", "") or KUBECONFIG
    if given != IN_CLUSTER and not scheme(given) and not Path(given).expanduser().is_file():
        raise UserError(
            f"there is no kubeconfig '{given}'; give --kubeconfig FILE, or --kubeconfig {IN_CLUSTER} in a pod"
        )
    options.namespace = namespace_at(given, options.namespace)
    return open_platform(given)
