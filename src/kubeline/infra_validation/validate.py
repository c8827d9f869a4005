"""The check itself: start the server, ask it, compare, and give the verdict."""

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kubeline.artifacts import Artifact, describe, step
from kubeline.errors import UserError
from kubeline.infra_validation import server as model_server
from kubeline.infra_validation.golden import Comparison, GoldenRows
from kubeline.infra_validation.protocols import Client, RefusedError, clients
from kubeline.infra_validation.report import write_report
from kubeline.infra_validation.server import RunningServer, ServerFailedError
from kubeline.model_package import Blessing, ModelPackage

_WARM_UP = 10  # requests before the measured ones


@dataclass
class ProtocolResult:
    """What one protocol showed; latencies are of requests with one row, in milliseconds."""

    protocol: str
    comparison: Comparison | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    failure: str = ""


@dataclass
class Findings:
    """Everything the check saw. When the server itself failed, `failure` tells why and `log` how its log ends."""

    rows: int
    ready_seconds: float | None = None
    cold_start_seconds: float | None = None
    peak_memory_bytes: int | None = None
    protocols: list[ProtocolResult] = field(default_factory=list)
    failure: str = ""
    log: list[str] = field(default_factory=list)

    def reasons(self, tolerance: float, max_latency_ms: float) -> list[str]:
        """Why the model must be held; empty when it may go on. A missing answer is a reason too."""
        if self.failure:
            return [self.failure]
        if not self.rows:
            return ["the package holds no golden rows, so no answer could be compared"]
        return [
            reason for result in self.protocols for reason in _reasons(result, self.rows, tolerance, max_latency_ms)
        ]

    def evidence(self) -> dict[str, Any]:
        """For the blessing."""
        return {
            "rows": self.rows,
            "ready_seconds": self.ready_seconds,
            "cold_start_seconds": self.cold_start_seconds,
            "peak_memory_bytes": self.peak_memory_bytes,
            "max_difference": self.max_difference,
            "protocols": {
                result.protocol: {
                    "max_difference": result.comparison.max_difference if result.comparison else None,
                    "latency_p50_ms": result.p50_ms,
                    "latency_p95_ms": result.p95_ms,
                }
                for result in self.protocols
            },
            "server_log": self.log,
        }

    @property
    def max_difference(self) -> float | None:
        """The largest difference over all protocols; None without an answer."""
        return max((result.comparison.max_difference for result in self.protocols if result.comparison), default=None)

    @property
    def slowest(self) -> ProtocolResult | None:
        """The protocol with the greatest 95th percentile."""
        measured = [result for result in self.protocols if result.p95_ms is not None]
        return max(measured, key=lambda result: result.p95_ms or 0.0, default=None)


@step
def run(
    model: Artifact,
    blessing: Artifact,
    metrics: Artifact,
    report: Artifact,
    *,
    max_latency_ms: float = 100.0,
    tolerance: float = 1e-5,
    timeout_seconds: float = 60.0,
    requests: int = 100,
) -> str:
    """See ``components/infra_validate``.

    Returns:
        ``promote`` or ``hold``.

    Raises:
        UserError: when a parameter makes no sense or the package is not intact.
    """
    _check_parameters(max_latency_ms, tolerance, timeout_seconds, int(requests))
    package = ModelPackage.open(model.path)
    golden = GoldenRows.of(package)
    findings = examine(package, golden, timeout_seconds, int(requests))
    reasons = findings.reasons(tolerance, max_latency_ms)
    limits = {"tolerance": tolerance, "max_latency_ms": max_latency_ms, "timeout_seconds": timeout_seconds}
    result = Blessing(
        check="infra_validation",
        verdict="hold" if reasons else "promote",
        package_digest=package.digest,
        reasons=reasons or [f"all {len(golden.records)} golden rows were answered as recorded over every protocol"],
        evidence={**findings.evidence(), **limits, "requests": int(requests)},
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
            import kserve  # noqa: F401 - takes a second, which passes while the server does the same

            try:
                server.wait_until_ready(started, timeout_seconds)
                findings.ready_seconds = server.ready_seconds
                _ask(server, golden, findings, started, requests)
            except ServerFailedError as error:
                findings.failure = str(error)
                findings.log = server.log_end()
            findings.peak_memory_bytes = server.peak_memory_bytes()
    return findings


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
        except RefusedError as error:
            result.failure = str(error)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            result.failure = f"{client.name} answered what is not of its protocol: {type(error).__name__} {error}"
        finally:
            client.close()
    code = server.process.poll()
    if code is not None:
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


def _reasons(result: ProtocolResult, rows: int, tolerance: float, max_latency_ms: float) -> list[str]:
    if result.failure:
        return [result.failure]
    if result.comparison is None or result.p95_ms is None:
        return [f"{result.protocol} gave no answer"]
    reasons = []
    mismatches = result.comparison.mismatches(tolerance)
    if mismatches:
        worst = mismatches[0]
        reasons.append(
            f"{result.protocol} answered {len(mismatches)} of {rows} golden rows otherwise than recorded; worst is row "
            f"{worst}, off by {result.comparison.differences[worst]:.3g} where {tolerance:g} is allowed"
        )
    if result.p95_ms > max_latency_ms:
        reasons.append(
            f"{result.protocol} is too slow: 95 % of requests with one row take up to {result.p95_ms:.1f} ms, "
            f"but {max_latency_ms:g} ms are allowed"
        )
    return reasons


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


def _check_parameters(max_latency_ms: float, tolerance: float, timeout_seconds: float, requests: int) -> None:
    positive = {"max_latency_ms": max_latency_ms, "timeout_seconds": timeout_seconds, "requests": requests}
    for name, value in positive.items():
        if not value > 0:
            raise UserError(f"{name} is {value}, but must be greater than 0")
    if not tolerance >= 0:
        raise UserError(f"tolerance is {tolerance}, but must be 0 or greater")
