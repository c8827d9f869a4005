"""What sets the environment up: uv comes by its hash, and is given what pip is configured with."""

import importlib.util
import os
import re
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def environment() -> ModuleType:
    spec = importlib.util.spec_from_file_location("environment", ROOT / ".ci" / "environment.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_uv_is_installed_by_the_version_and_the_hashes_of_the_lock(environment: ModuleType) -> None:
    lines = environment.own_lines((ROOT / "requirements.lock").read_text(encoding="utf-8")).splitlines()
    assert re.fullmatch(r"uv==[0-9.]+ \\", lines[0])
    assert len(lines) > 10
    assert all(line.strip().startswith("--hash=sha256:") for line in lines[1:])
    assert not lines[-1].endswith("\\")


def test_what_make_starts_keeps_bytecode_whatever_the_shell_says() -> None:
    probe = f"include {ROOT / 'Makefile'}\nprobe:\n\t@printenv PYTHONDONTWRITEBYTECODE || echo unset\n"
    command = ["make", "--silent", "--file=-", "probe"]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    reported = subprocess.run(
        command, cwd=ROOT, env=environment, input=probe, capture_output=True, text=True, check=True
    )
    assert reported.stdout == "unset\n"


def test_uv_is_reported_what_pip_is_configured_with_and_the_environment_wins(environment: ModuleType) -> None:
    listed = "\n".join(
        [
            "global.index-url='https://packages.example/simple'",
            "install.index-url='https://install.example/simple'",
            ":env:.index-url='https://user:secret@environment.example/simple'",
            "global.extra-index-url='https://one.example/simple\\nhttps://two.example/simple'",
            "global.find-links='/wheels /more-wheels'",
            "global.cert='/certificates.crt'",
            "freeze.index-url='https://nobody.example'",
            "global.disable-pip-version-check='1'",
        ]
    )
    assert environment.for_uv(listed) == {
        "UV_DEFAULT_INDEX": "https://user:secret@environment.example/simple",
        "UV_INDEX": "https://one.example/simple https://two.example/simple",
        "UV_FIND_LINKS": "/wheels,/more-wheels",
        "SSL_CERT_FILE": "/certificates.crt",
    }


def test_where_pip_is_not_configured_uv_asks_its_own_default(environment: ModuleType) -> None:
    assert environment.for_uv("") == {}


@pytest.mark.parametrize("name", ["requirements.lock", "Makefile", "Dockerfile", ".ci/environment.py", ".ci/run"])
def test_no_file_names_a_registry(name: str) -> None:
    assert "pypi" not in (ROOT / name).read_text(encoding="utf-8").replace("pypi.python.org/pypi/", "").lower()
