"""The spec of a rollout: the strategy, its steps, and what follows when a step does not pass."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from kubeline.errors import UserError
from kubeline.numbers import Number, Seconds, Whole
from kubeline.options import whole_numbers
from kubeline.rollout.analysis.judge import Rules
from kubeline.rollout.analysis.metrics import MetricsSpec
from kubeline.yaml_files import read_mapping

Strategy = Literal["canary", "ab", "blue-green", "shadow"]
LossName = Literal["log_loss", "error", "squared_error", "absolute_error"]

# How a rollout is driven, or by whom: with another of these it is the same rollout, and continues where it is.
_NOT_IDENTIFYING = frozenset({"on_cancel", "poll_seconds", "lease_seconds", "outage_seconds", "rollback"})
_ROLLBACK: dict[str, Any] = {
    "strategy": "blue-green",
    "metrics": None,
    "smoke": {"rows": 0},
}
_ROLLBACK_SECONDS = {"verify_seconds": 2.0, "drain_seconds": 10.0, "poll_seconds": 0.5}  # at most


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SmokeTestSpec(_Part):
    """The test of the candidate before it has any traffic.

    Attributes:
        rows: golden rows asked, at most; 0 skips the test.
        tolerance: largest difference of a probability, or of a prediction in standard deviations of the target.
        max_latency_ms: 95th percentile of single rows; 0 does not measure.
        timeout_seconds: for each request, to the last byte of its answer.
        token_file: file of a bearer token that the candidate's address asks for, read anew for each request. It is sent
            over https only.
        token_env: environment variable of one.
        ca_file: certificates that its certificate is checked with, instead of the public ones.
        attempts: requests that may fail for want of a connection before the test is given up.
    """

    rows: Whole = Field(default=100, ge=0)
    tolerance: Number = Field(default=1e-4, ge=0)
    max_latency_ms: Number = Field(default=1000.0, ge=0)
    timeout_seconds: Seconds = Field(default=10.0, gt=0)
    attempts: Whole = Field(default=5, ge=1)
    token_file: str = ""
    token_env: str = ""
    ca_file: str = ""


class ShadowSpec(_Part):
    """Logged requests sent to the candidate, whose answers are compared with the logged ones.

    Attributes:
        payload_log: URI of the payload log.
        share: share of the logged rows.
        rows: rows at most.
        tolerance: difference up to which two answers are the same; as above.
        min_agreement: share of rows that must be answered alike; 0 only reports.
    """

    payload_log: str = ""
    share: Number = Field(default=1.0, gt=0, le=1)
    rows: Whole = Field(default=10_000, ge=1)
    tolerance: Number = Field(default=1e-4, ge=0)
    min_agreement: Number = Field(default=0.0, ge=0, le=1)


class OutcomesSpec(_Part):
    """What became of the requests of a step: labels that come during the rollout, and what the predictions are for.

    Attributes:
        source: the table of outcomes: `request.id`, the label and, where requests have several rows, `request.row`. A
            path, a folder or an address of an object store; Parquet, CSV or JSON lines.
        payload_log: URI of the payload log that both versions write; of the strategy ``shadow`` it is the one there.
        label: column of the label; empty: the target of the model.
        metric: what is averaged over the rows, smaller is better: ``log_loss`` or ``error`` (the share of wrong
            classes); of numbers ``squared_error`` or ``absolute_error``. Empty: the first of them.
        value: column of a business metric, such as revenue; empty: there is none.
        higher_is_better: whether more of that is better.
    """

    source: str = Field(min_length=1)
    payload_log: str = ""
    label: str = ""
    metric: LossName | Literal[""] = ""
    value: str = ""
    higher_is_better: bool = True

    @field_validator("source", "payload_log")
    @classmethod
    def _without_credentials(cls, address: str) -> str:
        if urlsplit(address).username is not None:
            raise ValueError("the address holds a user or a password, which is stored; leave them to the environment")
        return address


class RolloutSpec(_Part):
    """What a user calls the plan of a rollout; every field has a default.

    Attributes:
        strategy: ``canary`` raises the share step by step; ``ab`` keeps one share for a time and reports;
            ``blue-green`` goes from 0 to 100 after the smoke test; ``shadow`` gives the candidate no users' traffic.
        steps: per cent of the traffic at each step. A last 100 is the promotion, which follows anyhow.
        bake_seconds: how long each step is observed before it is analyzed, and between two analyses of it.
        max_bake_seconds: how long a step is observed at most: with too few requests, no metrics or no decision.
        attempt: raise it to try a rollout again that was rolled back.
        on_inconclusive: what follows when a step stays inconclusive.
        on_error: what follows when the metrics cannot be read for so long, or anything else goes wrong.
        on_cancel: what follows when the pipeline is cancelled (SIGTERM).
        promote: whether a passed candidate is promoted. Empty: yes, except for ``ab`` and ``shadow``.
        approval: an operator must promote.
        approval_seconds: how long that is waited for; then the rollout is held.
        bootstrap: how a first deployment goes: ``hidden`` is visible inside the cluster only until its smoke test
            passed; ``direct`` is not hidden; ``refuse`` creates nothing.
        ready_seconds: how long pods may take to be ready.
        settle_seconds: how long a change of traffic may take to be observed.
        drain_seconds: how long pods that get no traffic any more stay, when no request arrives there. With many at
            the other version they go earlier: the gateway has followed its route then.
        outage_seconds: how long whatever goes wrong, such as a cluster that refuses or does not answer, is tried again;
            then `on_error` says what follows.
        verify_seconds: how long the routing is observed after the promotion.
        poll_seconds: between two observations of the cluster.
        lease_seconds: after this time without a renewal another rollout may take over.
        rollback: it brings a model back that was promoted before; set by the command `kubeline rollout rollback`.
        smoke: the smoke test.
        shadow: for the strategy ``shadow``.
        metrics: where the evidence comes from; ``off`` judges nothing, which only blue-green may.
        outcomes: labels and business values that come during the rollout, which the judge takes into account.
        rules: of the judge; `rules.min_requests` are the samples without which nothing passes.
    """

    strategy: Strategy = "canary"
    steps: tuple[Whole, ...] = (5, 25, 50, 100)
    bake_seconds: Seconds = Field(default=300.0, ge=0)
    max_bake_seconds: Seconds = Field(default=3600.0, ge=0)
    attempt: Whole = Field(default=1, ge=1)
    on_inconclusive: Literal["hold", "rollback"] = "hold"
    on_error: Literal["hold", "rollback"] = "rollback"
    on_cancel: Literal["hold", "abort"] = "hold"
    promote: bool | None = None
    approval: bool = False
    approval_seconds: Seconds = Field(default=86_400.0, ge=0)
    bootstrap: Literal["hidden", "direct", "refuse"] = "hidden"
    ready_seconds: Seconds = Field(default=900.0, gt=0)
    settle_seconds: Seconds = Field(default=120.0, gt=0)
    drain_seconds: Seconds = Field(default=10.0, ge=0)
    outage_seconds: Seconds = Field(default=60.0, ge=0)
    verify_seconds: Seconds = Field(default=10.0, ge=0)
    poll_seconds: Seconds = Field(default=2.0, gt=0)
    lease_seconds: Seconds = Field(default=120.0, gt=0)
    rollback: bool = False
    smoke: SmokeTestSpec = SmokeTestSpec()
    shadow: ShadowSpec = ShadowSpec()
    metrics: MetricsSpec | None = Field(default_factory=lambda: MetricsSpec.model_validate({}))
    outcomes: OutcomesSpec | None = None
    rules: Rules = Field(default_factory=lambda: Rules.model_validate({}))

    @field_validator("metrics", mode="before")
    @classmethod
    def _switched_off(cls, metrics: Any) -> Any:
        """``off`` is None, which no compiled pipeline can pass on; YAML reads it as false where it is not quoted."""
        return None if metrics is False or metrics == "off" else metrics

    @field_validator("steps")
    @classmethod
    def _rising(cls, steps: tuple[int, ...]) -> tuple[int, ...]:
        if list(steps) != sorted(set(steps)) or not all(0 < step <= 100 for step in steps):
            raise ValueError(f"must rise, from at least 1 to at most 100, but are {list(steps)}")
        return steps

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.strategy == "ab" and len(self.shares) != 1:
            raise ValueError(f"the strategy ab keeps one share, such as steps: [50], but got {list(self.steps)}")
        if self.strategy == "canary" and not self.shares:
            raise ValueError("the strategy canary needs a step below 100; use blue-green to go to 100 at once")
        if self.strategy in {"canary", "ab"} and self.metrics is None:
            raise ValueError(f"the strategy {self.strategy} judges by metrics; name their source, or use blue-green")
        if self.strategy == "shadow" and not self.shadow.payload_log:
            raise ValueError("the strategy shadow needs shadow.payload_log")
        if self.outcomes is not None:
            _check_outcomes(self.strategy, self.outcomes, self.rules)
        if self.metrics is not None and self.metrics.business is not None:
            _check_business(self.strategy, self.outcomes)
        if self.max_bake_seconds < self.bake_seconds:
            raise ValueError(f"max_bake_seconds {self.max_bake_seconds:g} is below bake_seconds {self.bake_seconds:g}")
        return self

    @property
    def shares(self) -> tuple[int, ...]:
        """The steps before the promotion."""
        if self.strategy in {"blue-green", "shadow"}:
            return ()
        return tuple(step for step in self.steps if step < 100)

    @property
    def promotes(self) -> bool:
        """Whether a passed candidate is promoted."""
        return self.strategy in {"canary", "blue-green"} if self.promote is None else self.promote

    @classmethod
    def read(cls, given: Mapping[str, Any] | str | Path | None = None, **settings: Any) -> Self:
        """The spec of a mapping, or of a YAML file of one, with `settings` over it.

        Raises:
            UserError: when a field is unknown or its value not allowed.
        """
        if isinstance(given, (str, Path)):
            given = read_mapping(given, "rollout plan", "its fields, see docs/rollout.md") if str(given) else {}
        values = {**(given or {}), **settings}
        if "rollback" in values:
            raise UserError("the rollout plan is not valid: rollback: use the command `kubeline rollout rollback`")
        if values.get("strategy") == "ab":
            values.setdefault("steps", [50])
        return cls._validated(values)

    @classmethod
    def for_rollback(cls, attempt: int, before: "RolloutSpec") -> Self:
        """The spec that brings a model back: blue-green, without a smoke test, because its package is not at hand.

        Args:
            attempt: another one for each rollback.
            before: of the last rollout, whose times hold where they are shorter than those of a rollback.
        """
        seconds = {name: min(most, getattr(before, name)) for name, most in _ROLLBACK_SECONDS.items()}
        return cls._validated({**_ROLLBACK, **seconds, "attempt": attempt, "rollback": True})

    @property
    def identity(self) -> dict[str, Any]:
        """The values of which two are the same in one and the same rollout."""
        return self.model_dump(mode="json", exclude=set(_NOT_IDENTIFYING))

    @classmethod
    def _validated(cls, values: Mapping[str, Any]) -> Self:
        try:
            return cls.model_validate(whole_numbers(values))  # KFP passes the numbers of a dict as floats
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "plan"
            raise UserError(
                f"the rollout plan is not valid: {where}: {first['msg'].removeprefix('Value error, ')}"
            ) from error


def _check_outcomes(strategy: Strategy, outcomes: OutcomesSpec, rules: Rules) -> None:
    if strategy == "blue-green":
        raise ValueError("the strategy blue-green has no step at which outcomes could count; leave outcomes out")
    if strategy == "shadow" and outcomes.value:
        raise ValueError("no user sees an answer of the strategy shadow, which so has no outcomes.value")
    if strategy != "shadow" and not outcomes.payload_log:
        raise ValueError("outcomes need a payload_log that says which version has answered each request")
    if rules.max_label_loss is None and not outcomes.value:
        raise ValueError("outcomes are given, but rules.max_label_loss is off and outcomes.value is empty")


def _check_business(strategy: Strategy, outcomes: OutcomesSpec | None) -> None:
    if strategy in {"blue-green", "shadow"}:
        raise ValueError(f"the strategy {strategy} has no step at which metrics.business could count; leave it out")
    if outcomes is not None and outcomes.value:
        raise ValueError("outcomes.value and metrics.business are both the business metric; leave one of them out")


def fingerprint(*parts: Any) -> str:
    """SHA-256 of JSON values, independent of the order of keys."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()
