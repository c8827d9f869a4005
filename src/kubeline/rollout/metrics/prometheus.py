"""Evidence from Prometheus' HTTP API.

The raw samples of the window are asked for, and summed here. ``increase`` would extrapolate to the window's edges
(which makes fractions of requests), and would not see the first requests of a series that begins inside the window,
such as the canary's first error. A difference of two instant values would take a restart for fewer requests, and a
pod that left for negative ones.

Each series grows from its last sample before the window, or from 0 when it began inside; where it, or another of its
process, goes back the process has restarted, and it grew by its new value. A gap between scrapes loses nothing as long
as the process lives. The window is one of Prometheus' own clock.
"""

import json
import math
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from string import Template
from typing import Any

import yaml

from kubeline.errors import UserError, listed
from kubeline.rollout.judge import Evidence
from kubeline.rollout.metrics.counts import KINDS, Counts, Kind, Sample, counted, sides
from kubeline.rollout.metrics.http import get, pool
from kubeline.rollout.metrics.source import Addresses, MetricsError, MetricsSpec, Snapshot

_ENTRIES = (*KINDS, "code", "seconds")

Series = tuple[dict[str, str], list[tuple[float, float]]]
"""Labels, and samples as (time, value)."""


class Prometheus:
    """Asks one Prometheus server, or what speaks its API (Thanos, Mimir, VictoriaMetrics)."""

    def __init__(
        self, spec: MetricsSpec, model: str, stable_version: str, canary_version: str, addresses: Addresses
    ) -> None:
        self._spec = spec
        self._table = _table(spec)
        names = {"model": model, "namespace": addresses.namespace}
        self._canary = self._selectors(names | {"version": canary_version, "name": addresses.canary})
        self._stable = None
        if stable_version:
            self._stable = self._selectors(names | {"version": stable_version, "name": addresses.stable})
            if self._stable == self._canary:
                raise UserError(
                    "The metrics' queries are the same for the canary and the stable version, but must tell them "
                    "apart: name each with $version or $name."
                )
        self._pool = pool(spec)

    def start(self) -> Snapshot:
        """The time at Prometheus."""
        return {"time": self._time()}

    def evidence(self, since: Snapshot) -> Evidence:
        """Growth of the counters since then."""
        start, now = float(since["time"]), self._time()
        canary = self._counts("canary", self._canary, start, now)
        stable = self._counts("stable version", self._stable, start, now) if self._stable else None
        both = sides(canary, stable, self._spec.error_codes, float(self._table["seconds"]))
        return Evidence(*both, seconds=now - start)

    def _selectors(self, values: Mapping[str, str]) -> dict[Kind, str]:
        """Selectors of one version by kind, its values put into the templates."""
        given = {key: value.replace("\\", "\\\\").replace('"', '\\"') for key, value in values.items() if value}
        try:
            return {kind: Template(str(self._table[kind])).substitute(given) for kind in KINDS if kind in self._table}
        except KeyError as error:
            raise UserError(f"The metrics' queries need ${error.args[0]}, but the rollout does not know it.") from error
        except ValueError as error:
            raise UserError(f"A query of the metrics is no template ({error}); write $$ for a dollar sign.") from error

    def _counts(self, whose: str, selectors: Mapping[Kind, str], start: float, now: float) -> Counts:
        """Growth of one version's counters, by kind."""
        reach = math.ceil(1000 * (now - start + self._spec.stale_seconds))
        code = str(self._table["code"])
        found = {kind: list(_series(self._ask(f"{each}[{reach}ms]", now))) for kind, each in selectors.items()}
        self._check_fresh(whose, selectors["requests"], found["requests"], now)
        restarts = _restarts([each for series in found.values() for each in series], code)
        samples: dict[Kind, list[Sample]] = {
            kind: [(labels, _growth(points, start, restarts[_target(labels, code)])) for labels, points in series]
            for kind, series in found.items()
        }
        return counted(samples, code)

    def _check_fresh(self, whose: str, selector: str, series: list[Series], now: float) -> None:
        if not series:
            raise MetricsError(
                f"Prometheus has no samples of the {whose}: {selector} finds nothing; check that its pods are scraped."
            )
        age = now - max(points[-1][0] for _, points in series)
        if age > self._spec.stale_seconds:
            raise MetricsError(
                f"The newest sample of the {whose} at Prometheus is {age:.0f} s old, but "
                f"{self._spec.stale_seconds:g} s are allowed (stale_seconds); check that its pods are scraped."
            )

    def _time(self) -> float:
        result = self._ask("time()", None)
        try:
            return float(result[1])
        except (TypeError, ValueError, LookupError) as error:
            raise MetricsError(f"Prometheus does not tell its time, but {str(result)[:80]!r}.") from error

    def _ask(self, query: str, at: float | None) -> Any:
        """The result of an instant query."""
        url = f"{self._spec.url.rstrip('/')}/api/v1/query"
        fields = {"query": query, "timeout": f"{self._spec.timeout_seconds:g}s"}
        if at is not None:
            fields["time"] = repr(at)
        status, body = get(self._pool, url, fields, _token(self._spec))
        if status in {401, 403}:
            raise MetricsError(f"Prometheus refuses this client (status {status}); check token_file or token_env.")
        try:
            answer = json.loads(body)
            if answer["status"] == "success":
                return answer["data"]["result"]
            reason = str(answer["error"])[:300]
        except (ValueError, LookupError, TypeError) as error:
            raise MetricsError(
                f"{url} answered with status {status} and not as Prometheus does; check the url of the metrics."
            ) from error
        raise MetricsError(f"Prometheus rejects the query {query} ({reason}).")


