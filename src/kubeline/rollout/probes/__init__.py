"""What a rollout measures beside the cluster's objects: smoke test, shadow comparison, metrics."""

from typing import Any, Protocol

from kubeline.rollout.actions import Context
from kubeline.rollout.status import Analysis, RequestCounts, ShadowResult, SmokeTestResult


class Probes(Protocol):
    """The questions of the state machine; what follows from each result: :mod:`kubeline.rollout.results`."""

    def smoke_test(self, now: Context) -> SmokeTestResult:
        """Ask the candidate alone for the golden rows of its package.

        Raises:
            UserError: when that is not possible until an operator changes something; here and below.
        """
        ...

    def compare_shadow(self, now: Context) -> ShadowResult:
        """Ask the candidate alone what users asked the stable model."""
        ...

    def snapshot_metrics(self, now: Context) -> dict[str, Any]:
        """The metrics at the beginning of a step, as :meth:`analyze` needs them.

        Raises:
            MetricsError: when they cannot be read.
        """
        ...

    def analyze(self, now: Context) -> Analysis:
        """Judge the step by its metrics since the snapshot; an analysis whose metrics cannot be read is an error."""
        ...

    def count_requests(self, now: Context) -> RequestCounts:
        """Requests that each model's pods have counted; only the pods themselves know of the last second."""
        ...
