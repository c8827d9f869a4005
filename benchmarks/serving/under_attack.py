"""The model server under attack: its memory, its health checks, and honest requests meanwhile.

python -m benchmarks.serving.under_attack [--only NAME …] [--json FILE]
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from rich.console import Console
from rich.table import Table

from benchmarks.serving.attacks import GRPC, HTTP, Attack, Target
from benchmarks.serving.contenders import MODEL, PEERS, V1, ours
from benchmarks.serving.flights import flights_package, questions
from benchmarks.serving.forms import grpc_form, records
from benchmarks.serving.liveness import Liveness, Prober
from benchmarks.serving.processes import Server, share_cores

_SECONDS = 10.0  # of each attack, its end included
_PAUSE_SECONDS = 2.0  # after it
_ROWS = 300  # of an honest large request
_POD_BYTES = 2**30


@dataclass(frozen=True)
class Seen:
    """What one attack did.

    Attributes:
        name: of the attack.
        peak: bytes of memory, the most.
        after: bytes of memory, when its connections have been closed for two seconds.
        alive: answers of health checks.
        honest: how often other requests came to which status; 0 is none.
    """

    name: str
    peak: int
    after: int
    alive: Liveness
    honest: "Counter[int]"


def main() -> int:
    """Attack the server in every way, and show the table."""
    parser = argparse.ArgumentParser(description="The model server under attack.")
    parser.add_argument("--only", nargs="*", default=[], help="names of attacks")
    parser.add_argument("--json", type=Path, default=Path("runs/bench-serving-attacks.json"), help="where figures go")
    arguments = parser.parse_args()
    share_cores()
    package = flights_package()
    (small,), (large,) = (questions(package, rows, 1) for rows in (1, _ROWS))
    attacks = [attack for attack in (*HTTP, *GRPC) if not arguments.only or attack.__name__ in arguments.only]
    with ours().serve(package, PEERS / "work") as server, Prober() as prober:
        request, message = records(V1).build(large), grpc_form(MODEL).build(large)
        target = Target(server.http_port, server.grpc_port, MODEL, request, message)
        body = json.dumps({"instances": small.rows}).encode()
        seen = [measure(server, target, attack, body, prober) for attack in attacks]
    show(seen)
    write(arguments.json, seen)
    return int(any(each.peak > _POD_BYTES for each in seen))


def measure(server: Server, target: Target, attack: Attack, body: bytes, prober: Prober) -> Seen:
    """One attack, and what it did to others."""
    Path(f"/proc/{server.process.pid}/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
    over = Event()
    with ThreadPoolExecutor(1) as threads:
        alive = prober.start(target.http_port, _SECONDS)
        honest = threads.submit(ask_again_and_again, f"http://127.0.0.1:{target.http_port}{V1}", body, over)
        end = time.monotonic() + _SECONDS
        with ExitStack() as stack:
            attack(target, stack)
            time.sleep(max(0.0, end - time.monotonic()))
        over.set()
    peak = server.memory()
    time.sleep(_PAUSE_SECONDS)
    return Seen(attack.__name__, peak, server.memory("VmRSS"), alive(), honest.result())


def ask_again_and_again(url: str, body: bytes, over: Event) -> "Counter[int]":
    """Twenty honest requests a second, each on a connection of its own."""
    statuses: Counter[int] = Counter()
    while not over.wait(0.05):
        try:
            with urlopen(Request(url, body), timeout=10) as response:  # noqa: S310 - a server of our own
                statuses[response.status] += 1
        except HTTPError as error:
            statuses[error.code] += 1
        except OSError:
            statuses[0] += 1
    return statuses


def show(seen: Sequence[Seen]) -> None:
    """The table."""
    table = Table(title="The model server under attack")
    for heading in ("attack", "peak MiB", "after", "alive p50 ms", "p99", "max", "failed", "honest requests"):
        table.add_column(heading, justify="left" if heading == "attack" else "right")
    for each in seen:
        honest = ", ".join(f"{count} x {status}" for status, count in sorted(each.honest.items()))
        table.add_row(
            each.name.replace("_", " "), f"{each.peak / 2**20:.0f}", f"{each.after / 2**20:.0f}",
            *(f"{value:.1f}" for value in each.alive.quantiles()), str(each.alive.failed), honest,
        )  # fmt: skip
    Console(width=140, highlight=False).print(table)


def write(file: Path, seen: Sequence[Seen]) -> None:
    """Write the figures as JSON."""
    file.parent.mkdir(parents=True, exist_ok=True)
    records = [
        {
            "attack": each.name,
            "peak_bytes": each.peak,
            "after_bytes": each.after,
            "liveness_p50_p99_max_ms": [round(value, 2) for value in each.alive.quantiles()],
            "liveness_failed": each.alive.failed,
            "honest": dict(each.honest),
        }
        for each in seen
    ]
    file.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
