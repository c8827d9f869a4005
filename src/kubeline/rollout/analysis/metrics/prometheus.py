"""Evidence from Prometheus' HTTP API.

The raw samples of the window are asked for, and summed here. ``increase`` would extrapolate to the window's edges
(which makes fractions of requests), and would not see the first requests of a series that begins inside the window,
such as the canary's first error. A difference of two instant values would take a restart for fewer requests, and a
pod that left for negative ones. growth.py says from where each counter grew. The window is one of Prometheus' own
clock.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from string import Template
from typing import Any

import yaml

from kubeline.errors import UserError, listed
from kubeline.rollout.analysis.judge import BusinessMetric, Evidence
from kubeline.rollout.analysis.metrics.business import compared, ends_of
from kubeline.rollout.analysis.metrics.counts import KINDS, Counts, SeriesKind, SeriesSample, counted
from kubeline.rollout.analysis.metrics.growth import NOT_UNDERSTOOD, CounterWindow, Series, series_of
from kubeline.rollout.analysis.metrics.http import Deadline, get
from kubeline.rollout.analysis.metrics.sides import evidence_of
from kubeline.rollout.analysis.metrics.source import Addresses, BusinessQuery, MetricsError, MetricsSpec, Snapshot

_ENTRIES = (*KINDS, "code", "seconds")
_LOOKBACK = 900.0  # seconds before the window in which a counter's last sample is searched
_MAX_BYTES = 32 * 2**20


class Prometheus:
    """Asks one Prometheus server, or what speaks its API (Thanos, Mimir, VictoriaMetrics)."""

    def __init__(
        self, spec: MetricsSpec, model: str, stable_version: str, canary_version: str, addresses: Addresses
    ) -> None:
        self._spec = spec
        self._table = _table(spec)
        names = {"model": model, "namespace": addresses.namespace}
        canary = names | {"version": canary_version, "name": addresses.canary}
        stable = names | {"version": stable_version, "name": addresses.stable} if stable_version else None
        self._canary = self._selectors(canary)
        self._stable = self._selectors(stable) if stable else None
        self._business = (self._business_query(canary), self._business_query(stable)) if stable else ("", "")
        same = [kind for kind, selector in (self._stable or {}).items() if self._canary[kind] == selector]
        if same or (spec.business and stable and len(set(self._business)) == 1):
            raise UserError(
                f"The metrics' queries of {listed(same or ['business'])} are the same for the canary and the stable "
                "version, but must differ: name each with $version or $name."
            )

    def check(self) -> None:
        """See that Prometheus has fresh samples of the stable version, and of the canary when it has any."""
        deadline = Deadline(self._spec)
        now = self._time(deadline)
        for whose, selectors in (("stable version", self._stable), ("canary", self._canary)):
            series = self._range(selectors["requests"], _LOOKBACK, now, deadline) if selectors else []
            if selectors and (series or whose != "canary"):
                self._check_fresh(whose, selectors["requests"], series, now)

    def start(self) -> Snapshot:
        """The time at Prometheus, which must take the query of the business metric."""
        deadline = Deadline(self._spec)
        now = self._time(deadline)
        if self._business[0]:
            self._ask(deadline, query=self._business[0], time=repr(now))
        return {"time": now}

    def evidence(self, since: Snapshot) -> Evidence:
        """Growth of the counters since then."""
        deadline = Deadline(self._spec)
        start, now = float(since["time"]), self._time(deadline)
        if now < start:
            raise MetricsError(f"The clock of Prometheus has gone back by {start - now:.0f} s since the step began.")
        canary = self._counts("canary", self._canary, start, now, deadline)
        stable = self._counts("stable version", self._stable, start, now, deadline) if self._stable else None
        found = evidence_of(canary, stable, self._spec.error_codes, float(self._table["seconds"]), now - start)
        if stable is None or self._spec.business is None:
            return found
        return replace(found, business=self._compared(self._spec.business, start, now, deadline))

    def _compared(self, query: BusinessQuery, start: float, now: float, deadline: Deadline) -> BusinessMetric:
        """The business metric; why it is not known is a matter of its own check."""

        def ask(expression: str, first: float, last: float, step: float) -> Any:
            return self._ask(
                deadline, "query_range", query=expression, start=repr(first), end=repr(last), step=repr(step)
            )

        try:
            return compared(query, ask, *self._business, ends_of(query, start, now), self._spec.stale_seconds)
        except MetricsError as error:
            return BusinessMetric(query.name, problem=str(error))

    def _selectors(self, values: Mapping[str, str]) -> dict[SeriesKind, str]:
        """Selectors of one version by kind, its values put into the templates."""
        return {kind: _filled(str(self._table[kind]), values) for kind in KINDS if kind in self._table}

    def _business_query(self, values: Mapping[str, str]) -> str:
        """The query of the business metric of one version; empty where there is none."""
        asked = self._spec.business
        if asked is None:
            return ""
        return _filled(asked.query, {**values, "interval": f"{round(1000 * asked.interval_seconds)}ms"})

    def _counts(
        self, whose: str, selectors: Mapping[SeriesKind, str], start: float, now: float, deadline: Deadline
    ) -> Counts:
        """Growth of one version's counters, by kind."""
        reach = now - start + max(_LOOKBACK, self._spec.stale_seconds)
        code = str(self._table["code"])
        found = {kind: self._range(each, reach, now, deadline) for kind, each in selectors.items()}
        self._check_fresh(whose, selectors["requests"], found["requests"], now)
        window = CounterWindow(whose, start, self._spec.stale_seconds, code)
        samples: dict[SeriesKind, list[SeriesSample]] = {kind: [] for kind in found}
        for kind, labels, grown in window.growth(found):
            samples[kind].append((labels, grown))
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

    def _time(self, deadline: Deadline) -> float:
        result = self._ask(deadline, query="time()")
        try:
            time = float(result[1])
            if math.isfinite(time) and time > 0:
                return time
        except NOT_UNDERSTOOD:
            pass
        raise MetricsError(f"Prometheus does not answer its time, but {str(result)[:80]!r}.")

    def _range(self, selector: str, seconds: float, now: float, deadline: Deadline) -> list[Series]:
        """The samples of the last `seconds` before `now`."""
        return series_of(self._ask(deadline, query=f"{selector}[{math.ceil(1000 * seconds)}ms]", time=repr(now)), now)

    def _ask(self, deadline: Deadline, kind: str = "query", **fields: str) -> Any:
        """The result of an instant query, or of a range's (`query_range`)."""
        url = f"{self._spec.url.rstrip('/')}/api/v1/{kind}"
        fields["timeout"] = f"{self._spec.timeout_seconds:g}s"
        answer = get(url, self._spec, deadline, _MAX_BYTES, fields)
        if answer.status in {401, 403}:
            raise MetricsError(
                f"Prometheus refuses this client (status {answer.status}); check token_file or token_env."
            )
        try:
            said = json.loads(answer.body)
            if said["status"] == "success":
                if warned := said.get("warnings") or (said.get("isPartial") and ["the answer is partial"]):
                    raise MetricsError(f"Prometheus answers in part only ({str(warned[0])[:300]}); see its own state.")
                return said["data"]["result"]
            reason = str(said["error"])[:300]
        except NOT_UNDERSTOOD as error:
            raise MetricsError(
                f"{url} answered with status {answer.status} and not as Prometheus does; check the url of the metrics."
            ) from error
        raise MetricsError(f"Prometheus rejects the query {fields['query']} ({reason}).")


def has_predictions(spec: MetricsSpec) -> bool:
    """Whether the queries ask for predictions; meshes and gateways do not see any."""
    return not {"labels", "probabilities", "numbers"}.isdisjoint(_table(spec))


def _table(spec: MetricsSpec) -> dict[str, Any]:
    """Queries of the metrics' kind with the user's own over them."""
    known = yaml.safe_load((files(__package__) / "queries.yaml").read_text(encoding="utf-8"))
    if unknown := set(spec.override) - set(_ENTRIES):
        raise UserError(f"override has {listed(sorted(unknown))}, but may only have {listed(_ENTRIES)}.")
    return {**known[spec.queries], **spec.override}


def _filled(template: str, values: Mapping[str, str]) -> str:
    """A query with the values in their places, as they stand between quotes."""
    given = {key: value.replace("\\", "\\\\").replace('"', '\\"') for key, value in values.items() if value}
    try:
        return Template(template).substitute(given)
    except KeyError as error:
        raise UserError(f"The metrics' queries need ${error.args[0]}, but the rollout does not know it.") from error
    except ValueError as error:
        raise UserError(f"A query of the metrics is no template ({error}); write $$ for a dollar sign.") from error
