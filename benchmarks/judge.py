"""How often the judge stops a good canary, and how often it finds a bad one: ``python -m benchmarks.judge``.

Simulated rollouts at 5, 25, 50 and 100 % of the traffic. A step is analyzed once, and once more with twice the data
when that was inconclusive. Latencies are log-normal, counted in the model server's bins; load makes them slower and
more frequent, and goes up and down slowly (AR(1) over the minutes of a step).
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr

from kubeline.rollout.analysis.judge import CheckOutcome, Evidence, Histogram, Rules, Side, judge

SHARES = (0.05, 0.25, 0.5, 1.0)
LOOKS_PER_STEP = 2
LOOKS = LOOKS_PER_STEP * len(SHARES)
INTERVALS = 30  # of a step
REMEMBERED = 0.9  # of the load, from one interval to the next
BOUNDS = tuple(step * 10.0**power for power in range(-4, 1) for step in (1, 2.5, 5))  # seconds, as the server's
PREDICTIONS = np.array([0.2, 0.16, 0.14, 0.12, 0.1, 0.08, 0.07, 0.06, 0.04, 0.03])

DEFAULT = Rules()
BARE = Rules(max_error_increase=0, max_latency_shift=0, latency_tolerance_seconds=0, max_prediction_drift=0)
"""Without tolerances, so that only the level stands between chance and an alarm."""

PREDICTED = Rules(max_error_rate=0.9, max_error_increase=None, max_latency_shift=None)
"""Predictions alone are compared."""

LATE = BARE.model_copy(update={"spending": "obrien-fleming"})


@dataclass(frozen=True)
class World:
    """What is simulated; the canary differs from the stable version by the last three.

    Attributes:
        requests: of both versions in the time of one look.
        errors: share of requests.
        median: seconds.
        spread: standard deviation of the latencies' logarithm.
        load: standard deviation of the logarithm of the load that both versions share.
        rows: of a request, of which all are predicted alike.
        own: the same of what slows the pods of one version only, such as neighbours on their nodes.
        more_errors: added to the canary's share of errors.
        slower: factor of the canary's latencies.
        drift: population stability index of its predictions.
    """

    requests: int = 10_000
    errors: float = 0.005
    median: float = 0.02
    spread: float = 0.5
    load: float = 0.0
    rows: int = 1
    own: float = 0.0
    more_errors: float = 0.0
    slower: float = 1.0
    drift: float = 0.0


@dataclass(frozen=True)
class Outcomes:
    """Shares of the simulated rollouts.

    Attributes:
        stopped: a look failed.
        held: none failed, but a step stayed inconclusive.
        at: share of the traffic at which half of those that were stopped had been; NaN without any.
    """

    stopped: float
    held: float
    at: float


def simulate(world: World, rules: Rules, rollouts: int, seed: int = 0) -> Outcomes:
    """Run rollouts through the judge itself; inconclusive ones go on, so that every look has its chance to fail."""
    rng = np.random.default_rng(seed)
    stopped = np.zeros(rollouts)
    held = np.zeros(rollouts, dtype=bool)
    for step, share in enumerate(SHARES):
        windows = [_window(rng, world, share, rollouts) for _ in range(LOOKS_PER_STEP)]
        for rollout in np.flatnonzero(stopped == 0):
            for again, evidence in enumerate(_looks([window[rollout] for window in windows], world)):
                outcome = judge(evidence, rules, LOOKS_PER_STEP * step + again + 1, LOOKS).outcome
                if outcome is not CheckOutcome.INCONCLUSIVE:
                    break
            if outcome is CheckOutcome.FAIL:
                stopped[rollout] = share
            held[rollout] |= outcome is not CheckOutcome.PASS
    found = stopped > 0
    at = float(np.median(stopped[found])) if found.any() else float("nan")
    return Outcomes(float(found.mean()), float((held & ~found).mean()), at)


def _looks(windows: list[np.ndarray], world: World) -> Iterator[Evidence]:
    """Evidence of the first window, then of the first two, and so on."""
    for counts in np.cumsum(windows, axis=0):
        canary, stable = (_side(row, world.rows) for row in counts)
        yield Evidence(canary, stable if stable.requests else None, seconds=300)


def _side(row: np.ndarray, rows: int) -> Side:
    errors, latency, predictions = row[0], row[1 : len(BOUNDS) + 2], row[len(BOUNDS) + 2 :]
    labelled = {str(label): float(n * rows) for label, n in enumerate(predictions)}
    requests = int(latency.sum())
    return Side(requests, int(errors), Histogram(BOUNDS, tuple(latency.tolist())), labelled, float(requests))


def _window(rng: np.random.Generator, world: World, share: float, rollouts: int) -> np.ndarray:
    """Counts of one look's time: rollouts by (canary, stable) by (errors, latency bins, predictions)."""
    load = _slow_noise(rng, world.load, rollouts)
    sides = [
        (share, world.errors + world.more_errors, world.slower, shifted(world.drift)),
        (1 - share, world.errors, 1.0, PREDICTIONS),
    ]
    counts = []
    for part, errors, slower, distribution in sides:
        log_median = np.log(world.median * slower) + load + _slow_noise(rng, world.own, rollouts)
        below = ndtr((np.log(BOUNDS) - log_median[..., None]) / world.spread)
        bins = np.diff(below, axis=-1, prepend=0, append=1).clip(0)
        n = rng.poisson(world.requests * part / INTERVALS * np.exp(load))
        latency = rng.multinomial(n, bins / bins.sum(-1, keepdims=True)).sum(axis=1)
        failed = rng.binomial(n, np.minimum(errors * np.exp(load), 1)).sum(axis=1)
        predictions = rng.multinomial(n.sum(axis=1), distribution)
        counts.append(np.concatenate([failed[:, None], latency, predictions], axis=1))
    return np.stack(counts, axis=1)


