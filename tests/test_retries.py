"""What deserves repeating is repeated inside the step, within a budget."""

import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from components.load.component import load
from kubeline import retries
from kubeline.errors import PlatformError, UserError
from tests.support.http_servers import serving


class Busy(BaseHTTPRequestHandler):
    """Turns the first requests away, and says when to come again."""

    rejected = 0
    after = "1"
    seen: list[float] = []  # noqa: RUF012 (of one test)

    def do_GET(self) -> None:
        Busy.seen.append(time.monotonic())
        busy = len(Busy.seen) <= Busy.rejected
        body = b"" if busy else b"a,b\n1,2\n"
        self.send_response(503 if busy else 200)
        self.send_header("Retry-After", Busy.after)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    Busy.seen.clear()
    Busy.after = "1"
    with serving(Busy) as url:
        yield f"{url}/t.csv"


def run(address: str, artifact: Any) -> Any:
    dataset = artifact("Dataset", "dataset")
    load.python_func(source=address, dataset=dataset)
    return dataset


def test_a_busy_server_is_asked_again_when_it_said(
    address: str, artifact: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBELINE_RETRY_SECONDS", "30")
    Busy.rejected = 1
    assert run(address, artifact).metadata["rows"] == 1
    assert Busy.seen[1] - Busy.seen[0] >= 1


def test_a_time_that_is_no_number_is_none(address: str, artifact: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBELINE_RETRY_SECONDS", "30")
    Busy.rejected, Busy.after = 1, "²"  # a digit to Python, which reads no number from it
    assert run(address, artifact).metadata["rows"] == 1


def test_the_budget_ends_the_tries(address: str, artifact: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBELINE_RETRY_SECONDS", "1.5")
    Busy.rejected = 100
    with pytest.raises(PlatformError, match="HTTP 503"):
        run(address, artifact)
    assert len(Busy.seen) == 2


def test_on_this_machine_nothing_is_repeated_unless_it_is_asked_for(address: str, artifact: Any) -> None:
    Busy.rejected = 100
    with pytest.raises(PlatformError, match="HTTP 503"):
        run(address, artifact)
    assert len(Busy.seen) == 1
    assert retries.budget() == 0


def test_in_a_pod_the_budget_is_two_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KFP_POD_NAME", "training-abc")
    assert retries.budget() == 120


def test_wrong_input_is_never_repeated(artifact: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBELINE_RETRY_SECONDS", "3600")
    with pytest.raises(UserError, match="there is no file at"):
        run(str(tmp_path / "none.csv"), artifact)


def test_a_budget_that_is_no_number_of_seconds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in ("soon", "-1", "inf", "nan"):
        monkeypatch.setenv("KUBELINE_RETRY_SECONDS", wrong)
        with pytest.raises(UserError, match=f"KUBELINE_RETRY_SECONDS is '{wrong}'"):
            retries.budget()
