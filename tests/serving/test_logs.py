"""Log lines as a process writes them: structured, limited, never with values of a request, never in the way."""

import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterable
from typing import Any

import pytest

from kubeline.errors import UserError
from kubeline.model_package import Signature
from kubeline_serving.codec.v1 import V1
from tests.support.packages import FEATURES

START = """
import logging, sys, time, warnings
from kubeline_serving.observability import logs
from kubeline_serving.exchange import Exchange
logs.configure()
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
def refused(status, error="", request_id="r-2", traceparent="", queue_seconds=0.0):
    return Exchange(
        "v2", request_id, traceparent, "", time.time(), 0.0, status, error,
        queue_seconds=queue_seconds, total_seconds=0.001,
    )
def request_log(access=False):
    return logs.RequestLog("tiny", "0123456789ab", ["amount", "carrier"], access=access)
"""
PRIVATE = "Alice Miller, +49 170 1234567"


def run(code: str) -> list[dict[str, Any]]:
    """The log lines that a process writes to its stdout."""
    command = [sys.executable, "-c", START + code]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


def errors_of(sentences: Iterable[str]) -> list[str]:
    code = "log = request_log()\n"
    for number, sentence in enumerate(sentences):
        code += f"log.record(refused({400 + number}, {sentence!r}))\n"
    return [line["error"] for line in run(code)]


def test_a_refused_request_is_one_line_with_its_ids_and_times() -> None:
    (line,) = run(
        "request_log().record(refused(400, 'the body is no JSON', traceparent=TRACEPARENT, queue_seconds=0.5))"
    )
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "warning",
        "logger": "kubeline_serving.requests",
        "message": "refused",
        "request_id": "r-2",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "span_id": "00f067aa0ba902b7",
        "model": "tiny",
        "version": "0123456789ab",
        "protocol": "v2",
        "status": 400,
        "rows": 0,
        "queue_ms": 500.0,
        "parse_ms": 0.0,
        "predict_ms": 0.0,
        "serialise_ms": 0.0,
        "total_ms": 1.0,
        "error": "the body is no JSON",
    }


def test_only_failures_of_the_server_are_errors() -> None:
    lines = run("log = request_log()\nfor status in (400, 404, 413, 503, 500, 504): log.record(refused(status))")
    assert [line["level"] for line in lines] == ["warning", "warning", "warning", "warning", "error", "error"]
    assert lines[-1]["message"] == "failed"


def test_answered_requests_are_logged_only_in_an_access_log_and_there_without_a_limit() -> None:
    code = "for _ in range(100): request_log(access={}).record(refused(200))"
    assert run(code.format(False)) == []
    lines = run(code.format(True))
    assert len(lines) == 100
    assert {(line["level"], line["message"]) for line in lines} == {("info", "answered")}


def test_a_flood_of_refusals_is_cut_and_counted_for_each_status_on_its_own() -> None:
    code = """
log = request_log()
for _ in range(5000): log.record(refused(400))
log.record(refused(404))
time.sleep(1.1)
log.record(refused(400))
"""
    lines = run(code)
    assert 20 < len([line for line in lines if line["status"] == 400]) < 30
    assert len([line for line in lines if line["status"] == 404]) == 1
    reported = [line["suppressed"] for line in lines if "suppressed" in line]
    assert sum(reported) + len(lines) == 5002


def test_what_a_flood_left_out_is_reported_at_the_end() -> None:
    lines = run("log = request_log()\nfor _ in range(500): log.record(refused(400))\nlog.close()")
    assert lines[-1]["message"].endswith("lines were left out, more than 1 a second of their kind")
    assert int(lines[-1]["message"].split()[0]) == 500 - (len(lines) - 1)


def test_lines_of_other_code_are_limited_too() -> None:
    lines = run("for _ in range(500): logging.getLogger('kubeline_serving.inference.engine').error('broken')")
    assert 20 <= len(lines) < 30


