"""Options by which commands reach Kubeflow Pipelines."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubeline.errors import UserError

if TYPE_CHECKING:  # the other commands need not wait for its import
    from kubeline.platform.kfp.connection import Connection

HOST_VARIABLE = "KF_PIPELINES_ENDPOINT"  # as the KFP SDK has them
UI_VARIABLE = "KF_PIPELINES_UI_ENDPOINT"


def add_kubeflow(parser: argparse.ArgumentParser) -> None:
    """Add the options of a connection to Kubeflow Pipelines."""
    group = parser.add_argument_group("Kubeflow Pipelines")
    group.add_argument("--host", default="", metavar="URL", help=f"its API server, UI or gateway (${HOST_VARIABLE})")
    group.add_argument("--namespace", default="", help="of your profile, where several users share the installation")
    group.add_argument(
        "--token-file", default="", metavar="FILE", help="service account token (the mounted one, $KUBELINE_KFP_TOKEN)"
    )
    group.add_argument("--cookie-file", default="", metavar="FILE", help="cookie of a session, NAME=VALUE")
    group.add_argument("--iap-client-id", default="", metavar="ID", help="OAuth client of Identity-Aware Proxy")
    group.add_argument("--dex-user", default="", metavar="NAME", help="sign in at Dex ($KUBELINE_DEX_PASSWORD)")
    group.add_argument("--dex-password-file", default="", metavar="FILE", help="the password, instead of the variable")
    group.add_argument("--ca-file", default="", metavar="FILE", help="certificates to check the server's with")
    group.add_argument("--ui", default="", metavar="URL", help=f"address for links (${UI_VARIABLE}, else --host)")
    group.add_argument(
        "--patience", type=float, default=120.0, metavar="SECONDS", help="for all tries of a request (120)"
    )


def kubeflow(options: argparse.Namespace) -> "Connection":
    """The connection that the options ask for.

    Raises:
        UserError: when there is no address.
    """
    from kubeline.platform.kfp.connection import IN_CLUSTER, Access, Connection
    from kubeline.platform.kfp.credentials import Identity

    host = options.host or os.environ.get(HOST_VARIABLE, "")
    if not host and "KUBERNETES_SERVICE_HOST" in os.environ:
        host = IN_CLUSTER
    if not host:
        raise UserError(f"where is Kubeflow Pipelines? Give --host URL, or set {HOST_VARIABLE}")
    if "://" not in host:
        host = f"https://{host}"
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
    return Connection(Access(host, options.namespace, identity, options.ca_file, ui, options.patience))


def parameters(options: argparse.Namespace, pipeline: Path) -> dict[str, Any]:
    """The values of a run, checked as for a local one.

    Raises:
        UserError: when the pipeline cannot take them, or misses some.
    """
    from kubeline.cli.run import _assignments
    from kubeline.local.parameters import check, read_parameters

    return check(pipeline, read_parameters(options.params, _assignments(options.set)))