def _series(result: Any) -> Iterator[Series]:
    """Labels and samples of each series of a range."""
    try:
        for each in result:
            points = [(float(moment), float(value)) for moment, value in each["values"]]
            if not all(math.isfinite(value) and value >= 0 for _, value in points):
                raise MetricsError(f"Prometheus has a value that is no count in {each['metric']}; check the queries.")
            if points:
                yield each["metric"], points
    except (ValueError, LookupError, TypeError) as error:
        raise MetricsError(
            "Prometheus answered with something else than samples; a query of the metrics must select counters."
        ) from error


def _target(labels: Mapping[str, str], code: str) -> frozenset[tuple[str, str]]:
    """Labels that the series of one process have in common."""
    own = {"__name__", "le", "label", "protocol", code}
    return frozenset(item for item in labels.items() if item[0] not in own)


def _restarts(series: list[Series], code: str) -> dict[frozenset[tuple[str, str]], set[float]]:
    """When each process restarted: a counter that has passed its old value since is told by another one's fall."""
    found: dict[frozenset[tuple[str, str]], set[float]] = defaultdict(set)
    for labels, points in series:
        falls = {later[0] for earlier, later in pairwise(points) if later[1] < earlier[1]}
        found[_target(labels, code)] |= falls
    return found


def _growth(points: list[tuple[float, float]], start: float, restarts: set[float]) -> float:
    """How much a counter grew from its last sample at or before `start`."""
    before = [value for moment, value in points if moment <= start]
    last, grown = before[-1] if before else 0.0, 0.0
    for moment, value in points:
        if moment > start:
            grown += value if moment in restarts else value - last
            last = value
    return grown


def _table(spec: MetricsSpec) -> dict[str, Any]:
    """Queries of the metrics' kind with the user's own over them."""
    known = yaml.safe_load((files(__package__) / "queries.yaml").read_text(encoding="utf-8"))
    if unknown := set(spec.override) - set(_ENTRIES):
        raise UserError(f"override has {listed(sorted(unknown))}, but may only have {listed(_ENTRIES)}.")
    return {**known[spec.queries], **spec.override}


def _token(spec: MetricsSpec) -> str:
    """The bearer token, read anew because mounted ones are renewed; empty when none is asked for."""
    if spec.token_env:
        if token := os.environ.get(spec.token_env, "").strip():
            return token
        raise MetricsError(f"The environment variable {spec.token_env} for Prometheus' token is not set.")
    if spec.token_file:
        try:
            return Path(spec.token_file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise MetricsError(f"Prometheus' token cannot be read ({error}); check token_file.") from error
    return ""
