"""Secrets of a run are taken out of text and values, wherever they turn up."""

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kubeline.data.peek import column_names, reach
from kubeline.data.sources import stage
from kubeline.deployment.inference_service import Service, render
from kubeline.errors import UserError
from kubeline.preflight.checks import Checks
from kubeline.registry import fetch
from kubeline.schema.document import read_schema
from kubeline.secrets import Formatter, Secrets
from kubeline_serving.payload_log.store import PayloadStore


def test_the_secrets_of_parameters_and_environment_are_hidden_in_any_text() -> None:
    given = {
        "data": "postgresql://reader:corr3ct-h0rse@db/flights",
        "where": "x > 1",
        "overrides": {"spec": {"env": [{"name": "AWS_SECRET_ACCESS_KEY", "value": "wJalrXUtn"}]}},
    }
    environment = {
        "MLFLOW_TRACKING_TOKEN": 'tok"en-123',
        "PGPASSWORD": "hunter-2",
        "HOME": "/home/me",
        "PWD": "/home/me",
        "OLDPWD": "/home",
    }
    hidden = Secrets(given, environment).hidden
    for word in ("corr3ct-h0rse", "wJalrXUtn", 'tok"en-123', "hunter-2"):
        assert hidden(f"it was {word}, in /home/me") == "it was ***, in /home/me"
        assert word not in hidden(json.dumps({"message": f"it was {word}"}))
    assert hidden(json.dumps({"x": 'tok"en-123'})) == '{"x": "***"}'


def test_values_are_cleaned_by_what_they_hold_and_by_their_names() -> None:
    given = {
        "data": "https://store/t.csv?X-Amz-Signature=abcdef",
        "secret": "kubeline-s3",
        "smoke": {"token_file": "/run/token", "token": "abcdefgh"},
        "env": [{"name": "DB_PASSWORD", "value": "hunter-2"}, {"name": "MODE", "value": "fast"}],
        "seed": 1,
        "columns": ["a", "b"],
    }
    assert Secrets(given, {}).cleaned(given) == {
        "data": "https://store/t.csv",
        "secret": "kubeline-s3",
        "smoke": {"token_file": "/run/token", "token": "***"},
        "env": [{"name": "DB_PASSWORD", "value": "***"}, {"name": "MODE", "value": "fast"}],
        "seed": 1,
        "columns": ["a", "b"],
    }


def test_without_secrets_nothing_changes() -> None:
    assert Secrets({"a": "b"}, {}).hidden("plain words of a log") == "plain words of a log"


def test_a_log_record_and_its_traceback_are_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "hunter-2")
    try:
        int("s3://AKIA:se/cret@bucket with hunter-2")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "f", 1, "failed on %s", ("https://u:pw@h/x",), sys.exc_info())
    text = Formatter("%(message)s").format(record)
    assert "failed on https://h/x" in text
    assert "s3://bucket with ***" in text


def test_a_name_in_a_log_line_moves_no_cursor_and_forges_no_line() -> None:
    name = "late\x1b[2J\r\nINFO kubeline.evaluation: verdict promote"
    record = logging.LogRecord("kubeline", logging.WARNING, __file__, 1, "column '%s' is constant", (name,), None)
    text = Formatter("%(levelname)s %(name)s: %(message)s").format(record)
    assert text.splitlines() == [
        r"WARNING kubeline: column 'late\x1b[2J\r",
        "    INFO kubeline.evaluation: verdict promote' is constant",
    ]


def test_the_traceback_and_the_sentence_of_a_failing_step_are_without_secrets(tmp_path: Path) -> None:
    script = """
from kubeline.artifacts import step
@step
def fail():
    import logging
    logging.getLogger("x").warning("asking https://me:topsecret@host/x?sig=abc")
    raise RuntimeError("s3://AKIAKEY:se/cret@bucket, topsecret-2")
fail()
"""
    place = tmp_path / "termination-log"
    place.touch()
    variables = {"_KFP_RUNTIME": "true", "PGPASSWORD": "topsecret-2", "KUBELINE_TERMINATION_LOG": str(place)}
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=variables, check=False)
    assert "Traceback" in ended.stderr
    for text in (ended.stderr, place.read_text()):
        assert "s3://bucket" in text
        assert [word for word in ("AKIAKEY", "cret", "topsecret", "sig=") if word in text.replace("secrets", "")] == []


_OPENERS: dict[str, Callable[[str, Path], Any]] = {
    "load": lambda uri, folder: stage(uri, "auto", folder),
    "preflight, of data": lambda uri, _: column_names(uri),
    "preflight, of a place": lambda uri, _: reach(uri),
    "a model": lambda uri, _: fetch(uri),
    "a schema": lambda uri, _: read_schema(uri),
    "the payload log": lambda uri, _: PayloadStore(uri),
    "the InferenceService": lambda uri, _: render(Service("flights", "default", uri, "0" * 64)),
}


@pytest.mark.parametrize("opener", _OPENERS)
@pytest.mark.parametrize("login", ["AKIAKEY:se/cret", "AKIAKEY:secret", "AKIAKEY"])
def test_a_key_in_the_address_of_a_store_is_refused_by_all_that_open_one_and_not_repeated(
    opener: str, login: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"'s3://bucket/t.csv' was given with a key in the address") as error:
        _OPENERS[opener](f"s3://{login}@bucket/t.csv", tmp_path)
    assert "AKIAKEY" not in str(error.value)
    assert "cret@" not in str(error.value)
    checks = Checks()
    checks.run("data", lambda: _OPENERS[opener](f"s3://{login}@bucket/t.csv", tmp_path))
    assert "AKIAKEY" not in str(checks.done)
