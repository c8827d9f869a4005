"""Where evidence comes from: its settings, and where the versions are."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, model_validator

from kubeline.errors import PlatformError
from kubeline.http.exchange import LOOPBACK
from kubeline.numbers import Number, Seconds

Snapshot = Mapping[str, Any]
"""Where a window begins; JSON-able, so that a rollout that was killed goes on with it."""


class MetricsError(PlatformError):
    """There is no evidence: the source is broken, silent or too old. Never the same as "nothing happened"."""


@dataclass(frozen=True)
class Addresses:
    """Where the two versions are at this moment.

    Attributes:
        pages: URLs of the metrics pages of all ready pods of both versions, for two scrapes.
        unready: URLs of pods that are not ready now and may have been, so that they are not taken for new ones later.
        processes: which process answers at a URL, such as the pod and how often it has restarted: an address can go
            from one to another. A URL that is not named stands for itself.
        namespace: of the InferenceService.
        canary: name by which the mesh or gateway counts the canary: the Knative revision, Istio's destination
            workload, Envoy's cluster, or the id of Vertex AI's deployed model.
        stable: the same of the stable version.
    """

    pages: tuple[str, ...] = ()
    unready: tuple[str, ...] = ()
    processes: Mapping[str, str] = field(default_factory=dict)
    namespace: str = ""
    canary: str = ""
    stable: str = ""


class BusinessQuery(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """What the predictions are for, as Prometheus has it of each version, such as revenue by request.

    Attributes:
        query: PromQL that gives one number; it must name the version by ``$version`` or ``$name``, and may name
            ``$model``, ``$namespace`` and ``$interval``, the length of an interval. A dollar sign is ``$$``.
        name: for people.
        interval_seconds: the step's time is divided into intervals so long, each of which is one sample; some times as
            long as between two scrapes.
        higher_is_better: whether more of it is better.
    """

    query: str = Field(min_length=1)
    name: str = Field(default="the business metric", min_length=1)
    interval_seconds: Seconds = Field(default=60.0, ge=1)
    higher_is_better: bool = True


class MetricsSpec(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Where the evidence comes from.

    Attributes:
        source: ``scrape`` reads the model server's metrics pages twice; ``prometheus`` asks its API; on Vertex AI
            ``cloud-monitoring`` asks that of Google.
        url: of Prometheus, such as ``http://prometheus.monitoring:9090``.
        queries: whose metrics Prometheus has: a table of queries.yaml.
        override: replaces entries of that table.
        token_file: file of a bearer token for Prometheus or the pages, read anew for each request. It is sent over
            https only.
        token_env: environment variable of one.
        ca_file: certificates that the source's certificate is checked with, instead of the public ones.
        error_codes: regular expression of the status codes that are the server's fault.
        stale_seconds: age from which the newest sample is too old to judge by.
        timeout_seconds: for each request, to its last byte; one analysis may take six times as long.
        business: a business metric that Prometheus has.
    """

    source: Literal["scrape", "prometheus", "cloud-monitoring"] = "scrape"
    url: str = ""
    queries: Literal["kubeline", "knative", "knative-opencensus", "istio", "envoy-gateway"] = "kubeline"
    override: Mapping[str, str | Number] = Field(default_factory=dict)
    token_file: str = ""
    token_env: str = ""
    ca_file: str = ""
    error_codes: str = "5.."
    stale_seconds: Seconds = Field(default=60.0, gt=0)
    timeout_seconds: Seconds = Field(default=10.0, gt=0)
    business: BusinessQuery | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.source == "prometheus" and not self.url.startswith(("http://", "https://")):
            raise ValueError(f"the source prometheus needs an url of http:// or https://, but got {self.url!r}")
        if self.business and self.source != "prometheus":
            raise ValueError("metrics.business is a query of Prometheus; set metrics.source to prometheus, and its url")
        if urlsplit(self.url).username is not None:
            raise ValueError("the url holds a user or a password, which is stored; give token_file or token_env")
        if self.token_file and self.token_env:
            raise ValueError("give token_file or token_env, not both")
        secret = self.token_file or self.token_env
        if secret and self.url.startswith("http://") and urlsplit(self.url).hostname not in LOOPBACK:
            raise ValueError("a token is sent over https:// only, but the url begins with http://")
        try:
            re.compile(self.error_codes)
        except re.error as error:
            raise ValueError(f"error_codes is no regular expression ({error})") from error
        return self
