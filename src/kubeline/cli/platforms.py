"""Options by which commands reach Kubeflow Pipelines and Vertex AI."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kubeline.addresses import redact
from kubeline.cli.parser import seconds
from kubeline.errors import UserError

if TYPE_CHECKING:  # the other commands need not wait for its import
    from kubeline.platform.kfp.connection import KfpConnection
    from kubeline.platform.vertex.connection import VertexConnection

HOST_VARIABLE = "KF_PIPELINES_ENDPOINT"  # as the KFP SDK has them
UI_VARIABLE = "KF_PIPELINES_UI_ENDPOINT"


def add_platform(parser: argparse.ArgumentParser, *, here: bool = False) -> None:
    """Add the choice of a platform, or of this machine, and the options of a connection to either platform."""
    choices = ("kubeflow", "vertex", "here") if here else ("kubeflow", "vertex")
    words = "the platform, or this machine (kubeflow)" if here else "the platform (kubeflow)"
    parser.add_argument("--to", default="kubeflow", choices=choices, help=words, dest="platform")
    add_connections(parser)


def add_connections(parser: argparse.ArgumentParser) -> None:
    """Add the options of a connection to either platform."""
    parser.add_argument("--token-file", default="", metavar="FILE", help="a token to show, instead of what is mounted")
    parser.add_argument(
        "--patience", type=seconds, default=120.0, metavar="SECONDS", help="for all tries of a request (120)"
    )
    _add_kubeflow(parser)
    _add_vertex(parser)


def _add_vertex(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("Vertex AI Pipelines")
    group.add_argument("--project", default=os.environ.get("GOOGLE_CLOUD_PROJECT", ""), help="($GOOGLE_CLOUD_PROJECT)")
    group.add_argument("--location", default=os.environ.get("GOOGLE_CLOUD_REGION", ""), help="($GOOGLE_CLOUD_REGION)")
    group.add_argument("--endpoint", default="", metavar="URL", help="of the service (the region's)")
    group.add_argument("--logging-endpoint", default="", metavar="URL", help="of Cloud Logging (Google's)")


def add_vertex_job(parser: argparse.ArgumentParser) -> None:
    """Add what a job on Vertex may be given beside its parameters."""
    group = parser.add_argument_group("of a job on Vertex")
    group.add_argument("--pipeline-root", default="", metavar="URI", help="gs://BUCKET/FOLDER of the artifacts")
    group.add_argument("--network", default="", metavar="NAME", help="full name of a VPC network to peer with")
    group.add_argument("--kms-key", default="", metavar="NAME", help="full name of the key that encrypts (CMEK)")
    group.add_argument("--label", action="append", default=[], metavar="NAME=VALUE", help="a label")


def vertex(options: argparse.Namespace) -> "VertexConnection":
    """The connection to Vertex that the options ask for.

    Raises:
        UserError: when something is missing.
    """
    from kubeline.platform.vertex.connection import VertexAccess, VertexConnection

    endpoints = options.endpoint, options.logging_endpoint
    return VertexConnection(
        VertexAccess(options.project, options.location, options.token_file, *endpoints, options.patience)
    )


def labels(options: argparse.Namespace) -> dict[str, str]:
    """The labels of a job.

    Raises:
        UserError: when one is no pair.
    """
    pairs = [pair.partition("=") for pair in options.label]
    if wrong := [name for name, equals, _ in pairs if not equals]:
        raise UserError(f"--label takes NAME=VALUE, but '{wrong[0]}' was given")
    return {name: value for name, _, value in pairs}


def _add_kubeflow(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("Kubeflow Pipelines")
    group.add_argument("--host", default="", metavar="URL", help=f"its API server, UI or gateway (${HOST_VARIABLE})")
    group.add_argument("--namespace", default="", help="of your profile, where several users share the installation")
    group.add_argument("--cookie-file", default="", metavar="FILE", help="cookie of a session, NAME=VALUE")
    group.add_argument("--iap-client-id", default="", metavar="ID", help="OAuth client of Identity-Aware Proxy")
    group.add_argument("--dex-user", default="", metavar="NAME", help="sign in at Dex ($KUBELINE_DEX_PASSWORD)")
    group.add_argument("--dex-password-file", default="", metavar="FILE", help="the password, instead of the variable")
    group.add_argument("--ca-file", default="", metavar="FILE", help="certificates to check the server's with")
    group.add_argument("--ui", default="", metavar="URL", help=f"address for links (${UI_VARIABLE}, else --host)")


def kubeflow(options: argparse.Namespace) -> "KfpConnection":
    """The connection that the options ask for.

    Raises:
        UserError: when there is no address.
    """
    from kubeline.platform.kfp.connection import IN_CLUSTER, KfpAccess, KfpConnection
    from kubeline.platform.kfp.credentials import Identity

    host = options.host or os.environ.get(HOST_VARIABLE, "")
    if not host and "KUBERNETES_SERVICE_HOST" in os.environ:
        host = IN_CLUSTER
    if not host:
        raise UserError(f"where is Kubeflow Pipelines? Give --host URL, or set {HOST_VARIABLE}")
    if "://" not in host:
        host = f"https://{host}"
    _require_web_address(host)
    if options.ca_file and not Path(options.ca_file).is_file():
        raise UserError(f"there is no file '{options.ca_file}'; give --ca-file a file of certificates")
    identity = Identity(
        token_file=options.token_file,
        cookie_file=options.cookie_file,
        iap_client_id=options.iap_client_id,
        dex_user=options.dex_user,
        dex_password_file=options.dex_password_file,
    )
    ui = options.ui or os.environ.get(UI_VARIABLE, "")
    return KfpConnection(KfpAccess(host, options.namespace, identity, options.ca_file, ui, options.patience))


def _require_web_address(host: str) -> None:
    try:
        parts = urlsplit(host)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        right = False
    if not right:
        raise UserError(
            f"--host is '{redact(host)}', which is no web address; expected one such as https://kfp.example.com"
        )


def parameters(options: argparse.Namespace, pipeline: Path) -> dict[str, Any]:
    """The values of a run, checked as for a local one.

    Raises:
        UserError: when the pipeline cannot take them, or misses some.
    """
    from kubeline.local.parameters import assigned, check, read_parameters

    return check(pipeline, assigned(pipeline, read_parameters(options.params, {}), options.set))
