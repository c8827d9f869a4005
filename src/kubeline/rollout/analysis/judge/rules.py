"""The limits that a canary must not exceed."""

from typing import Any, Literal

from pydantic import BaseModel, Field, field_serializer, model_validator

from kubeline.numbers import Number, Seconds, Whole
from kubeline.rollout.analysis.judge.spending import Spending

CheckName = Literal[
    "error_rate", "p95", "p99", "error_increase", "latency_shift", "prediction_drift", "label_loss", "business"
]


class Rules(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Limits of the checks, and how sure the judge must be. docs/judge.md explains each.

    Attributes:
        alpha: chance that a rollout of an identical version is stopped, over all looks (interim analyses) and checks.
        spending: how alpha is divided among the looks: ``pocock`` about evenly, which stops a bad version early;
            ``obrien-fleming`` mostly for the last ones.
        min_requests: of each version before anything can pass. With fewer of the canary the rollout waits without a
            look; with fewer of the stable version the look is inconclusive.
        max_error_rate: share of requests that may fail; ``off`` (or None) does not check, here and below.
        max_p95_seconds: of the canary.
        max_p99_seconds: of the canary.
        max_error_increase: by how much the share of failed requests may exceed the stable version's.
        max_latency_shift: largest Cliff's delta, from 0 (as fast as stable) to 1 (always slower).
        latency_tolerance_seconds: by which a request to the canary may be slower before ``max_latency_shift`` counts
            it as slower: pods with few requests have colder caches than busy ones.
        max_prediction_drift: largest population stability index without its bias.
        max_label_loss: share of the stable version's mean loss by which the canary's may be greater, where the plan
            names labels that come (`outcomes`).
        max_business_loss: share of the stable mean by which the business metric may be worse.
        min_outcomes: requests of each version whose label, or business value, must have come before those checks pass.
        optional: checks that are made where the evidence allows it, and hold nothing up where it does not, such as
            ``prediction_drift``, or ``label_loss`` where labels may not come in time. Without this, a check that is not
            possible is never a pass.
        failure_limit: failed looks that are forgiven; one more stops the rollout.
        inconclusive_limit: inconclusive looks of one step that are waited through.
    """

    alpha: Number = Field(default=0.05, gt=0, lt=0.5)
    spending: Spending = "pocock"
    min_requests: Whole = Field(default=100, ge=20)
    max_error_rate: Number | None = Field(default=0.05, ge=0, lt=1)
    max_p95_seconds: Seconds | None = Field(default=None, gt=0)
    max_p99_seconds: Seconds | None = Field(default=None, gt=0)
    max_error_increase: Number | None = Field(default=0.005, ge=0, lt=1)
    max_latency_shift: Number | None = Field(default=0.12, ge=0, lt=1)
    latency_tolerance_seconds: Seconds = Field(default=0.001, ge=0)
    max_prediction_drift: Number | None = Field(default=0.25, ge=0)
    max_label_loss: Number | None = Field(default=0.05, ge=0)
    max_business_loss: Number = Field(default=0.02, ge=0)
    min_outcomes: Whole = Field(default=100, ge=20)
    optional: frozenset[CheckName] = frozenset()
    failure_limit: Whole = Field(default=0, ge=0)
    inconclusive_limit: Whole = Field(default=5, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _switched_off(cls, given: Any) -> Any:
        """``off`` is None, which no compiled pipeline can pass on; YAML reads it as false where it is not quoted."""
        if not isinstance(given, dict):
            return given
        off = {key for key, value in given.items() if value is False or value == "off"}
        return {key: None if key in off and key.startswith("max_") else value for key, value in given.items()}

    @field_serializer("optional")
    def _in_order(self, optional: frozenset[str]) -> list[str]:
        return sorted(optional)
