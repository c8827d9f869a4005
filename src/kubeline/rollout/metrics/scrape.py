"""Evidence without Prometheus: the model server's metrics pages, read when the window begins and again at each look."""

import time
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from kubeline.rollout.judge import Evidence
from kubeline.rollout.metrics.counts import KINDS, Counts, Kind, Sample, counted, sides, together
from kubeline.rollout.metrics.http import get, pool
from kubeline.rollout.metrics.source import Addresses, MetricsError, MetricsSpec, Snapshot

_NAMES: dict[str, Kind] = {
    "kubeline_requests_total": "requests",
    "kubeline_request_duration_seconds_bucket": "latency",
    "kubeline_predictions_total": "labels",
    "kubeline_probability_bucket": "probabilities",
    "kubeline_prediction_bucket": "numbers",
}
_AT_ONCE = 8


class Scrape:
    """Sums the pages of all pods of both versions.

    A page whose counters went back is of a restarted process, and counts in full; so does a page that is new. What a
    pod counted between the start and its end is lost with its page. A page that is listed but cannot be read is an
    error: without it the sums would be of other pods than before.
    """

    def __init__(
        self, spec: MetricsSpec, model: str, stable_version: str, canary_version: str, addresses: Addresses
    ) -> None:
        self._spec = spec
        self._model = model
        self._stable, self._canary = stable_version, canary_version
        self._pages = addresses.pages
        self._pool = pool(spec)

    def start(self) -> Snapshot:
        """What the pages count now, without zeros: about 1 kB for each pod."""
        pages = {
            url: {version: _without_zeros(counts) for version, counts in page.items()}
            for url, page in self._read().items()
        }
        return {"time": time.time(), "pages": pages}

    def evidence(self, since: Snapshot) -> Evidence:
        """Growth of the counters since then."""
        grown: dict[str, list[Counts]] = defaultdict(list)
        for url, page in self._read().items():
            for version, counts in page.items():
                grown[version].append(_growth(counts, since["pages"].get(url, {}).get(version, {})))
        for version in filter(None, (self._canary, self._stable)):
            if not any("requests" in counts for counts in grown[version]):
                raise MetricsError(
                    f"None of {len(self._pages)} metrics pages counts requests to version {version} of model "
                    f"{self._model}; check that its pods run and serve that package."
                )
        canary = together(grown[self._canary])
        stable = together(grown[self._stable]) if self._stable else None
        both = sides(canary, stable, self._spec.error_codes, 1.0)
        return Evidence(*both, seconds=time.time() - since["time"])

    def _read(self) -> dict[str, dict[str, Counts]]:
        if not self._pages:
            raise MetricsError("There is no metrics page to read: no pod of the InferenceService has an address.")
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            return dict(zip(self._pages, threads.map(self._page, self._pages), strict=True))

    def _page(self, url: str) -> dict[str, Counts]:
        """Counts of one page by version."""
        from prometheus_client.parser import text_string_to_metric_families

        status, body = get(self._pool, url)
        if status != 200:
            raise MetricsError(f"The metrics page {url} answered with status {status}, but 200 is expected.")
        samples: dict[str, dict[Kind, list[Sample]]] = defaultdict(lambda: {kind: [] for kind in KINDS})
        try:
            for family in text_string_to_metric_families(body.decode()):
                for sample in family.samples:
                    kind = _NAMES.get(sample.name)
                    if kind and sample.labels.get("model") == self._model:
                        samples[sample.labels.get("version", "")][kind].append((sample.labels, sample.value))
        except ValueError as error:
            raise MetricsError(
                f"The page {url} is not in Prometheus' text format ({error}); check its path."
            ) from error
        return {version: counted(of_version, "code") for version, of_version in samples.items()}


def _without_zeros(counts: Counts) -> Counts:
    return {kind: {key: n for key, n in of_kind.items() if n} for kind, of_kind in counts.items()}


def _growth(now: Counts, before: Mapping[str, Mapping[str, float]]) -> Counts:
    """What was counted since; everything, when any counter went back."""
    pairs = [(now.get(kind, {}).get(key, 0.0), n) for kind, of_kind in before.items() for key, n in of_kind.items()]
    if any(current < earlier for current, earlier in pairs):
        before = {}
    return {
        kind: {key: n - before.get(kind, {}).get(key, 0.0) for key, n in of_kind.items()}
        for kind, of_kind in now.items()
    }