def test_values_of_a_request_are_in_no_line() -> None:
    signature = Signature(features=FEATURES, target="late", task="binary", classes=["False", "True"])
    good = {"amount": 1.0, "carrier": "AA", "rush": True, "departure": None}
    wrong: list[dict[str, Any]] = [
        {"amount": PRIVATE},
        {"amount": f"it's {PRIVATE} in row 3, which is no secret"},
        {"amount": 4711.25e300},
        {"carrier": 471125},
        {"departure": PRIVATE},
        {"rush": 471125},
    ]
    sentences = []
    for change in wrong:
        with pytest.raises(UserError) as refusal:
            V1(signature, 10).parse(json.dumps({"instances": [good | change]}).encode())
        sentences.append(str(refusal.value))
    with pytest.raises(UserError) as refusal:
        V1(signature, 10).parse(json.dumps({"instances": [{PRIVATE: 1}]}).encode())
    sentences.append(str(refusal.value))
    assert "Alice" in sentences[-1]  # a name that the client gave to a column
    assert not [sentence for sentence in sentences[:-1] if "Alice" in sentence or "4711" in sentence]
    logged = errors_of([*sentences, f"column 'amount' holds {PRIVATE!r}", "column 'amount' holds 4711.25e+300"])
    assert not [line for line in logged if "Alice" in line or "4711" in line or "170" in line or "e+3" in line]
    assert logged[0] == "column 'amount' takes numbers, but row 0 holds …"
    assert logged[-3] == "column 'amount' is absent in row 0"


def test_a_traceback_holds_no_value_of_a_request() -> None:
    """As of a request that should have been answered, and of rows that the payload log cannot convert."""
    (line,) = run(
        "import pyarrow as pa\n"
        f"words = [{PRIVATE!r}, '4711']\n"
        "try:\n    pa.array(words).cast(pa.int64())\n"
        "except pa.ArrowInvalid:\n    logging.getLogger('x').exception('payload log: 2 rows could not be converted')"
    )
    assert "Traceback" in line["exception"]
    assert "ArrowInvalid: Failed to parse string: '" in line["exception"]
    assert not [word for word in ("Alice", "4711", "1234567") if word in str(line)]


def test_names_that_are_not_the_models_are_masked() -> None:
    assert errors_of(["input 'amount' is given twice", f"input '{PRIVATE}' is given twice"]) == [
        "input 'amount' is given twice",
        "input '…' is given twice",
    ]


def test_loggers_of_uvicorn_and_grpc_and_warnings_go_the_same_way() -> None:
    code = """
logging.getLogger("uvicorn.error").info("Started server process [%d]", 1, extra={"color_message": "x"})
logging.getLogger("uvicorn.access").info("GET / 200")
logging.getLogger("grpc").warning("no socket")
warnings.warn("old")
"""
    lines = run(code)
    assert [line["logger"] for line in lines] == ["uvicorn.error", "grpc", "py.warnings"]
    assert lines[0]["message"] == "Started server process [1]"


def test_an_exception_is_part_of_its_line() -> None:
    (line,) = run("try: 1 / 0\nexcept ZeroDivisionError: logging.getLogger('x').exception('broke')")
    assert "ZeroDivisionError: division by zero" in line["exception"]


def test_text_that_is_no_unicode_or_holds_line_breaks_stays_one_line() -> None:
    lines = run(r"request_log().record(refused(400, 'no \udc80', request_id='a\nb'))")
    assert (len(lines), lines[0]["request_id"], lines[0]["error"]) == (1, "a\nb", "no \udc80")


def test_a_reader_that_stands_still_never_holds_up_a_request() -> None:
    code = """
log = request_log(access=True)
started = time.monotonic()
for _ in range(12_000): log.record(refused(200))
print(time.monotonic() - started, file=sys.stderr, flush=True)
sys.stdin.readline()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", START + code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline()  # all are recorded, and nobody has read a line of them
    stdout, _ = process.communicate("\n", timeout=240)
    messages = [json.loads(line)["message"] for line in stdout.splitlines()]
    dropped = [int(message.split()[0]) for message in messages if "dropped" in message]
    assert dropped
    assert sum(dropped) + messages.count("answered") == 12_000


def test_lines_of_several_processes_do_not_mix() -> None:
    code = "log = request_log(access=True)\nfor _ in range(2000): log.record(refused(200, request_id='x' * 100))"
    read, write = os.pipe()
    processes = [subprocess.Popen([sys.executable, "-c", START + code], stdout=write) for _ in range(3)]
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        lines = pipe.read().splitlines()
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert len(lines) == 6000
    assert {json.loads(line)["request_id"] for line in lines} == {"x" * 100}


def test_a_person_at_a_terminal_reads_text_without_control_characters() -> None:
    code = r"""
logging.getLogger("x").warning("\x1b[31mforged\nline")
request_log().record(refused(400, 'bad', request_id='\x1b[31mred'))
"""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", START + code], stdout=theirs)
    assert process.wait(60) == 0
    os.close(theirs)
    time.sleep(0.05)
    text = os.read(ours, 65536).decode()
    os.close(ours)
    assert "WARNING" in text
    assert 'error="bad"' in text
    assert "\x1b" not in text
    assert len(text.splitlines()) == 2
