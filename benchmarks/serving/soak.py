"""An hour's worth of requests, compressed: flat memory, no 500, and a payload log that holds what was answered.

python -m benchmarks.serving.soak [--requests 360000] [--seconds 240] [--json FILE]

The default is an hour at 100 requests a second, of v1, v2 in JSON and raw, and gRPC, 1 to 100 rows, some of them bad,
sent as fast as they are answered; `--seconds` ends it where a machine is slower.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import uvloop
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from benchmarks.serving import grpc_load, http_load
from benchmarks.serving.contenders import MODEL, PEERS, V1, V2, ours
from benchmarks.serving.flights import flights_package, questions
from benchmarks.serving.forms import grpc_form, records, v2, v2_binary
from benchmarks.serving.measurement import Measurement, together
from benchmarks.serving.processes import Server, share_cores
from kubeline.model_package import ModelPackage

ROWS = {1: 24, 5: 12, 20: 8, 100: 4}  # rows of a request, and how many different requests
HTTP_CONNECTIONS, GRPC_CONNECTIONS = 6, 2
FLAT = 0.05  # share by which memory may differ between the second quarter and the last
_SLICE_SECONDS = 5.0


@dataclass
class Traffic:
    """Requests, and how many rows each is answered for; 0 for bad ones."""

    requests: list[bytes] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)

    def add(self, request: bytes, rows: int) -> None:
        """Add one."""
        self.requests.append(request)
        self.rows.append(rows)

    def answered_rows(self, load: Measurement) -> int:
        """Rows of all answers with status 200."""
        return sum(self.rows[position] * count for position, count in load.answered.items())

    def answered_though_bad(self, load: Measurement) -> int:
        """Bad requests that were answered all the same."""
        return sum(count for position, count in load.answered.items() if not self.rows[position])


@dataclass
class Soak:
    """What was seen."""

    load: Measurement
    rows: int  # of all answers
    bad_answered: int
    memory: list[tuple[int, int]]  # answers until then, and bytes resident
    metrics: dict[str, float]  # of the server, after the last answer
    logged_rows: int  # in the Parquet files after SIGTERM
    exit_code: int


def main() -> int:
    """Run, show, and answer 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description="An hour's worth of requests, compressed.")
    parser.add_argument("--requests", type=int, default=360_000, help="end after so many answers")
    parser.add_argument("--seconds", type=float, default=240.0, help="or after so long")
    parser.add_argument("--json", type=Path, default=Path("runs/bench-serving-soak.json"), help="the figures")
    arguments = parser.parse_args()
    console = Console(width=150, highlight=False)
    share_cores()
    soak = run(flights_package(), arguments.requests, arguments.seconds)
    findings = judge(soak)
    for sentence, met in findings:
        console.print(f"{'met   ' if met else 'MISSED'} {sentence}")
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "answers": soak.load.total,
        "seconds": round(soak.load.seconds, 1),
        "errors": dict(soak.load.errors),
        "rows": soak.rows,
        "logged_rows": soak.logged_rows,
        "memory_bytes": [memory for _, memory in soak.memory],
        "findings": [{"sentence": text, "met": met} for text, met in findings],
    }
    arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return int(not all(met for _, met in findings))


def run(package: ModelPackage, requests: int, seconds: float) -> Soak:
    """Ask until so many answers have come or so much time is over, then end the server and count what it logged."""
    http, grpc = traffic(package)
    parts: list[Measurement] = []
    memory: list[tuple[int, int]] = []
    rows = bad = total = 0
    folder = PEERS / "work"
    with ours().serve(package, folder) as server:
        end = time.monotonic() + seconds
        while total < requests and time.monotonic() < end:
            ours_http, ours_grpc = uvloop.run(_slice(server, http, grpc))
            rows += http.answered_rows(ours_http) + grpc.answered_rows(ours_grpc)
            bad += http.answered_though_bad(ours_http) + grpc.answered_though_bad(ours_grpc)
            total += ours_http.total + ours_grpc.total
            parts += [_without_content(ours_http), _without_content(ours_grpc)]
            memory.append((total, server.memory("VmRSS")))
        metrics = _metrics(server)
        exit_code = server.stop()
        logged = _logged_rows(folder / "payloads")
    load = together(parts)
    load.seconds /= 2  # HTTP and gRPC side by side
    return Soak(load, rows, bad, memory, metrics, logged, exit_code)


