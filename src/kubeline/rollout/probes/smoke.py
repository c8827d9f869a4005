"""The smoke test: the golden rows of the package, asked of the candidate alone."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

from kubeline.errors import PlatformError, UserError
from kubeline.http.credentials import bearer
from kubeline.http.exchange import ExchangeError, Peer
from kubeline.infra_validation.golden import GoldenRows
from kubeline.infra_validation.protocols import RefusedError, V1Client, V2Client
from kubeline.model_package import ModelPackage, Predictions

if TYPE_CHECKING:
    from kubeline.rollout.spec import Smoke

_ROWS_PER_REQUEST = 50
_TIMED = 20  # requests with one row
_MOST_BYTES = 16 * 2**20  # of an answer


class _Routed:
    """Sends to an address of the candidate, straight or through a gateway that routes by the Host header.

    The candidate may be broken in any way: each answer has an end in time and in size.
    """

    name: str
    path: str

    def __init__(self, url: str, gateway: str, model: str, timeout_seconds: float, plan: "Smoke | None" = None) -> None:
        target, through = urlsplit(url), urlsplit(gateway or url)
        if not url:
            raise UserError("the candidate has no address to reach the model server at; give gateway: http://HOST:PORT")
        try:
            self._peer = Peer(gateway or url, plan.ca_file if plan else "")
        except ValueError as error:
            raise UserError(
                f"'{gateway or url}' is no address to reach the model server at; give http://HOST:PORT"
            ) from error
        self._token = (plan.token_file, plan.token_env) if plan else ("", "")
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
            raise RefusedError(f"no answer from {self._host}: {error}") from error
        if answer.status in {401, 403}:
            raise RefusedError(
                f"{self._host} refuses this client (status {answer.status}); give smoke.token_file or smoke.token_env"
            )
        if answer.status != 200:
            said = " ".join(answer.body[:300].decode(errors="replace").split())
            raise RefusedError(f"{self._host} answers {answer.status}: {said}")
        return answer.body

    def _authorization(self) -> dict[str, str]:
        try:
            return bearer(*self._token, self._peer, "the candidate")
        except PlatformError as error:
            raise RefusedError(str(error)) from error


class RoutedV1(_Routed, V1Client):
    """KServe v1 at any address."""


class RoutedV2(_Routed, V2Client):
    """The Open Inference Protocol at any address."""


def connect(
    url: str, gateway: str, model: str, protocol: str, timeout_seconds: float, plan: "Smoke | None" = None
) -> RoutedV1 | RoutedV2:
    """A client of the candidate.

    Args:
        url: address of the candidate alone.
        gateway: where to send instead, with the host of `url` as Host header; empty sends to `url`.
        model: name of the model.
        protocol: v1 or v2; gRPC is asked over HTTP, which the server speaks too.
        timeout_seconds: for each request, to the last byte of its answer.
        plan: what opens a candidate that asks for a token, or has a certificate of its own.
    """
    kind = RoutedV1 if protocol == "v1" else RoutedV2
    return kind(url, gateway, model, timeout_seconds, plan)


def try_candidate(client: RoutedV1 | RoutedV2, package: ModelPackage, plan: "Smoke") -> dict[str, Any]:
    """Ask the golden rows, compare the answers, and time single rows.

    Returns:
        ``{passed, sentence, rows, max_difference, p95_ms}``. A missing answer is a failure.
    """
    golden = GoldenRows.of(package)
    rows = list(range(min(len(golden.records), plan.rows)))
    if not rows:
        return {"passed": False, "sentence": "the package has no golden rows to ask", "rows": 0}
    try:
        answers = [_patiently(client, golden, part, plan.attempts) for part in _parts(rows)]
        p95 = _time(client, golden, rows) if plan.max_latency_ms else None
        comparison = _first(golden, len(rows)).compare(_joined(answers))
    except RefusedError as error:
        return {"passed": False, "sentence": str(error), "rows": len(rows)}
    except Exception as error:  # the candidate wrote the answer
        told = f"an answer cannot be understood ({type(error).__name__}: {str(error)[:200]})"
        return {"passed": False, "sentence": told, "rows": len(rows)}
    wrong = comparison.mismatches(plan.tolerance)
    found = {"rows": len(rows), "max_difference": comparison.max_difference, "p95_ms": p95}
    if wrong:
        told = f"{len(wrong)} of {len(rows)} golden rows are answered otherwise than recorded"
        return {
            **found,
            "passed": False,
            "sentence": f"{told}; the largest difference is {comparison.max_difference:.3g}",
        }
    if p95 is not None and p95 > plan.max_latency_ms:
        told = f"single rows take up to {p95:.1f} ms (95th percentile), but {plan.max_latency_ms:g} ms are allowed"
        return {**found, "passed": False, "sentence": told}
    return {**found, "passed": True, "sentence": f"{len(rows)} golden rows are answered as recorded"}


def _patiently(client: Any, golden: GoldenRows, rows: list[int], attempts: int) -> Predictions:
    request = client.prepare(golden, rows)
    for attempt in range(attempts - 1):
        try:
            return client.read(client.send(request), golden)
        except RefusedError:  # a route may take a moment after the pods are ready
            time.sleep(min(0.2 * 2**attempt, 2.0))
    return client.read(client.send(request), golden)


def _time(client: Any, golden: GoldenRows, rows: list[int]) -> float:
    times = []
    for row in rows[:_TIMED]:
        request = client.prepare(golden, [row])
        begun = time.perf_counter()
        client.send(request)
        times.append(time.perf_counter() - begun)
    return float(np.percentile(times, 95) * 1000)


def _parts(rows: list[int]) -> list[list[int]]:
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
