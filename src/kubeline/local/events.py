"""What the processes of a local run report to the one that started it: a JSON line each, over a Unix socket.

Each step has a connection of its own, so that lines of steps that run side by side do not mix, and the end of a step is
noticed even when it could not report it.
"""

import contextlib
import json
import os
import queue
import shutil
import signal
import socket
import socketserver
import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Self

ADDRESS = "KUBELINE_LOCAL_EVENTS"  # the environment variable that holds the path of the socket


@dataclass(frozen=True)
class Event:
    """One report.

    Attributes:
        kind: ``started``, ``output`` or ``ended`` of a step; ``broken`` when the pipeline as a whole cannot go on.
        task: the step; empty for the runner of the pipeline.
        text: the line of an output; of what failed, why.
        exit_code: of a step that has ended; negative for a signal.
    """

    kind: Literal["started", "output", "ended", "broken"]
    task: str = ""
    text: str = ""
    exit_code: int = 0


class Reporter:
    """Sends events to the socket whose path the environment holds. A context manager."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(address)
        self._socket.recv(1)  # somebody listens: what is sent from now on will be read

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, event: Event) -> None:
        """Send one."""
        self._socket.sendall(json.dumps(asdict(event)).encode() + b"\n")


class Receiver:
    """Listens for events. A context manager."""

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._folder = tempfile.mkdtemp()  # only its owner may enter it
        self.address = str(Path(self._folder) / "events")

    def __enter__(self) -> Self:
        self._server = _Server(self.address, self._events)
        self._listening = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._listening.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        shutil.rmtree(self._folder)

    def until_end_of(self, output: Iterable[str]) -> Iterator[Event]:
        """The events until this output ends, whose lines are events without a task."""
        threading.Thread(target=self._read, args=(output,), daemon=True).start()
        while (event := self._events.get()) is not None:
            yield event

    def remaining(self) -> Iterator[Event]:
        """The events that are still on their way when every process has ended."""
        self._server.shutdown()
        self._server.server_close()  # waits for the connections to end
        self._events.put(None)
        while (event := self._events.get()) is not None:
            yield event

    def _read(self, output: Iterable[str]) -> None:
        for line in output:
            self._events.put(Event("output", text=line))
        self._events.put(None)


class _Server(socketserver.ThreadingUnixStreamServer):
    def __init__(self, address: str, events: "queue.SimpleQueue[Event | None]") -> None:
        super().__init__(address, _Connection)
        self.events = events


class _Connection(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        running = ""
        self.wfile.write(b"\n")
        with contextlib.suppress(ConnectionError, ValueError, TypeError):  # what is no event ends the connection
            for line in self.rfile:
                event = Event(**json.loads(line))
                running = {"started": event.task, "ended": ""}.get(event.kind, running)
                self.server.events.put(event)
        if running:
            why = "it was ended from outside before it could report why"
            self.server.events.put(Event("ended", running, why, -signal.SIGKILL))


def reporting() -> bool:
    """Whether this process is to report."""
    return ADDRESS in os.environ
