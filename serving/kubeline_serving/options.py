"""The options of the command: those of KServe's own model server under their names, and the server's own.

Read by argparse: importing pydantic-settings takes 0.4 s and 28 MB in each process, as long as all that the server
imports now.
"""

import argparse
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kubeline_serving.vertex import MODEL_FOLDER, VertexSettings

# Options of KServe's server that mean nothing here: a ServingRuntime that gives them goes on working.
_IGNORED = (
    "--max_threads",
    "--max_asyncio_workers",
    "--enable_docs_url",
    "--enable_latency_logging",
    "--configure_logging",
    "--log_config_file",
    "--access_log_format",
    "--event-loop",
    "--predictor_host",
    "--protocol",
    "--predictor_protocol",
    "--predictor_use_ssl",
    "--predictor_request_timeout_seconds",
    "--predictor_request_retries",
    "--enable_predictor_health_check",
    "--grpc_max_send_message_length",
)
DEFAULT_FOLDER = Path("/mnt/models")


@dataclass(frozen=True)
class Options:
    """The options of the command; see ``python -m kubeline_serving --help``."""

    model_dir: Path
    model_name: str
    host: str
    http_port: int
    grpc_port: int
    enable_grpc: bool
    workers: int
    onnx_threads: int
    package_digest: str
    max_body_bytes: int
    max_buffered_bytes: int
    max_parsed_bytes: int
    max_connections: int
    max_rows: int
    max_queue_ms: float
    timeout_ms: float
    max_batch_rows: int
    batch_wait_ms: float
    drain_seconds: float
    grace_seconds: int
    timeout_keep_alive: int
    model_control: bool
    access_log: bool
    payload_log: str
    payload_sample: float
    payload_rows: int
    payload_seconds: float
    payload_memory_mb: int
    otlp_endpoint: str
    ssl_certfile: Path | None
    ssl_keyfile: Path | None
    ignored: tuple[str, ...]


def read_options(arguments: Sequence[str] | None = None) -> Options:
    """Options of a command line, by default that of this process; ends it with exit code 2 when one is wrong."""
    parser = _parser()
    given = vars(parser.parse_args(arguments))
    ignored = tuple(option for option in _IGNORED if given.pop(_name(option)) is not None)
    if given["model_control"] and given["workers"] > 1:
        parser.error("--model_control works with one worker: a verb would reach only one of several")
    return Options(**given, ignored=ignored)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m kubeline_serving",
        description="The KServe model server for model packages.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    _model_and_ports(parser.add_argument_group("model and ports"))
    _limits(parser.add_argument_group("limits"))
    _observability(parser.add_argument_group("observability"))
    for option in _IGNORED:
        parser.add_argument(option, nargs="?", const="", help=argparse.SUPPRESS)
    return parser


def _model_and_ports(group: argparse._ArgumentGroup) -> None:
    add, vertex = group.add_argument, VertexSettings.of(os.environ)
    add(
        "--model_dir",
        type=Path,
        default=os.environ.get(MODEL_FOLDER, str(DEFAULT_FOLDER)),
        help="the folder of the model package; on Vertex AI it is fetched from AIP_STORAGE_URI where this is not given",
    )
    add("--model_name", default=vertex.model_name or "model", help="the name of the model in URLs (AIP_PREDICT_ROUTE)")
    add(
        "--package_digest",
        default=os.environ.get("KUBELINE_PACKAGE_DIGEST", ""),
        help="serve no other package than the one with this digest (KUBELINE_PACKAGE_DIGEST; empty: any)",
    )
    add("--host", type=_address, default="0.0.0.0", help="IPv4 address to listen on; 127.0.0.1: this machine alone")  # noqa: S104 - a pod
    add("--http_port", type=_port, default=vertex.http_port or "8080", help="of HTTP (AIP_HTTP_PORT)")
    add("--grpc_port", type=_port, default=8081, help="of gRPC")
    add("--enable_grpc", type=_truth, default=True, metavar="BOOL", help="whether to serve gRPC")
    add("--workers", type=_at_least_one, default=1, help="processes that share the ports")
    add(
        "--onnx_threads",
        type=_natural,
        default=0,
        help="threads for one prediction; 0: one for each CPU that the container may use, shared among the workers",
    )
    add("--model_control", action="store_true", help="allow the verbs load and unload")
    add("--ssl_certfile", type=Path, default=os.environ.get("KSERVE_TLS_CERT_FILE"), help="certificate for HTTPS")
    add("--ssl_keyfile", type=Path, default=os.environ.get("KSERVE_TLS_KEY_FILE"), help="private key for HTTPS")


