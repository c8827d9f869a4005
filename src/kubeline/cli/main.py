"""The command ``kubeline``."""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from kubeline import __version__
from kubeline.cli import rollout as rollout_command
from kubeline.cli import run as run_command
from kubeline.cli import serve as serve_command
from kubeline.errors import KubelineError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 done, 1 a step failed, 2 bad input, 3 a broken world."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end in order, as on Ctrl-C
    try:
        return int(options.command(options))
    except KubelineError as error:
        print(f"kubeline: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("kubeline: interrupted; the running steps were ended", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kubeline", description="From a table to a canaried model.")
    parser.add_argument("--version", action="version", version=f"kubeline {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run a compiled pipeline on this machine")
    _pipeline(run)
    run.add_argument("--params", type=Path, metavar="FILE", help="YAML file of parameter values")
    run.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="one parameter; the value is read as YAML"
    )
    run.add_argument("--output", type=Path, default=Path("runs"), metavar="FOLDER", help="where runs go (runs)")
    run.set_defaults(command=run_command.run)

    schema = commands.add_parser("schema", help="print the JSON schema of a pipeline's parameter file")
    _pipeline(schema)
    schema.set_defaults(command=run_command.schema)

    rollout_command.add_parser(commands)
    _serve(commands.add_parser("serve", help="serve a model package on this machine"))
    return parser


def _serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("package", help="folder or URI of a model package, or models:/NAME@ALIAS of the registry")
    parser.add_argument("--name", default="", help="name of the model in URLs (the registered name, else: model)")
    parser.add_argument("--port", type=int, default=8080, help="of HTTP (8080)")
    parser.add_argument("--grpc-port", type=int, default=8081, help="of gRPC (8081)")
    parser.add_argument("--workers", type=int, default=1, help="processes that answer (1)")
    parser.add_argument(
        "--payload-log", default="", metavar="URI", help="where requests and answers are logged (nowhere)"
    )
    parser.add_argument(
        "--tracking-uri", default="", metavar="URI", help="the registry for models:/ (MLflow's default)"
    )
    parser.set_defaults(command=serve_command.serve)


def _pipeline(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pipeline", help="name of a pipeline of this repository, or path of a compiled YAML file")


if __name__ == "__main__":
    sys.exit(main())
