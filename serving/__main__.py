"""The command ``python -m serving``."""

import argparse
import os
import socket
import sys
import warnings
from pathlib import Path

from kserve import ModelServer, model_server

from kubeline.errors import KubelineError, PlatformError
from serving.model import PackageModel
from serving.protocol import PackageDataPlane, tell_refusals


def main() -> int:
    """Verify and load the package, then serve it until SIGTERM.

    Returns:
        The exit code: 2 when the package must not be served, 3 when a port is in use. A server never starts
        without a verified model.
    """
    args = _arguments()
    model = PackageModel(args.model_name, args.model_dir, threads=args.onnx_threads, digest=args.package_digest)
    try:
        _require_free(args.http_port, args.grpc_port)
        model.load()
    except KubelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    warnings.filterwarnings("ignore", message="ORJSONResponse is deprecated")  # of KServe's own code, at each request
    server = ModelServer()  # its ports and limits are KServe's own options, which KServe has read by now
    server.dataplane = PackageDataPlane(model_registry=server.registered_models)
    tell_refusals(model_server.app)
    server.start([model])
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m serving", description=__doc__, parents=[model_server.parser])
    parser.add_argument("--model_dir", type=Path, default=Path("/mnt/models"), help="The folder of the model package.")
    parser.add_argument(
        "--onnx_threads",
        type=int,
        default=1,
        help="Threads for one prediction; requests run side by side, so that 1 serves most models best.",
    )
    parser.add_argument(
        "--package_digest",
        default=os.environ.get("KUBELINE_PACKAGE_DIGEST", ""),
        help="Serve no other package than the one with this digest (KUBELINE_PACKAGE_DIGEST; empty: any).",
    )
    args = parser.parse_args()
    if args.workers != 1:
        parser.error("--workers must be 1: add replicas instead")
    return args


def _require_free(*ports: int) -> None:
    """Refuse a port in use: two gRPC servers would share it in silence, each taking some of the requests."""
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", port))
            except OSError as error:
                raise PlatformError(f"cannot listen on port {port}: {error.strerror}; choose another one") from error


if __name__ == "__main__":
    sys.exit(main())
