"""Sources of evidence about a canary: Prometheus, Cloud Monitoring, or two scrapes of the metrics pages."""

from collections.abc import Callable

from kubeline.rollout.analysis.metrics.guarded import MetricsSource
from kubeline.rollout.analysis.metrics.source import Addresses, MetricsError, MetricsSpec, Snapshot

__all__ = ["Addresses", "MetricsError", "MetricsSource", "MetricsSpec", "Snapshot", "open_source"]


def open_source(
    spec: MetricsSpec, model: str, stable_version: str, canary_version: str, addresses: Addresses
) -> MetricsSource:
    """A source for two versions of a model.

    Args:
        spec: settings.
        model: name in the metrics' label ``model``.
        stable_version: its label ``version``; empty when there is no stable version.
        canary_version: the same of the canary.
        addresses: where the versions are now.

    Raises:
        UserError: when the settings do not fit together.
    """
    from kubeline.rollout.analysis.metrics.cloud_monitoring import CloudMonitoring
    from kubeline.rollout.analysis.metrics.prometheus import Prometheus
    from kubeline.rollout.analysis.metrics.scrape import Scrape

    kinds: dict[str, Callable[..., Prometheus | CloudMonitoring | Scrape]] = {
        "prometheus": Prometheus,
        "cloud-monitoring": CloudMonitoring,
        "scrape": Scrape,
    }
    return MetricsSource(kinds[spec.source](spec, model, stable_version, canary_version, addresses))
