"""The model server under attack: its memory, its health checks, and honest requests meanwhile.

python -m benchmarks.serving.under_attack [--only NAME …] [--minutes 10] [--json FILE]

The server has the memory of its pod, where a control group can be made. The attacker is a process of the lowest
priority: elsewhere, it would take none of the server's CPUs, nor those of the health checks. Each attack's row is
printed as it ends.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import pickle
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from benchmarks.serving.attacks import ATTACKS, Target
from benchmarks.serving.contenders import MODEL, PEERS, V1, ours
from benchmarks.serving.flights import flights_package, questions
from benchmarks.serving.forms import grpc_form, records
from benchmarks.serving.liveness import Liveness, Prober
from benchmarks.serving.memory_limit import MemoryLimit, memory_limit
from benchmarks.serving.processes import Server, share_cores
from kubeline.model_package import ModelPackage

POD_BYTES = 2**30  # the memory limit of manifests/runtime
_SECONDS = 10.0  # of each attack, its end included
_PAUSE_SECONDS = 2.0  # after it
_MAX_SECONDS = 40.0  # for one attack with everything around it
_ROWS = 300  # of an honest large request
_COLUMNS = "{:32} {:>8} {:>8} {:>9} {:>9} {:>9} {:>7}  {}"


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
    """Attack the server in every way, and print what that did; 1 when it ended, or not every attack had its turn."""
    parser = argparse.ArgumentParser(description="The model server under attack.")
    parser.add_argument("--only", nargs="*", default=list(ATTACKS), choices=ATTACKS, metavar="NAME", help="of attacks")
    parser.add_argument("--minutes", type=float, default=10.0, help="after which no other attack begins")
    parser.add_argument("--json", type=Path, default=Path("runs/bench-serving-attacks.json"), help="where figures go")
    arguments = parser.parse_args()
    share_cores()
    package = flights_package()
    (small,), (large,) = (questions(package, rows, 1) for rows in (1, _ROWS))
    body = json.dumps({"instances": small.rows}).encode()
    end = time.monotonic() + 60 * arguments.minutes - _MAX_SECONDS
    seen: list[Seen] = []
    with memory_limit(POD_BYTES, f"kubeline-attacks-{os.getpid()}") as limit, Prober() as prober:
        print(f"memory of the server: {f'at most {POD_BYTES >> 20} MiB' if limit else 'without a limit'}")
        with _serve(package, limit) as server:
            request, message = records(V1).build(large), grpc_form(MODEL).build(large)
            target = Target(server.http_port, server.grpc_port, MODEL, request, message)
            print(_COLUMNS.format("attack", "peak MiB", "after", "alive p50", "p99 ms", "max", "failed", "honest"))
            for name in arguments.only:
                if server.process.poll() is not None or time.monotonic() > end:
                    break
                seen.append(measure(server, target, name, body, prober))
                show(seen[-1])
                write(arguments.json, seen)
            ended = server.process.poll()
    if ended is not None:
        print(f"the server ended with {ended}; its last words: {server.last_words()}")
    if missing := arguments.only[len(seen) :]:
        print(f"not tried: {', '.join(missing)}")
    return int(ended is not None or bool(missing))


@contextlib.contextmanager
def _serve(package: ModelPackage, limit: MemoryLimit | None) -> Iterator[Server]:
    contender = ours()

    def start(*arguments: object) -> tuple[list[str], Mapping[str, str]]:
        command, environment = contender.start(*arguments)  # type: ignore[arg-type]
        return limit.around(command) if limit else list(command), environment

    with dataclasses.replace(contender, start=start).serve(package, PEERS / "work") as server:
        yield server


def measure(server: Server, target: Target, name: str, body: bytes, prober: Prober) -> Seen:
    """One attack, and what it did to others."""
    Path(f"/proc/{server.process.pid}/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
    over = Event()
    with ThreadPoolExecutor(1) as threads, _attacker(name, target) as begin:
        alive = prober.start(target.http_port, _SECONDS)
        honest = threads.submit(ask_again_and_again, f"http://127.0.0.1:{target.http_port}{V1}", body, over)
        begin()
        time.sleep(_SECONDS)
        over.set()
    peak = server.memory()
    time.sleep(_PAUSE_SECONDS)
    return Seen(name, peak, server.memory("VmRSS"), alive(), honest.result())


@contextlib.contextmanager
def _attacker(name: str, target: Target) -> Iterator[Callable[[], None]]:
    """A process that attacks when it is asked to, and has ended with the block, and with it its connections."""
    command = [sys.executable, "-m", "benchmarks.serving.attacks"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # noqa: S603 - ours
        assert process.stdin is not None  # noqa: S101 - as asked for
        assert process.stdout is not None  # noqa: S101
        commands = process.stdin
        try:
            pickle.dump((name, target), commands)
            commands.flush()
            process.stdout.readline()

            def begin() -> None:
                commands.write(b"begin\n")
                commands.flush()

            yield begin
        finally:
            process.kill()


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


def show(seen: Seen) -> None:
    """The row of one attack."""
    honest = ", ".join(f"{count} x {status}" for status, count in sorted(seen.honest.items()))
    memory = (f"{size / 2**20:.0f}" for size in (seen.peak, seen.after))
    times = (f"{value:.1f}" for value in seen.alive.quantiles())
    print(_COLUMNS.format(seen.name.replace("_", " "), *memory, *times, seen.alive.failed, honest), flush=True)


def write(file: Path, seen: list[Seen]) -> None:
    """Write the figures as JSON."""
    file.parent.mkdir(parents=True, exist_ok=True)
    figures = [
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
    file.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
