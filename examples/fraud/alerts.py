"""A webhook on this machine, which stands for the team's channel: it keeps the messages that `notify` sends it."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

URLS = "KUBELINE_NOTIFY_URLS"


@dataclass(frozen=True)
class Alert:
    """A message: its headline, its text, and whether it is a `success`, a `warning` or a `failure`."""

    title: str
    text: str
    kind: str


@contextmanager
def webhook() -> Iterator[list[Alert]]:
    """Every run within the block sends its message here too; yields them as they come."""
    alerts: list[Alert] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            alerts.append(Alert(message["title"], message["message"], message["type"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    before = os.environ.get(URLS)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        os.environ[URLS] = f"{before or ''} json://127.0.0.1:{server.server_port}/alerts".strip()
        try:
            yield alerts
        finally:
            server.shutdown()
            os.environ.pop(URLS)
            if before is not None:
                os.environ[URLS] = before
