"""Probes of a cluster: its candidate, and its metrics."""

from contextlib import closing
from dataclasses import asdict, dataclass, replace
from typing import Any

from kubeline.artifacts import finite
from kubeline.errors import UserError
from kubeline.kubernetes.resources import POD, Manifest
from kubeline.model_client.protocols import Client, http_client
from kubeline.model_package import ModelPackage, version_of
from kubeline.rollout.actions import Context
from kubeline.rollout.analysis.judge import Evidence, Judgement, judge
from kubeline.rollout.analysis.metrics import MetricsError, MetricsSource, open_source
from kubeline.rollout.analysis.metrics.counts import Counts
from kubeline.rollout.analysis.pages import addresses
from kubeline.rollout.machine import max_analyses
from kubeline.rollout.probes import smoke
from kubeline.rollout.probes.transports import ProxyTransport, RoutedTransport
from kubeline.rollout.spec import RolloutSpec
from kubeline.rollout.status import (
    Analysis,
    AnalysisOutcome,
    DeploymentMode,
    RequestCounts,
    RolloutStatus,
    ShadowResult,
    SmokeTestResult,
)
from kubeline.serving_platform.interface import ServingPlatform


@dataclass(frozen=True)
class ClusterProbes:
    """See :class:`kubeline.rollout.probes.Probes`.

    Attributes:
        cluster: for the addresses of the pods.
        spec: of the rollout.
        package: the candidate's; None where only an operator's request is followed.
        gateway: of a cluster that is asked from outside: where requests go in Knative mode, with the candidate's own
            address as their Host header. In Standard mode they go through the API server.
    """

    cluster: ServingPlatform
    spec: RolloutSpec
    package: ModelPackage | None
    gateway: str = ""

    def smoke_test(self, now: Context) -> SmokeTestResult:
        """See :class:`kubeline.rollout.probes.Probes`."""
        with closing(self._client(now)) as client:
            return smoke.run(client, self._package(now.status), self.spec.smoke)

    def compare_shadow(self, now: Context) -> ShadowResult:
        """See :class:`kubeline.rollout.probes.Probes`."""
        from kubeline.rollout.probes.shadow import compare

        with closing(self._client(now)) as client:
            return compare(client, self._package(now.status), self.spec, version_of(now.status.stable_digest))

    def snapshot_metrics(self, now: Context) -> dict[str, Any]:
        """See :class:`kubeline.rollout.probes.Probes`."""
        source = self._source(now)
        source.check()
        return dict(source.start())

    def analyze(self, now: Context) -> Analysis:
        """See :class:`kubeline.rollout.probes.Probes`."""
        status, rules = now.status, self.spec.rules
        index, share = status.step.index, now.observed.share
        try:
            evidence = self._source(now).evidence(status.step.metrics or {})
        except MetricsError as error:
            return Analysis(index, share, AnalysisOutcome.ERROR, str(error))
        if evidence.stable is None and status.stable is not None:
            why = "The stable model names no package digest, so which metrics are its own is not known."
            evidence = replace(evidence, incomparable=why)
        if evidence.canary.requests < rules.min_requests:
            sentence = f"the candidate has answered {evidence.canary.requests} requests of {rules.min_requests}"
            return Analysis(index, share, AnalysisOutcome.TOO_FEW_REQUESTS, sentence)
        evidence = self._with_outcomes(now, evidence)
        most = max_analyses(self.spec)
        judgement: Judgement = judge(evidence, rules, min(len(status.analyses) + 1, most), most)
        return Analysis(
            step=index,
            share=share,
            outcome=AnalysisOutcome(judgement.outcome.value),
            sentence=judgement.sentence,
            level=judgement.level,
            findings=tuple(finite(asdict(finding)) for finding in judgement.findings),
            evidence=finite(asdict(evidence)),
        )

    def _with_outcomes(self, now: Context, evidence: Evidence) -> Evidence:
        """The evidence with the labels and business values that have come since the step began."""
        if self.spec.outcomes is None:
            return evidence
        from kubeline.rollout.probes.outcomes import Outcomes

        status = now.status
        outcomes = Outcomes(self.spec.outcomes, self._package(status).signature)
        versions = (version_of(status.candidate.digest), version_of(status.stable_digest))
        labels, business = outcomes.compare(*versions, status.step.observed_since)
        return replace(evidence, labels=labels, business=business or evidence.business)

    def count_requests(self, now: Context) -> RequestCounts:
        """See :class:`kubeline.rollout.probes.Probes`."""
        if self.spec.metrics is None or self.spec.metrics.source != "scrape":
            return RequestCounts(error="the plan reads no pods' metrics pages")
        try:
            pages = self._source(now).start()["pages"].values()
        except MetricsError as error:
            return RequestCounts(error=str(error))
        candidate, stable = (version_of(digest) for digest in (now.status.candidate.digest, now.status.stable_digest))
        return RequestCounts(_requests(pages, candidate), _requests(pages, stable))

    def _client(self, now: Context) -> Client:
        status, seconds = now.status, self.spec.smoke.timeout_seconds
        protocol = smoke.protocol_of(status.candidate.predictor)
        if status.mode is DeploymentMode.VERTEX:
            return http_client(
                protocol,
                status.name,
                ProxyTransport(self.cluster, status.namespace, now.observed.candidate_url, seconds),
            )
        if self.gateway and status.mode is not DeploymentMode.KNATIVE:  # no other gateway has a route to a candidate
            proxy = ProxyTransport(self.cluster, status.namespace, now.observed.revision, seconds)
            return http_client(protocol, status.name, proxy)
        url = now.observed.candidate_url or str(((now.service or {}).get("status") or {}).get("url", ""))
        route = RoutedTransport(url, self.gateway, seconds, self.spec.smoke)
        return http_client(protocol, status.name, route)

    def _package(self, status: RolloutStatus) -> ModelPackage:
        digest = status.candidate.digest
        if self.package is None or self.package.digest != digest:
            raise UserError(
                f"the model package {digest[:12]} is needed to test the candidate; run the step `rollout` again with it"
            )
        return self.package

    def _source(self, now: Context) -> MetricsSource:
        metrics, status = self.spec.metrics, now.status
        if metrics is None:
            raise UserError("the plan names no source of metrics, but a step is to be judged; give metrics")
        stable = status.versions.before
        pods = self._pods(status) if metrics.source == "scrape" else []
        where = addresses(pods, status.namespace, now.observed.revision, stable.revision)
        by_name = (
            metrics.queries != "kubeline" or metrics.source == "cloud-monitoring"
        )  # these know a version by what runs it
        version = version_of(stable.digest) or (stable.revision if by_name else "")
        return open_source(metrics, status.name, version, version_of(status.candidate.digest), where)

    def _pods(self, status: RolloutStatus) -> list[Manifest]:
        labels = f"serving.kserve.io/inferenceservice={status.name}"
        return self.cluster.attempt(lambda: self.cluster.find(status.namespace, POD, labels), "the pods")


def _requests(pages: "list[dict[str, Counts]]", version: str) -> float:
    return sum(sum(page.get(version, {}).get("requests", {}).values()) for page in pages)