def traffic(package: ModelPackage) -> tuple[Traffic, Traffic]:
    """Requests for HTTP and for gRPC, good ones and bad ones, in a mixed order."""
    http, grpc = Traffic(), Traffic()
    forms = (records(V1, "probabilities"), v2(V2), v2_binary(V2))
    for rows, count in ROWS.items():
        for place, question in enumerate(questions(package, rows, count)):
            http.add(forms[place % len(forms)].build(question), rows)
            grpc.add(grpc_form(MODEL, raw=bool(place % 2)).build(question), rows)
    (some,) = questions(package, 1, 1)
    record = some.rows[0]
    for body in (b"{", b'{"instances":[]}', _instances({**record, "month": "May"}), _instances({"month": 1})):
        http.add(http_load.post(V1, body), 0)
    http.add(http_load.post("/v2/models/another/infer", b"{}"), 0)
    grpc.add(grpc_form("another").build(some), 0)
    order = np.random.default_rng(0)
    return tuple(_shuffled(some, order) for some in (http, grpc))  # type: ignore[return-value]


def judge(soak: Soak) -> list[tuple[str, bool]]:
    """What it shows, as sentences with whether the goal is met."""
    errors = dict(soak.load.errors)
    expected = {"HTTP 400", "HTTP 404", "gRPC call failed"}  # what the bad requests are answered
    others = {name: count for name, count in errors.items() if name not in expected}
    median, high = soak.load.quantiles(0.5, 0.99)
    lost = int(soak.metrics.get("dropped", 0) + soak.metrics.get("failed", 0))
    growth, slope = trend(soak.memory)
    last = soak.memory[-1][1] / 2**20
    return [
        (
            f"{soak.load.total:,} answers for {soak.rows:,} rows in {soak.load.seconds:.0f} s "
            f"(p50 {median:.1f} ms, p99 {high:.1f} ms), refused as bad: {errors}, 503: {len(soak.load.refused)}",
            not others and not soak.bad_answered,
        ),
        (
            f"memory {last:.0f} MiB at the end, {slope:+.2f} MiB for 100,000 requests, {growth:+.1%} between the "
            f"second quarter and the last (flat: within {FLAT:.0%})",
            growth <= FLAT,
        ),
        (
            f"payload log: {soak.logged_rows:,} rows on disk and {lost:,} counted as lost, of {soak.rows:,} answered",
            soak.logged_rows + lost == soak.rows,
        ),
        (f"the server ended by SIGTERM with exit code {soak.exit_code}", soak.exit_code == 0),
    ]


def trend(memory: Sequence[tuple[int, int]]) -> tuple[float, float]:
    """Growth from the second quarter to the last as a share, and MiB for 100,000 requests after the first quarter."""
    quarter = max(1, len(memory) // 4)
    sizes = np.array([size for _, size in memory], dtype=float)
    early = sizes[quarter : 2 * quarter].mean() if len(memory) > 1 else sizes[0]
    growth = float(sizes[-quarter:].mean() / early - 1)
    answers = np.array([count for count, _ in memory[quarter:]], dtype=float)
    if len(answers) < 2:
        return growth, 0.0
    slope = np.polyfit(answers, sizes[quarter:] / 2**20, 1)[0]
    return growth, float(slope * 100_000)


async def _slice(server: Server, http: Traffic, grpc: Traffic) -> tuple[Measurement, Measurement]:
    return await asyncio.gather(
        http_load.closed_loop(server.http_port, http.requests, HTTP_CONNECTIONS, _SLICE_SECONDS),
        grpc_load.closed_loop(server.grpc_port, grpc.requests, GRPC_CONNECTIONS, _SLICE_SECONDS),
    )


def _without_content(part: Measurement) -> Measurement:
    part.answers.clear()
    part.answered.clear()
    return part


def _shuffled(some: Traffic, order: np.random.Generator) -> Traffic:
    places = order.permutation(len(some.requests))
    return Traffic([some.requests[place] for place in places], [some.rows[place] for place in places])


def _instances(record: dict[str, object]) -> bytes:
    return json.dumps({"instances": [record]}).encode()


def _metrics(server: Server) -> dict[str, float]:
    """Rows of the payload log by their outcome."""
    with urlopen(f"http://127.0.0.1:{server.http_port}/metrics", timeout=10) as response:
        page = response.read().decode()
    return {
        sample.labels["outcome"]: sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == "kubeline_payload_rows_total"
    }


def _logged_rows(folder: Path) -> int:
    import pyarrow.dataset as ds  # noqa: PLC0415 - after the load, so that it does not weigh on the client

    files = [str(file) for file in folder.rglob("*.parquet")]
    return int(ds.dataset(files, format="parquet").count_rows()) if files else 0


if __name__ == "__main__":
    raise SystemExit(main())
