"""What the check saw, and why a model must be held for it."""

from dataclasses import dataclass, field
from typing import Any

from kubeline.model_client.golden import GoldenComparison


@dataclass
class ProtocolResult:
    """What one protocol showed; latencies are of requests with one row, in milliseconds."""

    protocol: str
    comparison: GoldenComparison | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    failure: str = ""


@dataclass
class Findings:
    """Everything the check saw. When the server itself failed, `failure` says why, and `log` is the end of its log."""

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
