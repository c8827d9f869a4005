"""The limits of `infra_validate`, checked without what the check itself loads."""

from pydantic import Field

from kubeline.settings import Parameters


class Limits(Parameters):
    """What every server could keep, and not every server would; see the component `infra_validate`."""

    max_latency_ms: float = Field(default=100.0, gt=0, description="more than 0")
    tolerance: float = Field(default=1e-5, ge=0, description="0 or more")
    timeout_seconds: float = Field(default=60.0, gt=0, description="more than 0")
    requests: int = Field(default=100, gt=0, description="more than 0")
