"""The check itself: start the server, ask it, compare, and give the verdict."""

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from kubeline.artifacts import Artifact, describe, step
from kubeline.errors import PlatformError, UserError
from kubeline.infra_validation.findings import Findings, ProtocolResult
from kubeline.infra_validation.infra_validation_report import write_report
from kubeline.infra_validation.limits import Limits
from kubeline.masking import words_of
from kubeline.model_client import server as model_server
from kubeline.model_client.golden import GoldenRows
from kubeline.model_client.protocols import Client, RequestFailedError, clients
from kubeline.model_client.server import RunningServer, ServerFailedError
from kubeline.model_package import Blessing, ModelPackage
from kubeline.processes import peak_memory_bytes

_WARM_UP = 10  # requests before the measured ones


@step
def run(
    model: Artifact,
    blessing: Artifact,
    metrics: Artifact,
    report: Artifact,
    **given: Any,
) -> str:
    """See ``components/infra_validate``; what is given are the fields of :class:`Limits`.

    Returns:
        ``promote`` or ``hold``.

    Raises:
        UserError: when a parameter makes no sense or the package is not intact.
        PlatformError: when the server cannot run here, whatever the model is.
    """
    limits = Limits(**given)
    package = ModelPackage.of(model)
    golden = GoldenRows.of(package)
    findings = examine(package, golden, limits.timeout_seconds, limits.requests)
    reasons = findings.reasons(limits.tolerance, limits.max_latency_ms)
    result = Blessing(
        check="infra_validation",
        verdict="hold" if reasons else "promote",
        package_digest=package.digest,
        reasons=reasons or [f"all {len(golden.records)} golden rows were answered as recorded over every protocol"],
        evidence={**findings.evidence(), **limits.model_dump()},
    )
    result.write(blessing)
    describe(metrics, _metrics(findings))
    write_report(report, golden, findings, result, limits)
    return result.verdict


def examine(package: ModelPackage, golden: GoldenRows, timeout_seconds: float, requests: int) -> Findings:
    """Start the real server on the package and ask it over every protocol."""
    findings = Findings(rows=len(golden.records))
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        with model_server.start(package, Path(folder) / "server.log") as server:
            _import_grpc()  # the server starts meanwhile
            try:
                server.wait_until_ready(started, timeout_seconds)
                findings.ready_seconds = server.ready_seconds
                _ask(server, golden, findings, started, requests)
            except ServerFailedError as error:
                findings.failure = str(error)
                findings.log = server.log_end()
            findings.peak_memory_bytes = peak_memory_bytes(server.process.pid)
    return findings


def _import_grpc() -> None:
    try:
        import grpc  # noqa: F401
    except ImportError as error:
        raise PlatformError(
            f"gRPC cannot be asked from here, so the model was not checked: {error}; run the step in an image that has "
            "what serving/Dockerfile installs"
        ) from error


def _ask(server: RunningServer, golden: GoldenRows, findings: Findings, started: float, requests: int) -> None:
    if not golden.records:
        return
    for client in clients(server):
        result = ProtocolResult(client.name)
        findings.protocols.append(result)
        try:
            everything = client.prepare(golden, range(len(golden.records)))
            answer = client.send(everything)
            if findings.cold_start_seconds is None:
                findings.cold_start_seconds = time.monotonic() - started
            result.comparison = golden.compare(client.read(answer, golden))
            result.p50_ms, result.p95_ms = _latency(client, golden, requests)
        except RequestFailedError as error:
            result.failure = str(error)
        except (KeyError, ValueError, TypeError, AttributeError, UserError) as error:
            said = f"{type(error).__name__} {words_of(error)}"
            result.failure = f"{client.name} answered what is not of its protocol: {said}"
        finally:
            client.close()
    code = server.process.poll()
    if code is not None:
        server.blame_environment(code)
        raise ServerFailedError(f"the server ended with exit code {code} under requests; {server.last_words()}")


def _latency(client: Client, golden: GoldenRows, requests: int) -> tuple[float, float]:
    """The 50th and 95th percentile of requests with one row, one after the other, in milliseconds."""
    prepared = [client.prepare(golden, [row]) for row in range(min(len(golden.records), requests))]
    seconds = []
    for number in range(_WARM_UP + requests):
        started = time.perf_counter()
        client.send(prepared[number % len(prepared)])
        seconds.append(time.perf_counter() - started)
    p50, p95 = np.percentile(seconds[_WARM_UP:], [50, 95]) * 1e3
    return float(p50), float(p95)


def _metrics(findings: Findings) -> dict[str, Any]:
    slowest = findings.slowest
    memory = findings.peak_memory_bytes
    return {
        "golden_rows": findings.rows,
        "max_difference": findings.max_difference,
        "latency_p50_ms": slowest.p50_ms if slowest else None,
        "latency_p95_ms": slowest.p95_ms if slowest else None,
        "cold_start_seconds": findings.cold_start_seconds,
        "peak_memory_mib": memory / 2**20 if memory else None,
    }