def shifted(drift: float) -> np.ndarray:
    """The distribution of predictions that is so far from the usual one, tilted towards its last bins."""

    def tilted(by: float) -> np.ndarray:
        found: np.ndarray = PREDICTIONS * np.exp(by * np.arange(len(PREDICTIONS)))
        return np.asarray(found / found.sum())

    def index(by: float) -> float:
        there = tilted(by)
        return float(((there - PREDICTIONS) * np.log(there / PREDICTIONS)).sum()) - drift

    return tilted(brentq(index, 0, 2)) if drift else PREDICTIONS


def _slow_noise(rng: np.random.Generator, deviation: float, rollouts: int) -> np.ndarray:
    """AR(1) with the given standard deviation: rollouts by intervals."""
    noise = rng.normal(scale=deviation, size=(rollouts, INTERVALS))
    for before, now in zip(range(INTERVALS - 1), range(1, INTERVALS), strict=True):
        noise[:, now] = REMEMBERED * noise[:, before] + np.sqrt(1 - REMEMBERED**2) * noise[:, now]
    return noise


ALLOWED = {
    "predictions alike, 8 alike rows a request, a tenth of the traffic": World(rows=8, requests=1_000),
    "predictions differ by 0.2, a tenth of the traffic": World(drift=0.2, requests=1_000),
    "predictions differ by 0.2, 8 alike rows a request, a tenth of the traffic": World(
        drift=0.2, rows=8, requests=1_000
    ),
    "predictions differ by 0.25, the limit": World(drift=0.25),
}
IDENTICAL = {
    "0.1 % errors": World(errors=0.001),
    "0.5 % errors": World(),
    "1 % errors": World(errors=0.01),
    "1 % errors, a tenth of the traffic": World(errors=0.01, requests=1_000),
    "load goes up and down": World(load=0.4),
    "each side has 5 % noise of its own": World(load=0.4, own=0.05),
    "each side has 10 % noise of its own": World(load=0.4, own=0.1),
}
WORSE = {
    "2 points more errors": World(more_errors=0.02),
    "2 points more errors, a tenth of the traffic": World(more_errors=0.02, requests=1_000),
    "2 points more errors, load": World(more_errors=0.02, load=0.4),
    "20 % slower": World(slower=1.2),
    "20 % slower, a tenth of the traffic": World(slower=1.2, requests=1_000),
    "20 % slower, load": World(slower=1.2, load=0.4),
    "20 % slower, load, spread 0.8": World(slower=1.2, load=0.4, spread=0.8),
    "predictions differ by 0.5": World(drift=0.5),
    "predictions differ by 0.5, a tenth of the traffic": World(drift=0.5, requests=1_000),
    "predictions differ by 1, a tenth of the traffic": World(drift=1.0, requests=1_000),
    "predictions differ by 1, 8 alike rows a request, a tenth of the traffic": World(drift=1.0, rows=8, requests=1_000),
}


def main(rollouts: int = 1_000) -> None:
    """Print the error rates beside the nominal levels."""
    began = time.perf_counter()
    print(f"the judge, {rollouts:,} rollouts each; {World().requests:,} requests in the time of a look")
    print(f"{'identical versions: false alarms':74} {'nominal':>7} {'stopped':>9} {'held':>7}")
    for name, world in IDENTICAL.items():
        for label, rules in (
            ("without tolerances, pocock", BARE),
            ("without tolerances, o'brien-fleming", LATE),
            ("default rules", DEFAULT),
        ):
            got = simulate(world, rules, rollouts)
            print(f"  {name + ': ' + label:72} <={rules.alpha:5.1%} {got.stopped:9.1%} {got.held:7.1%}")
    for name, world in ALLOWED.items():
        got = simulate(world, PREDICTED, rollouts)
        print(f"  {name + ': predictions alone':72} <={PREDICTED.alpha:5.1%} {got.stopped:9.1%} {got.held:7.1%}")
    print(f"{'worse versions: power':62} {'stopped':>9} {'held':>7} {'half of them at':>16}")
    for name, world in WORSE.items():
        got = simulate(world, DEFAULT, rollouts)
        print(f"  {name:60} {got.stopped:9.1%} {got.held:7.1%} {got.at:16.0%}")
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
