"""Evidence from Cloud Monitoring, which has the requests of Vertex AI's endpoints by deployed model.

The metrics are ``prediction/online/response_count`` and ``prediction/online/prediction_latencies``
(https://cloud.google.com/monitoring/api/metrics_gcp_a_b#gcp-aiplatform): what was counted in each minute, and can be
read some minutes later. A minute counts for a step when it began in it. Vertex AI counts no predictions.
"""

import datetime
import math
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from kubeline.errors import KubelineError
from kubeline.http.google import GoogleCredentials, google_api
from kubeline.rollout.analysis.judge import Evidence
from kubeline.rollout.analysis.metrics.counts import Counts, count
from kubeline.rollout.analysis.metrics.sides import evidence_of
from kubeline.rollout.analysis.metrics.source import Addresses, MetricsError, MetricsSpec, Snapshot

_METRICS = "aiplatform.googleapis.com/prediction/online"
_PAGE = 1000
_SECONDS = 1e-6  # of the latencies' unit, microseconds
_MOST_BUCKETS = 1000

TimeSeries = Mapping[str, Any]
_Point = Mapping[str, Any]


class CloudMonitoring:
    """The requests of two deployed models of an endpoint.

    Args:
        spec: settings.
        endpoint: its id.
        stable_version: empty when there is no stable version.
        canary_version: of the candidate.
        addresses: project and region, and the ids of the deployed models.
    """

    def __init__(
        self, spec: MetricsSpec, endpoint: str, stable_version: str, canary_version: str, addresses: Addresses
    ) -> None:
        del canary_version
        self._spec = spec
        self._endpoint = endpoint
        self._project, _, self._location = addresses.namespace.partition("/")
        self._canary = addresses.canary
        self._stable = addresses.stable if stable_version else ""
        self._api = google_api(
            "monitoring",
            "https://monitoring.googleapis.com",
            GoogleCredentials(),
            "the role monitoring.viewer",
            spec.timeout_seconds,
        )

    def check(self) -> None:
        """A window begins at a time, and needs nothing before it."""

    def start(self) -> Snapshot:
        """The time; Cloud Monitoring must answer."""
        now = time.time()
        list(self._series("response_count", now - 60, now))
        return {"time": now}

    def evidence(self, since: Snapshot) -> Evidence:
        """What was counted in the minutes that began since then."""
        start, now = float(since["time"]), time.time()
        if now < start:
            raise MetricsError(f"The clock has gone back by {start - now:.0f} s since the step began.")
        counted: dict[str, Counts] = defaultdict(dict)
        for series in self._series("response_count", start, now):
            model, code = (series["metric"]["labels"].get(key, "") for key in ("deployed_model_id", "response_code"))
            requests = counted[model].setdefault("requests", {})
            for point in _since(series, start):
                requests[code] = requests.get(code, 0.0) + count(float(point["value"]["int64Value"]), {"code": code})
        for series in self._series("prediction_latencies", start, now, 'metric.labels.latency_type="total"'):
            of_model = counted[series["metric"]["labels"].get("deployed_model_id", "")]
            for point in _since(series, start):
                _add(of_model, point["value"]["distributionValue"])
        stable = counted[self._stable] if self._stable else None
        return evidence_of(counted[self._canary], stable, self._spec.error_codes, _SECONDS, now - start)

    def _series(self, metric: str, start: float, end: float, more: str = "") -> Iterator[TimeSeries]:
        """The time series of a metric, of all deployed models of the endpoint."""
        wanted = [
            f'metric.type="{_METRICS}/{metric}"',
            'resource.type="aiplatform.googleapis.com/Endpoint"',
            f'resource.labels.endpoint_id="{self._endpoint}"',
            f'resource.labels.location="{self._location}"',
            *([more] if more else []),
        ]
        given: dict[str, Any] = {"filter": " AND ".join(wanted), "pageSize": _PAGE, "view": "FULL"}
        given |= {"interval.startTime": _moment(start), "interval.endTime": _moment(end)}
        try:
            yield from self._api.each(f"/v3/projects/{self._project}/timeSeries", "timeSeries", **given)
        except KubelineError as error:
            raise MetricsError(f"Cloud Monitoring cannot be read: {error}.") from error


def _since(series: TimeSeries, start: float) -> Iterator[_Point]:
    """The points whose minute began in the window."""
    for point in series.get("points", []):
        interval = point["interval"]
        if datetime.datetime.fromisoformat(interval.get("startTime", interval["endTime"])).timestamp() >= start:
            yield point


def _add(counts: Counts, distribution: Mapping[str, Any]) -> None:
    """Add a distribution to the cumulative counts by bound of a model.

    Raises:
        MetricsError: when its bounds are others than those before.
    """
    bounds = [*map(str, _bounds(distribution.get("bucketOptions") or {})), str(math.inf)]
    given = [count(float(number), {"le": "bucket"}) for number in distribution.get("bucketCounts") or []]
    counted = [*given, *[0.0] * (len(bounds) - len(given))]
    cumulative = dict(zip(bounds, accumulate(counted), strict=True))
    before = counts.setdefault("latency", dict.fromkeys(cumulative, 0.0))
    if before.keys() != cumulative.keys():
        raise MetricsError("The latencies of a deployed model have other buckets in one minute than in another.")
    counts["latency"] = {bound: before[bound] + number for bound, number in cumulative.items()}


def _bounds(options: Mapping[str, Any]) -> Sequence[float]:
    """The finite upper bounds of google.api.Distribution.BucketOptions, in its unit.

    Raises:
        MetricsError: when there are none.
    """
    kinds = {"exponentialBuckets", "linearBuckets", "explicitBuckets"} & options.keys()
    kind = kinds.pop() if len(kinds) == 1 else ""
    given = options.get(kind) or {}
    number = int(given.get("numFiniteBuckets", 0))
    if number > _MOST_BUCKETS or not kind:
        raise MetricsError(f"The latencies have no buckets, or more than {_MOST_BUCKETS:,}.")
    if kind == "exponentialBuckets":
        scale, factor = float(given["scale"]), float(given["growthFactor"])
        return [scale * factor**power for power in range(number + 1)]
    if kind == "linearBuckets":
        return [float(given.get("offset", 0.0)) + float(given["width"]) * at for at in range(number + 1)]
    return [float(bound) for bound in given.get("bounds") or []]


def _moment(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat().replace("+00:00", "Z")
