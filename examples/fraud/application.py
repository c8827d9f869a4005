"""The application of the bank: it asks the served model about each payment, and may publish what that said.

What monitoring reads is the model server's payload log. With the address of a broker it is a topic of Kafka,
``scored-payments``, that the application publishes each answer to: with the columns that it asked by, the id of the
request, and what the model said.
"""

import http.client
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from kubeline import PlatformError

MODEL, TOPIC = "fraud", "scored-payments"
FEATURES = [
    *("amount", "merchant", "home_country", "shop_country", "paid_at"),
    *("paid_last_hour", "paid_last_day", "spent_last_day"),
]
_SECONDS = 60


@dataclass(frozen=True)
class Answers:
    """What came of the questions: how many were answered and failed, and how many payments are held for fraud."""

    answered: int
    failed: int
    held: int


@contextmanager
def serving(model: str, tracking_uri: str, log: Path) -> Iterator[int]:
    """`kubeline serve`, which logs what it answers; yields its port.

    When the block ends, everything that was answered is in the log.
    """
    http_port, grpc_port = _free_ports()
    command = [str(Path(sys.executable).with_name("kubeline")), "serve", model, "--tracking-uri", tracking_uri]
    command += ["--payload-log", str(log), "--port", str(http_port), "--grpc-port", str(grpc_port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603 (our own command)
        try:
            if server.stdout is None or not server.stdout.readline().startswith("serving"):
                raise PlatformError("the model was not served; see what the server said above")
            yield http_port
        finally:
            server.terminate()  # as Ctrl-C, which jobs in the background ignore: it writes what it has accepted
            server.communicate(timeout=_SECONDS)


def _free_ports() -> tuple[int, int]:
    """Two ports that nothing listens on."""
    with socket.socket() as first, socket.socket() as second:
        for one in (first, second):
            one.bind(("", 0))
        return first.getsockname()[1], second.getsockname()[1]


def ask(port: int, seen: pd.DataFrame, broker: str = "") -> Answers:
    """Ask about each payment in turn, by its id; where there is a broker, answers are published as well."""
    answered = failed = held = 0
    publisher = _Publisher(broker) if broker else None
    rows = seen[["payment", *FEATURES]].to_dict("records")
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)) as connection:
        for row in rows:
            payment = str(row.pop("payment"))
            status, answer = _one(connection, payment, {str(name): value for name, value in row.items()})
            if status != 200:
                failed += 1
                continue
            answered += 1
            held += answer["predictions"][0] == "fraud"
            if publisher:
                publisher.publish(_message(payment, row, answer))
    if publisher:
        publisher.finish()
    return Answers(answered, failed, held)


def _one(connection: http.client.HTTPConnection, payment: str, row: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    headers = {"Content-Type": "application/json", "X-Request-Id": payment}
    connection.request("POST", f"/v1/models/{MODEL}:predict", json.dumps({"instances": [row]}), headers)
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def _message(payment: str, row: dict[Any, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """A row, named as in the payload log."""
    by_class = zip(answer["classes"], answer["probabilities"][0], strict=True)
    probabilities = {f"output.probability.{name}": value for name, value in by_class}
    return {**row, "request.id": payment, "output.prediction": answer["predictions"][0], **probabilities}


class _Publisher:
    """Writes messages to the topic, in order."""

    def __init__(self, broker: str) -> None:
        from confluent_kafka import Producer  # noqa: PLC0415 (the extra kafka, needed with a broker alone)

        self._broker, self._lost = broker, 0
        # an answer does not wait for others
        self._producer = Producer({"bootstrap.servers": broker, "acks": "all", "linger.ms": 0, "batch.num.messages": 1})

    def publish(self, message: dict[str, Any]) -> None:
        """Queue a message."""
        self._producer.produce(TOPIC, json.dumps(message), callback=self._delivered)
        self._producer.poll(0)

    def finish(self) -> None:
        """Wait until the broker has all of them."""
        self._lost += self._producer.flush(_SECONDS)
        if self._lost:
            raise PlatformError(f"the broker {self._broker} did not take {self._lost:,} messages; see whether it runs")

    def _delivered(self, error: Any, _: Any) -> None:
        self._lost += error is not None
