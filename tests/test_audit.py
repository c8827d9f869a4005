"""The audit of locked packages: a database that cannot be asked is never taken for one that knows of nothing."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar

import pytest
from uv import find_uv_bin

from tests.support.http_servers import serving

ROOT = Path(__file__).parents[1]


class Database(BaseHTTPRequestHandler):
    """A database of vulnerabilities that speaks OSV's protocol."""

    known: ClassVar[dict[str, str]] = {}
    asked: ClassVar[list[str]] = []

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = query["package"]["name"]
        self.asked.append(name)
        body = json.dumps({"vulns": [vulnerability(self.known[name], name)]} if name in self.known else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def vulnerability(identifier: str, name: str) -> dict[str, Any]:
    ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.0"}]}]
    affected = [{"package": {"name": name, "ecosystem": "PyPI"}, "ranges": ranges}]
    return {"id": identifier, "details": "it is broken", "affected": affected}


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The interpreter of an environment made from the audit's own lock."""
    made, uv = tmp_path_factory.mktemp("audit") / "environment", find_uv_bin()
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, made], check=True)
    python = str(made / "bin" / "python")
    install = [uv, "pip", "install", "--quiet", "--python", python, "--no-deps", "--require-hashes"]
    subprocess.run([*install, "--requirement", ROOT / ".ci" / "audit.lock"], check=True)
    return python


@pytest.fixture
def database() -> Iterator[str]:
    Database.known, Database.asked = {}, []
    with serving(Database) as url:
        yield f"{url}/v1/query"


def audit(python: str, lock: Path, address: str) -> "subprocess.CompletedProcess[str]":
    database = {"PIP_AUDIT_VULNERABILITY_SERVICE": "osv", "PIP_AUDIT_OSV_URL": address}
    command: list[str | Path] = [python, ROOT / ".ci" / "audit.py", lock]
    return subprocess.run(
        command, env={**os.environ, **database}, capture_output=True, text=True, check=False, cwd=ROOT
    )


def test_a_database_that_knows_of_nothing_is_a_pass(python: str, database: str) -> None:
    done = audit(python, ROOT / "images" / "kfp.lock", database)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("images/kfp.lock: asked about 1 packages, 0 vulnerabilities\n")
    assert Database.asked == ["kfp"]


def test_a_vulnerability_is_named_with_the_version_that_mends_it(python: str, database: str) -> None:
    Database.known = {"kfp": "PYSEC-2026-1"}
    done = audit(python, ROOT / "images" / "kfp.lock", database)
    assert done.returncode == 1
    assert "PYSEC-2026-1, fixed in 99.0" in done.stdout


def test_a_database_that_cannot_be_reached_is_a_failure_of_its_own_which_says_so(python: str) -> None:
    done = audit(python, ROOT / "images" / "kfp.lock", "http://127.0.0.1:9/v1/query")
    assert done.returncode == 3
    assert "NOT CHECKED: " in done.stdout
    assert "Connection refused" in done.stdout


def test_a_lock_without_packages_is_not_taken_for_one_without_vulnerabilities(
    python: str, database: str, tmp_path: Path
) -> None:
    (tmp_path / "empty.lock").write_text("# nothing\n", encoding="utf-8")
    done = audit(python, tmp_path / "empty.lock", database)
    assert done.returncode == 3
    assert "names no package" in done.stdout


def test_every_lock_is_audited() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (locks,) = (line for line in makefile.splitlines() if line.startswith("LOCKS "))
    named = {path for pattern in locks.partition(":=")[2].split() for path in ROOT.glob(pattern)}
    listed = subprocess.run(["git", "ls-files", "*.lock"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert named == {ROOT / path for path in listed.stdout.split()}
