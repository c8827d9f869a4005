"""What a canary must keep to."""

from pydantic import BaseModel, ConfigDict, Field

from kubeline.rollout.judge.spending import Spending


class Rules(BaseModel):
    """Limits of the checks, and how sure the judge must be. docs/judge.md explains each.

    Attributes:
        alpha: chance that a rollout of an identical version is stopped: over all its looks and checks together.
        spending: how alpha is divided among the looks: ``pocock`` about evenly, which stops a bad version early;
            ``obrien-fleming`` mostly for the last ones.
        min_requests: of each version before anything can pass. With fewer of the canary the rollout waits without a
            look; with fewer of the stable version the look is inconclusive.
        max_error_rate: share of requests that may fail; None does not check.
        max_p95_seconds: of the canary; None does not check.
        max_p99_seconds: of the canary; None does not check.
        max_error_increase: by how much the share of failed requests may exceed the stable version's; None does not
            check.
        max_latency_shift: largest Cliff's delta, from 0 (as fast as stable) to 1 (always slower); None does not check.
        max_prediction_drift: largest population stability index without its bias; None does not check.
        max_business_loss: share of the stable mean by which the business metric may be worse.
        failure_limit: failed looks that are forgiven; one more stops the rollout.
        inconclusive_limit: inconclusive looks at one step that are waited through.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    alpha: float = Field(0.05, gt=0, lt=0.5)
    spending: Spending = "pocock"
    min_requests: int = Field(100, ge=20)
    max_error_rate: float | None = Field(0.05, ge=0, lt=1)
    max_p95_seconds: float | None = Field(None, gt=0)
    max_p99_seconds: float | None = Field(None, gt=0)
    max_error_increase: float | None = Field(0.005, ge=0, lt=1)
    max_latency_shift: float | None = Field(0.12, ge=0, lt=1)
    max_prediction_drift: float | None = Field(0.25, ge=0)
    max_business_loss: float = Field(0.02, ge=0)
    failure_limit: int = Field(0, ge=0)
    inconclusive_limit: int = Field(5, ge=0)
