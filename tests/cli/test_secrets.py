"""`kubeline run` keeps no secret, and what it keeps only its owner may read."""

import json
from pathlib import Path

import pytest

from kubeline.cli import main

_SECRETS = {
    "title": "from postgresql://reader:corr3ct/h0rse@db:5432/flights and https://store/t.csv?X-Amz-Signature=abc123def",
    "sizes": '[{"size": 1, "password": "hunter-22"}]',
}


@pytest.fixture
def ran(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that was given secrets by parameters and by the environment, and whose steps print them all."""
    noisy = tmp_path / "noisy.yaml"
    words = 'import os; print(limit, os.environ[\\"PGPASSWORD\\"], \\"s3://AKIAKEY:se/cret@bucket\\")'
    code = toy.read_text(encoding="utf-8").replace(
        "from kubeline.artifacts import step", f"{words}; from kubeline.artifacts import step"
    )
    noisy.write_text(code, encoding="utf-8")
    monkeypatch.setenv("PGPASSWORD", "environment-secret")
    pairs = [word for name, value in _SECRETS.items() for word in ("--set", f"{name}={value}")]
    assert main(["run", str(noisy), "--output", str(tmp_path / "runs"), *pairs]) == 0
    return tmp_path / "runs"


def test_no_file_of_a_run_holds_a_password_a_signed_address_or_a_key(ran: Path) -> None:
    (folder,) = ran.glob("toy-*")
    log = (folder / "log.txt").read_text(encoding="utf-8")
    assert "5 *** s3://bucket" in log
    assert "5 *** s3://bucket" in (folder / "logs" / "judge.txt").read_text(encoding="utf-8")
    assert '"outputFile"' in log  # the executor's input, with the values of the parameters
    files = [file for file in ran.rglob("*") if file.is_file()]
    assert len(files) > 8
    for word in ("h0rse", "abc123def", "hunter-22", "environment-secret", "AKIAKEY", "se/cret"):
        assert [str(file) for file in files if word.encode() in file.read_bytes()] == []


def test_the_arguments_of_a_run_are_kept_without_their_secrets(ran: Path) -> None:
    (file,) = ran.glob("toy-*/arguments.json")
    kept = json.loads(file.read_text(encoding="utf-8"))
    assert kept["title"] == "from postgresql://db:5432/flights and https://store/t.csv"
    assert kept["sizes"] == [{"size": 1, "password": "***"}]


def test_only_its_owner_may_read_a_run(ran: Path) -> None:
    (folder,) = ran.glob("toy-*")
    assert folder.stat().st_mode & 0o777 == 0o700
    for name in ("arguments.json", "log.txt", "result.json"):
        assert (folder / name).stat().st_mode & 0o777 == 0o600
    logs = list((folder / "logs").iterdir())
    assert {"judge.txt", "make-0.txt"} <= {log.name for log in logs}
    assert [str(log) for log in logs if log.stat().st_mode & 0o077] == []
    assert [str(path) for path in folder.rglob("executor_output.json") if path.stat().st_mode & 0o077] == []


def test_a_yaml_bomb_on_the_command_line_is_a_sentence(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(toy), "--set", f"sizes={'[' * 5_000}"]) == 2
    assert capsys.readouterr().err == "kubeline: --set sizes is nested more than 100 levels deep; flatten it\n"


def test_an_error_of_the_command_line_shows_no_credentials(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(toy), "--set", "limit=postgresql://me:pw-123@host/x"]) == 2
    assert "pw-123" not in capsys.readouterr().err