def _limits(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--max_body_bytes",
        "--grpc_max_receive_message_length",
        type=_at_least_one,
        default=16 * 2**20,
        help="of one request; a larger one is answered 413",
    )
    add(
        "--max_buffered_bytes",
        type=_at_least_one,
        default=192 * 2**20,
        help="of all requests at a time, and of answers that are not read; others are answered 503. At least one "
        "request of --max_body_bytes has room",
    )
    add(
        "--max_parsed_bytes",
        type=_at_least_one,
        default=192 * 2**20,
        help="of memory that one request may take when it is parsed; what would take more is answered 413",
    )
    add(
        "--max_connections",
        type=_at_least_one,
        default=4096,
        help="of HTTP; the one idle longest gives way to a new one",
    )
    add("--max_rows", type=_at_least_one, default=100_000, help="of one request; one with more is answered 413")
    add("--max_queue_ms", type=_positive, default=100.0, help="a request that would wait longer is answered 503")
    add("--timeout_ms", type=_positive, default=30_000.0, help="a request that takes longer is answered 504")
    add(
        "--max_batch_rows",
        type=_natural,
        default=32,
        help="answer waiting requests together up to this many rows; 0: each alone",
    )
    add("--batch_wait_ms", type=_not_negative, default=0.0, help="how long a request waits for others to join it")
    add(
        "--drain_seconds",
        type=_not_negative,
        default=0.0,
        help="after SIGTERM, go on answering for so long while readiness says no",
    )
    add("--grace_seconds", type=_natural, default=20, help="for open requests and logs to end after that")
    add("--timeout_keep_alive", "--timeout-keep-alive", type=_natural, default=65, help="seconds of an idle connection")


def _observability(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--access_log", action="store_true", help="log every prediction request, not only refused ones")
    add("--payload_log", default="", metavar="URI", help="folder for requests and predictions as Parquet; empty: none")
    add("--payload_sample", type=_share, default=1.0, help="share of the requests that are logged")
    add("--payload_rows", type=_at_least_one, default=50_000, help="rows of one file at most")
    add("--payload_seconds", type=_positive, default=10.0, help="a file is written at least so often")
    add("--payload_memory_mb", type=_at_least_one, default=64, help="for rows that wait; beyond it rows are dropped")
    add("--otlp_endpoint", default="", metavar="URL", help="OpenTelemetry collector; empty: no traces are sent")


def _name(option: str) -> str:
    return option.removeprefix("--").replace("-", "_")


def _truth(text: str) -> bool:
    truths = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in truths:
        raise argparse.ArgumentTypeError(f"'{text}' is neither true nor false")
    return truths[text.lower()]


def _number(text: str, smallest: float, open_end: bool = False) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not (value > smallest if open_end else value >= smallest):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number {'above' if open_end else 'from'} {smallest:g}")
    return value


def _whole(text: str, smallest: int) -> int:
    if not text.isdecimal() or int(text) < smallest:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from {smallest}")
    return int(text)


_natural, _at_least_one = partial(_whole, smallest=0), partial(_whole, smallest=1)
_not_negative, _positive = partial(_number, smallest=0), partial(_number, smallest=0, open_end=True)


def _share(text: str) -> float:
    value = _number(text, 0)
    if value > 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a share from 0 to 1")
    return value


def _address(text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not an IPv4 address") from None


def _port(text: str) -> int:
    value = _whole(text, 1)
    if value > 65_535:
        raise argparse.ArgumentTypeError(f"'{text}' is not a port (1 to 65535)")
    return value
