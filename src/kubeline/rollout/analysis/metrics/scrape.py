"""Evidence without Prometheus: the metrics pages of model servers, read when the window begins and at each analysis."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from kubeline.http.exchange import ExchangeError
from kubeline.rollout.analysis.judge import Evidence
from kubeline.rollout.analysis.metrics.counts import KINDS, Counts, SeriesKind, SeriesSample, counted, together
from kubeline.rollout.analysis.metrics.http import Deadline, get
from kubeline.rollout.analysis.metrics.sides import evidence_of
from kubeline.rollout.analysis.metrics.source import Addresses, MetricsError, MetricsSpec, Snapshot

T = TypeVar("T")

_NAMES: dict[str, SeriesKind] = {
    "kubeline_requests_total": "requests",
    "kubeline_request_duration_seconds_bucket": "latency",
    "kubeline_predictions_total": "labels",
    "kubeline_probability_bucket": "probabilities",
    "kubeline_prediction_bucket": "numbers",
    "kubeline_request_rows_bucket": "sizes",
}
_AT_ONCE = 8
_MAX_BYTES = 8 * 2**20  # of a page: ten times what a model of thousands of columns and classes has
_MAX_SAMPLES = 50_000  # of a page, of those that count
_LONGEST_LINE = 16_384  # characters; the time that the parser takes for one of quotes grows with their square

PageCounts = dict[str, Counts]
"""What a page counts, by version."""


class Scrape:
    """Sums the pages of all pods of both versions.

    A page whose counters went back is of a restarted process, and counts in full; so does that of a pod that is new.
    What a pod counted between the start and its end is lost with its page. A page that is listed but cannot be read is
    an error: without it the sums would be of other pods than before.
    """

    def __init__(
        self, spec: MetricsSpec, model: str, stable_version: str, canary_version: str, addresses: Addresses
    ) -> None:
        self._spec = spec
        self._model = model
        self._stable, self._canary = stable_version, canary_version
        self._addresses = addresses

    def check(self) -> None:
        """Nothing: the pages are read where the window begins."""

    def start(self) -> Snapshot:
        """What the pages count now, without zeros: some kB for each pod.

        A pod that is not ready may have been, and be again. So its page is read too, and where that does not work the
        pod is remembered as one whose beginning is not known.
        """
        pages = self._read()
        unread = []
        for url, page in self._each(self._addresses.unready, self._page_or_none):
            if page is None:
                unread.append(self._process(url))
            else:
                pages[url] = page
        pages = {
            self._process(url): {version: _without_zeros(counts) for version, counts in page.items()}
            for url, page in pages.items()
        }
        return {"time": time.time(), "pages": pages, "unread": unread}

    def evidence(self, since: Snapshot) -> Evidence:
        """Growth of the counters since then."""
        before, unread = since["pages"], set(since.get("unread", ()))
        grown: dict[str, list[Counts]] = defaultdict(list)
        for url, page in self._read().items():
            process = self._process(url)
            if process in unread and any(map(_answered, page.values())):
                raise MetricsError(
                    f"The page {url} could not be read when the step began, so what it counted before is not known."
                )
            for version, counts in page.items():
                grown[version].append(_growth(counts, before.get(process, {}).get(version, {})))
        for version in filter(None, (self._canary, self._stable)):
            if not any("requests" in counts for counts in grown[version]):
                raise MetricsError(
                    f"None of {len(self._addresses.pages)} metrics pages counts requests to version {version} of model "
                    f"{self._model}; check that its pods run and serve that package."
                )
        canary = together(grown[self._canary])
        stable = together(grown[self._stable]) if self._stable else None
        return evidence_of(canary, stable, self._spec.error_codes, 1.0, max(time.time() - since["time"], 0.0))

    def _process(self, url: str) -> str:
        return self._addresses.processes.get(url, url)

    def _read(self) -> dict[str, PageCounts]:
        pages = self._addresses.pages
        if not pages:
            raise MetricsError("There is no metrics page to read: no pod of the InferenceService has an address.")
        return dict(self._each(pages, self._page))

    def _each(self, urls: Sequence[str], read: Callable[[str, Deadline], T]) -> Iterator[tuple[str, T]]:
        deadline = Deadline(self._spec)
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            yield from zip(urls, threads.map(lambda url: read(url, deadline), urls), strict=True)

    def _page_or_none(self, url: str, deadline: Deadline) -> PageCounts | None:
        """The page; nothing counted where no server listens yet, and None where it cannot be read."""
        try:
            return self._page(url, deadline)
        except MetricsError as error:
            cause = error.__cause__
            return {} if isinstance(cause, ExchangeError) and cause.refused else None

    def _page(self, url: str, deadline: Deadline) -> PageCounts:
        """Counts of one page by version."""
        answer = get(url, self._spec, deadline, _MAX_BYTES)
        if answer.status in {401, 403}:
            raise MetricsError(
                f"The metrics page {url} refuses this client (status {answer.status}); give a token, or let Prometheus "
                "scrape the pods and use metrics: {source: prometheus}."
            )
        if answer.status != 200:
            raise MetricsError(f"The metrics page {url} answered with status {answer.status}, but 200 is expected.")
        samples: dict[str, dict[SeriesKind, list[SeriesSample]]] = defaultdict(lambda: {kind: [] for kind in KINDS})
        try:
            for name, labels, value in _samples(answer.body):
                if labels.get("model") == self._model:
                    samples[labels.get("version", "")][_NAMES[name]].append((labels, value))
            return {version: counted(of_version, "code") for version, of_version in samples.items()}
        except MetricsError as error:
            raise MetricsError(f"The page {url} cannot be counted by: {error}") from error
        except Exception as error:  # the parser is not made for pages that lie
            raise MetricsError(
                f"The page {url} is not in Prometheus' text format ({type(error).__name__}: {str(error)[:200]}); check "
                "its path."
            ) from error


def _samples(body: bytes) -> Iterator[tuple[str, dict[str, str], float]]:
    """Name, labels and value of the samples that count."""
    from prometheus_client.parser import text_string_to_metric_families

    names = tuple(_NAMES)
    lines = body.decode().split("\n")
    wanted = [line for line in lines if line.startswith(names)]
    if len(wanted) > _MAX_SAMPLES:
        raise MetricsError(f"There are {len(wanted):,} samples, but at most {_MAX_SAMPLES:,} are read.")
    if (longest := max(map(len, wanted or lines[:1000]))) > _LONGEST_LINE:
        raise MetricsError(f"There is a line of {longest:,} characters, but at most {_LONGEST_LINE:,} are read.")
    # a page without any of them may still be a metrics page
    for family in text_string_to_metric_families("\n".join(wanted or lines[:1000]) + "\n"):
        for sample in family.samples:
            if sample.name in _NAMES:
                yield sample.name, sample.labels, sample.value


def _answered(counts: Counts) -> bool:
    return any(counts.get("requests", {}).values())


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
