"""LightGBM's part of a worker: its own network, whose list of machines the workers make here.

LightGBM wants the addresses of all workers beforehand, and a worker whose peer is gone reads from it for ever. So:
worker 0 writes a ``round``, a word of its own; each other answers with its address in that round, and worker 0 writes
the ``group`` of all of them. While it learns, each follows the round, and ends when another one has begun: worker 0 was
begun again, or another worker, which finds that it is in no group and ends the round. The model is the same, byte for
byte, when all of them begin again, from the start: LightGBM has no checkpoint that it would go on from as if it had
never stopped.
"""

import contextlib
import json
import os
import re
import secrets
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import lightgbm
import numpy as np
import pyarrow as pa

from kubeline.errors import PlatformError
from kubeline.ports import free_ports
from kubeline.training.distributed.exchange import FOLDER, URL, Exchange
from kubeline.training.distributed.job import GROUP, ROUND, Job, address, numbers
from kubeline.training.distributed.server import address_towards
from kubeline.typing import Array

_GROUP_SECONDS = 600.0  # for all workers to come together
_MINUTES = 10  # for each to answer within one operation
_DONE = b"done"  # the round, when there is a model
_OF_THE_NETWORK = re.compile(r"^\[(machines|local_listen_port): .*\]\n", re.MULTILINE)  # which the model would keep


class Member(NamedTuple):
    """A worker in a round; `word` is no other's, also not of one before it there."""

    address: str
    word: str


@contextlib.contextmanager
def learned(
    job: Job, path: Path, exchange: Exchange, worker: int, environment: Mapping[str, str]
) -> Iterator[tuple[bytes, int]]:
    """The model, and from how many rows this worker learned; after the block it waits until worker 0 is done.

    Args:
        job: of the training.
        path: of this worker's rows.
        exchange: by which the workers find each other.
        worker: which one this is.
        environment: with the number of workers.
    """
    near = FOLDER in environment
    pause = 0.1 if near else 1.0
    host = "127.0.0.1" if near else address_towards(str(urlsplit(environment[URL]).hostname))
    if ":" in host:
        raise PlatformError(f"this pod has the address {host}, and LightGBM's network is IPv4 alone; choose xgboost")
    workers, [port] = int(environment["DMLC_NUM_WORKER"]), free_ports(1)
    here = Member(f"{host}:{port}", secrets.token_hex(8))
    if worker == 0:
        named, members = _gather(exchange, here, workers, pause)
    else:
        named, members = _join(exchange, here, worker, pause)
    done = threading.Event()
    threading.Thread(target=_follow, args=(exchange, named, done, 2 * pause), daemon=True).start()
    rows = PartRows(path)
    yield _learn(job, rows, members, port), len(rows)
    if worker == 0:
        exchange.put(ROUND, _DONE)
    else:
        done.wait()  # worker 0 would miss this one, if it began again


def _gather(exchange: Exchange, here: Member, workers: int, pause: float) -> tuple[str, list[Member]]:
    """Begin a round, as worker 0."""
    named, members = here.word, {0: here}
    deadline = time.monotonic() + _GROUP_SECONDS
    while len(members) < workers:
        if _text(exchange, ROUND) != named:
            exchange.put(ROUND, named.encode())
        for worker in set(range(workers)) - set(members):
            found = json.loads(_text(exchange, address(worker)) or "{}")
            if found.get("round") == named:
                members[worker] = Member(*found["member"])
        if time.monotonic() > deadline:
            raise TimeoutError(f"Error: {len(members)} of {workers} workers came together within {_GROUP_SECONDS:g} s")
        time.sleep(pause)
    group = [members[worker] for worker in range(workers)]
    exchange.put(ROUND, named.encode())  # a single worker has not yet
    exchange.put(GROUP, json.dumps({"round": named, "members": group}).encode())
    return named, group


def _join(exchange: Exchange, here: Member, worker: int, pause: float) -> tuple[str, list[Member]]:
    """Come into the round of worker 0, as another one."""
    answered = ""
    deadline = time.monotonic() + _GROUP_SECONDS
    while time.monotonic() < deadline:
        named = _text(exchange, ROUND)
        group = json.loads(_text(exchange, GROUP) or "{}")
        if named and named == group.get("round"):
            members = [Member(*one) for one in group["members"]]
            if here in members:
                return named, members
            exchange.put(ROUND, b"")  # it has this worker as it was before it was begun again
        elif named and named != answered:
            exchange.put(address(worker), json.dumps({"round": named, "member": here}).encode())
            answered = named
        time.sleep(pause)
    raise TimeoutError(f"Error: worker 0 made no group of all workers within {_GROUP_SECONDS:g} s")


def _follow(exchange: Exchange, named: str, done: threading.Event, pause: float) -> None:
    """Wait for the model, and end this process when its round is over without one, or the step is gone."""
    with contextlib.suppress(PlatformError):
        while (found := _text(exchange, ROUND)) == named:
            time.sleep(pause)
        if found == _DONE.decode():
            done.set()
            return
        sys.stderr.write("Error: another worker was lost\n")
    sys.stderr.flush()
    os._exit(1)


def _text(exchange: Exchange, name: str) -> str:
    found = exchange.fetch(name)
    return found.read_text(encoding="utf-8") if found else ""


def _learn(job: Job, rows: "PartRows", members: list[Member], port: int) -> bytes:
    network: dict[str, Any] = {}
    if len(members) > 1:
        network = {
            "machines": ",".join(one.address for one in members),
            "num_machines": len(members),
            "local_listen_port": port,
            "time_out": _MINUTES,
            "tree_learner": "data",
            "pre_partition": True,
        }
    params = {**job.params, **network, "num_threads": job.threads}
    label, weight = rows.column("label"), rows.column("weight")
    data = lightgbm.Dataset(rows, label, weight=weight, params=params, free_raw_data=True)
    model: str = lightgbm.train(params, data, job.rounds).model_to_string()
    return _OF_THE_NETWORK.sub("", model).encode()


class PartRows(lightgbm.Sequence):
    """The rows of a worker, a batch at a time; LightGBM keeps their bins."""

    def __init__(self, path: Path) -> None:
        self._file = pa.ipc.open_file(pa.OSFile(str(path)))
        self._count: int = sum(self._file.get_batch(number).num_rows for number in range(self._file.num_record_batches))
        self.batch_size = self._file.get_batch(0).num_rows  # all have as many, but the last
        self._held, self._values = -1, np.empty(0, np.float32)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, where: Any) -> Array:
        """A row, which LightGBM draws its bins from, or the rows of a batch."""
        first = where.start if isinstance(where, slice) else where
        if first // self.batch_size != self._held:
            self._held = first // self.batch_size
            self._values = numbers(self._file.get_batch(self._held))
        if isinstance(where, slice):
            return self._values
        row: Array = self._values[where % self.batch_size].astype(np.float64)  # what it samples is of 8 bytes
        return row

    def column(self, name: str) -> Array | None:
        """The labels or the weights, where there are any; copied, since a view would hold its batch in memory."""
        if name not in self._file.schema.names:
            return None
        batches = range(self._file.num_record_batches)
        return np.concatenate([self._file.get_batch(number).column(name).to_numpy().copy() for number in batches])
