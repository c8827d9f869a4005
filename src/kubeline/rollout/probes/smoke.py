"""The smoke test: the golden rows of the package, asked of the candidate alone."""

import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from kubeline.masking import words_of
from kubeline.model_client.golden import GoldenRows
from kubeline.model_client.protocols import Client, RequestFailedError
from kubeline.model_package import ModelPackage, Predictions
from kubeline.rollout.spec import SmokeTestSpec
from kubeline.rollout.status import SmokeTestResult

_ROWS_PER_REQUEST = 50
_TIMED = 20  # requests with one row


def run(client: Client, package: ModelPackage, spec: SmokeTestSpec) -> SmokeTestResult:
    """Ask for the golden rows, compare the answers, and time single rows. A missing answer is a failure."""
    golden = GoldenRows.of(package)
    rows = list(range(min(len(golden.records), spec.rows)))
    if not rows:
        return SmokeTestResult(passed=False, sentence="the package has no golden rows to ask")
    try:
        answers = [_with_retries(client, golden, batch, spec.attempts) for batch in _batches(rows)]
        p95 = _p95_ms(client, golden, rows) if spec.max_latency_ms else None
        comparison = golden.part(slice(len(rows))).compare(joined(answers))
    except RequestFailedError as error:
        return SmokeTestResult(passed=False, sentence=str(error), rows=len(rows))
    except Exception as error:  # the candidate wrote the answer
        sentence = f"an answer cannot be understood ({type(error).__name__}: {words_of(error)[:200]})"
        return SmokeTestResult(passed=False, sentence=sentence, rows=len(rows))
    largest = comparison.max_difference
    known = largest if math.isfinite(largest) else None
    wrong = comparison.mismatches(spec.tolerance)
    passed = False
    if wrong:
        sentence = f"{len(wrong)} of {len(rows)} golden rows are answered otherwise than recorded"
        sentence += f"; the largest difference is {largest:.3g}"
    elif p95 is not None and p95 > spec.max_latency_ms:
        sentence = f"single rows take up to {p95:.1f} ms (95th percentile), but {spec.max_latency_ms:g} ms are allowed"
    else:
        passed, sentence = True, f"{len(rows)} golden rows are answered as recorded"
    return SmokeTestResult(passed, sentence, len(rows), known, p95)


def _with_retries(client: Client, golden: GoldenRows, rows: list[int], attempts: int) -> Predictions:
    request = client.prepare(golden, rows)
    for attempt in range(attempts - 1):
        try:
            return client.read(client.send(request), golden)
        except RequestFailedError:  # a route may take a moment after the pods are ready
            time.sleep(min(0.2 * 2**attempt, 2.0))
    return client.read(client.send(request), golden)


def _p95_ms(client: Client, golden: GoldenRows, rows: list[int]) -> float:
    times = []
    for row in rows[:_TIMED]:
        request = client.prepare(golden, [row])
        begun = time.perf_counter()
        client.send(request)
        times.append(time.perf_counter() - begun)
    return float(np.percentile(times, 95) * 1000)


def _batches(rows: list[int]) -> list[list[int]]:
    return [rows[at : at + _ROWS_PER_REQUEST] for at in range(0, len(rows), _ROWS_PER_REQUEST)]


def joined(answers: list[Predictions]) -> Predictions:
    """The answers to several requests as one."""
    probabilities = [answer.probabilities for answer in answers if answer.probabilities is not None]
    values = np.concatenate([answer.values for answer in answers])
    return Predictions(values, np.concatenate(probabilities) if probabilities else None)


def protocol_of(predictor: Mapping[str, Any]) -> str:
    """The protocol that a predictor is asked in."""
    return "v1" if (predictor.get("model") or {}).get("protocolVersion") == "v1" else "v2"
