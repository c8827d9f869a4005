"""Users of the served model: they ask about flights of October to December, at a given rate, through the gateway."""

import http.client
import json
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import pandas as pd

from kubeline.model_package import Signature

ROWS = 8  # flights in a request, as a page of search results has them
RATE = 120.0  # requests a second, of all connections together
QUIET_RATE = 30.0  # where nobody compares versions
CONNECTIONS = 2
_TIMEOUT_SECONDS = 10.0
_ATTEMPTS = 3  # where a busy server answers 503 and says when to ask again


@dataclass(frozen=True)
class Answer:
    """One request and what came of it.

    Attributes:
        time: Unix seconds of the request.
        version: of the model that answered; empty when none did.
        seconds: until the answer was read.
        late: whether each flight was late in the end.
        probability: of being late, as answered.
        failure: why there is no answer.
    """

    time: float
    version: str
    seconds: float
    late: tuple[bool, ...] = ()
    probability: tuple[float, ...] = ()
    failure: str = ""


class Traffic:
    """Asks from start to end of the block; every answer is kept.

    Args:
        gateway: address that requests go to.
        host: of the InferenceService, as their Host header.
        model: name of the model.
        signature: columns of the model.
        flights: rows to ask about, with the column `late`; again from the first one after the last.
        rate: requests a second, of all connections together.
        label: begins the ids of requests, behind which their numbers come; empty leaves ids to the server.
    """

    def __init__(
        self,
        gateway: str,
        host: str,
        model: str,
        signature: Signature,
        flights: pd.DataFrame,
        rate: float = RATE,
        label: str = "",
    ) -> None:
        self._rate = rate
        self.answers: list[Answer] = []
        self.asked_again = 0  # as a busy server wished
        self._gateway = urlsplit(gateway)
        self._headers = {"Host": host, "Content-Type": "application/json"}
        self._path = f"/v2/models/{model}/infer"
        self._questions = _questions(flights, signature)
        self._label = label
        self._ending = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(number,), daemon=True) for number in range(CONNECTIONS)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(_TIMEOUT_SECONDS)

    def come(self, rate: float) -> None:
        """Ask at another rate from now on, in requests a second."""
        self._rate = rate

    @property
    def failed(self) -> int:
        """Requests without an answer."""
        return sum(bool(answer.failure) for answer in list(self.answers))

    def by_version(self, since: float = 0.0) -> dict[str, int]:
        """Answered requests of each version."""
        counts: dict[str, int] = {}
        for answer in list(self.answers):
            if answer.version and answer.time >= since:
                counts[answer.version] = counts.get(answer.version, 0) + 1
        return counts

    def _ask(self, number: int) -> None:
        connection = http.client.HTTPConnection(
            str(self._gateway.hostname), self._gateway.port, timeout=_TIMEOUT_SECONDS
        )
        due, asked = time.monotonic(), number
        while not self._ending.wait(max(0.0, due - time.monotonic())):
            place = asked % len(self._questions)
            own = {"X-Request-Id": f"{self._label}-{place}"} if self._label else {}
            self.answers.append(self._one(connection, *self._questions[place], own))
            asked += CONNECTIONS
            due = max(
                due + CONNECTIONS / self._rate, time.monotonic() - 1.0
            )  # what a pause of the machine held up is not made up for
        connection.close()

    def _one(
        self, connection: http.client.HTTPConnection, body: bytes, late: tuple[bool, ...], own: dict[str, str]
    ) -> Answer:
        now, begun = time.time(), time.perf_counter()
        try:
            status, text = self._send(connection, body, {**self._headers, **own})
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return Answer(now, "", time.perf_counter() - begun, failure=f"{type(error).__name__}: {error}")
        seconds = time.perf_counter() - begun
        if status != 200:
            return Answer(now, "", seconds, failure=f"{status}: {text[:200].decode(errors='replace')}")
        response = json.loads(text)
        found = next(output["data"] for output in response["outputs"] if output["name"] == "probability")
        return Answer(now, response["model_version"], seconds, late, tuple(found[1::2]))  # False and True take turns

    def _send(self, connection: http.client.HTTPConnection, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        for attempt in range(1, _ATTEMPTS + 1):
            connection.request("POST", self._path, body, headers)
            response = connection.getresponse()
            text = response.read()
            wait = response.headers.get("Retry-After", "")
            if response.status != 503 or not wait.isdigit() or attempt == _ATTEMPTS:
                break
            self.asked_again += 1
            self._ending.wait(float(wait))
        return response.status, text


def _questions(flights: pd.DataFrame, signature: Signature) -> list[tuple[bytes, tuple[bool, ...]]]:
    """Requests of the Open Inference Protocol, each with whether its flights were late in the end."""
    late = [bool(value) for value in flights["late"]]
    columns = [(feature.name, *_values(flights[feature.name], feature.kind)) for feature in signature.features]
    return [(_body(columns, at), tuple(late[at : at + ROWS])) for at in range(0, len(flights) - ROWS + 1, ROWS)]


def _values(column: pd.Series, kind: str) -> tuple[str, list[Any]]:
    """Datatype and values of a tensor; a missing number is null."""
    if kind == "category":
        return "BYTES", [*column.fillna("").astype(str)]
    return "FP64", [*column.astype(float).astype(object).where(column.notna(), None)]


def _body(columns: list[tuple[str, str, list[Any]]], at: int) -> bytes:
    """The rows from `at` on: one tensor for each column."""
    inputs = [
        {"name": name, "shape": [ROWS, 1], "datatype": datatype, "data": values[at : at + ROWS]}
        for name, datatype, values in columns
    ]
    return json.dumps({"inputs": inputs}).encode()
