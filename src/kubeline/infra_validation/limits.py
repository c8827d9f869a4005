"""The limits of `infra_validate`, checked without what the check itself loads."""

from kubeline.errors import UserError


def check(
    *, max_latency_ms: float, tolerance: float = 0.0, timeout_seconds: float = 1.0, requests: float = 1.0
) -> None:
    """Raise a :class:`UserError` for a limit that no server could keep, or every server would."""
    positive = {"max_latency_ms": max_latency_ms, "timeout_seconds": timeout_seconds, "requests": requests}
    for name, value in positive.items():
        if not value > 0:
            raise UserError(f"{name} is {value}, but must be greater than 0")
    if not tolerance >= 0:
        raise UserError(f"tolerance is {tolerance}, but must be 0 or greater")
