"""The smoke test: the golden rows of the package, asked of the candidate alone."""

import math
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from kubeline.errors import PlatformError, UserError
from kubeline.http.credentials import bearer
from kubeline.http.exchange import ExchangeError, Peer
from kubeline.model_client.golden import GoldenRows
from kubeline.model_client.protocols import Client, RequestFailedError, V1Client, V2Client
from kubeline.model_package import ModelPackage, Predictions
from kubeline.rollout.spec import SmokeTestSpec
from kubeline.rollout.status import SmokeTestResult

_ROWS_PER_REQUEST = 50
_TIMED = 20  # requests with one row
_MOST_BYTES = 16 * 2**20  # of an answer


class _Routed:
    """Sends to an address of the candidate, straight or through a gateway that routes by the Host header.

    The candidate may be broken in any way: each answer has an end in time and in size.
    """

    name: str
    path: str

    def __init__(
        self, url: str, gateway: str, model: str, timeout_seconds: float, spec: SmokeTestSpec | None = None
    ) -> None:
        target, through = urlsplit(url), urlsplit(gateway or url)
        if not url:
            raise UserError("the candidate has no address to reach the model server at; give gateway: http://HOST:PORT")
        try:
            self._peer = Peer(gateway or url, spec.ca_file if spec else "")
        except ValueError as error:
            raise UserError(
                f"'{gateway or url}' is no address to reach the model server at; give http://HOST:PORT"
            ) from error
        self._token = (spec.token_file, spec.token_env) if spec else ("", "")
        self._host = target.netloc
        self._path = through.path.rstrip("/") + self.path.format(model)
        self._seconds = timeout_seconds

    def send(self, request: bytes) -> bytes:
        """POST the body; RefusedError when there is no answer or an error."""
        headers = {"Content-Type": "application/json", "Host": self._host, **self._authorization()}
        try:
            answer = self._peer.exchange(
                "POST", self._path, headers, request, seconds=self._seconds, most_bytes=_MOST_BYTES
            )
        except ExchangeError as error:
            raise RequestFailedError(f"no answer from {self._host}: {error}") from error
        if answer.status in {401, 403}:
            raise RequestFailedError(
                f"{self._host} refuses this client (status {answer.status}); give smoke.token_file or smoke.token_env"
            )
        if answer.status != 200:
            said = " ".join(answer.body[:300].decode(errors="replace").split())
            raise RequestFailedError(f"{self._host} answers {answer.status}: {said}")
        return answer.body

    def _authorization(self) -> dict[str, str]:
        try:
            return bearer(*self._token, self._peer, "the candidate")
        except PlatformError as error:
            raise RequestFailedError(str(error)) from error


class RoutedV1(_Routed, V1Client):
    """KServe v1 at any address."""


class RoutedV2(_Routed, V2Client):
    """The Open Inference Protocol at any address."""


def connect(
    url: str, gateway: str, model: str, protocol: str, timeout_seconds: float, spec: SmokeTestSpec | None = None
) -> RoutedV1 | RoutedV2:
    """A client of the candidate.

    Args:
        url: address of the candidate alone.
        gateway: where to send instead, with the host of `url` as Host header; empty sends to `url`.
        model: name of the model.
        protocol: v1 or v2; gRPC is asked over HTTP, which the server speaks too.
        timeout_seconds: for each request, to the last byte of its answer.
        spec: the token that the candidate asks for, and the certificates that its own is checked with.
    """
    kind = RoutedV1 if protocol == "v1" else RoutedV2
    return kind(url, gateway, model, timeout_seconds, spec)


def run(client: Client, package: ModelPackage, spec: SmokeTestSpec) -> SmokeTestResult:
    """Ask for the golden rows, compare the answers, and time single rows. A missing answer is a failure."""
    golden = GoldenRows.of(package)
    rows = list(range(min(len(golden.records), spec.rows)))
    if not rows:
        return SmokeTestResult(passed=False, sentence="the package has no golden rows to ask")
    try:
        answers = [_with_retries(client, golden, batch, spec.attempts) for batch in _batches(rows)]
        p95 = _p95_ms(client, golden, rows) if spec.max_latency_ms else None
        comparison = _first(golden, len(rows)).compare(_joined(answers))
    except RequestFailedError as error:
        return SmokeTestResult(passed=False, sentence=str(error), rows=len(rows))
    except Exception as error:  # the candidate wrote the answer
        sentence = f"an answer cannot be understood ({type(error).__name__}: {str(error)[:200]})"
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


def _joined(answers: list[Predictions]) -> Predictions:
    probabilities = [answer.probabilities for answer in answers if answer.probabilities is not None]
    values = np.concatenate([answer.values for answer in answers])
    return Predictions(values, np.concatenate(probabilities) if probabilities else None)


def _first(golden: GoldenRows, rows: int) -> GoldenRows:
    expected = golden.expected
    probabilities = None if expected.probabilities is None else expected.probabilities[:rows]
    answers = Predictions(expected.values[:rows], probabilities)
    return GoldenRows(golden.signature, golden.records[:rows], answers, golden.scale)


def protocol_of(predictor: Mapping[str, Any]) -> str:
    """The protocol that a predictor is asked in."""
    return "v1" if (predictor.get("model") or {}).get("protocolVersion") == "v1" else "v2"
