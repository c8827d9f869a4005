"""Answers the machine's questions: the smoke test, the shadow comparison, the metrics and the judge."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from kubeline.artifacts import finite
from kubeline.errors import UserError
from kubeline.kubernetes.cluster import Cluster
from kubeline.kubernetes.resources import POD, Manifest
from kubeline.model_package import ModelPackage
from kubeline.rollout.actions import Question
from kubeline.rollout.analysis.judge import judge
from kubeline.rollout.analysis.metrics import MetricsError, Source, open_source
from kubeline.rollout.analysis.pages import addresses
from kubeline.rollout.machine import looks
from kubeline.rollout.probes import proxied, smoke
from kubeline.rollout.routers import Observed
from kubeline.rollout.spec import Plan
from kubeline.rollout.status import Record

_VERSION_DIGITS = 12  # of the package digest, as the server's metrics have it


@dataclass(frozen=True)
class WorldAnswers:
    """The real world's answers.

    Attributes:
        cluster: for the addresses of the pods.
        plan: of the rollout.
        package: the candidate's; None where only a request of a person is followed.
        gateway: of a cluster that is asked from outside: where requests go in Knative mode, with the candidate's own
            address as their Host header. In Standard mode they go through the API server.
    """

    cluster: Cluster
    plan: Plan
    package: ModelPackage | None
    gateway: str = ""

    def ask(self, question: Question, record: Record, observed: Observed, service: Manifest) -> Mapping[str, Any]:
        """See :func:`kubeline.rollout.machine.answered`."""
        asked: Mapping[str, Callable[[Record, Observed, Manifest], Mapping[str, Any]]] = {
            "smoke": self._smoke,
            "shadow": self._shadow,
            "snapshot": self._snapshot,
            "evidence": self._evidence,
            "arrivals": self._arrivals,
        }
        return asked[question](record, observed, service)

    def _smoke(self, record: Record, observed: Observed, service: Manifest) -> Mapping[str, Any]:
        client = self._client(record, observed, service, self.plan.smoke.timeout_seconds)
        return finite(smoke.try_candidate(client, self._package(record), self.plan.smoke))

    def _shadow(self, record: Record, observed: Observed, service: Manifest) -> Mapping[str, Any]:
        from kubeline.rollout.probes.shadow import compare

        client = self._client(record, observed, service, self.plan.smoke.timeout_seconds)
        return finite(compare(client, self._package(record), self.plan.shadow))

    def _client(self, record: Record, observed: Observed, service: Manifest, timeout: float) -> Any:
        if self.gateway and record.mode == "standard":  # whose gateway has no route to a candidate
            namespace, protocol = record.namespace, smoke.protocol_of(record.candidate)
            return proxied.connect(self.cluster, namespace, observed.revision, record.name, protocol, timeout)
        url = observed.candidate_url or str((service.get("status") or {}).get("url", ""))
        protocol = smoke.protocol_of(record.candidate)
        return smoke.connect(url, self.gateway, record.name, protocol, timeout, self.plan.smoke)

    def _package(self, record: Record) -> ModelPackage:
        if self.package is None or self.package.digest != record.digest:
            raise UserError(
                f"the model package {record.digest[:12]} is needed to test the candidate; run the step `rollout` again "
                "with it"
            )
        return self.package

    def _snapshot(self, record: Record, observed: Observed, service: Manifest) -> Mapping[str, Any]:
        del service
        try:
            source = self._source(record, observed)
            source.check()
            return dict(source.start())
        except MetricsError as error:
            return {"error": str(error)}

    def _evidence(self, record: Record, observed: Observed, service: Manifest) -> Mapping[str, Any]:
        """One look."""
        del service
        look = {"step": record.step, "share": observed.share}
        try:
            evidence = self._source(record, observed).evidence(record.snapshot or {})
        except MetricsError as error:
            return {**look, "outcome": "error", "sentence": str(error)}
        if evidence.stable is None and record.stable is not None:
            why = "The stable model names no package digest, so which metrics are its own is not known."
            evidence = replace(evidence, incomparable=why)
        if evidence.canary.requests < self.plan.rules.min_requests:
            told = f"the candidate has answered {evidence.canary.requests} requests of {self.plan.rules.min_requests}"
            return {**look, "outcome": "waiting", "sentence": told}
        number = len(record.looks) + 1
        judgement = judge(evidence, self.plan.rules, min(number, looks(self.plan)), looks(self.plan))
        return finite(
            {
                **look,
                "outcome": judgement.outcome.value,
                "sentence": judgement.sentence,
                "level": judgement.level,
                "findings": [asdict(finding) for finding in judgement.findings],
                "evidence": asdict(evidence),
            }
        )

    def _arrivals(self, record: Record, observed: Observed, service: Manifest) -> Mapping[str, Any]:
        """Requests that each version's pods have counted; only the pods themselves tell of the last second."""
        del service
        if self.plan.metrics is None or self.plan.metrics.source != "scrape":
            return {"error": "the plan reads no pods' metrics pages"}
        try:
            pages = self._source(record, observed).start()["pages"].values()
        except MetricsError as error:
            return {"error": str(error)}
        versions = {"candidate": record.digest[:_VERSION_DIGITS], "stable": record.stable_digest[:_VERSION_DIGITS]}
        counts = {
            who: [page.get(version, {}).get("requests", {}) for page in pages] for who, version in versions.items()
        }
        return {who: sum(sum(of_page.values()) for of_page in of_side) for who, of_side in counts.items()}

    def _source(self, record: Record, observed: Observed) -> Source:
        if self.plan.metrics is None:
            raise UserError("the plan names no source of metrics, but a step is to be judged; give metrics")
        pods = self._pods(record) if self.plan.metrics.source == "scrape" else []
        where = addresses(pods, record.namespace, observed.revision, record.stable_revision)
        by_name = self.plan.metrics.queries != "kubeline"  # these tell a version by what runs it
        stable = record.stable_digest[:_VERSION_DIGITS] or (record.stable_revision if by_name else "")
        return open_source(self.plan.metrics, record.name, stable, record.digest[:_VERSION_DIGITS], where)

    def _pods(self, record: Record) -> list[Manifest]:
        labels = f"serving.kserve.io/inferenceservice={record.name}"
        return self.cluster.attempt(lambda: self.cluster.find(record.namespace, POD, labels), "the pods")
