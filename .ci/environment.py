"""An environment from a lock: ``python .ci/environment.py FOLDER LOCK [further words for uv's last call]``.

uv installs the locked packages, hashes required, in a tenth of pip's time. It is itself one of the packages of
``requirements.lock``, and pip, which every Python has, brings it with its hash. uv does not read pip's configuration,
so what pip is configured with is handed on.
"""

import ast
import os
import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path

LOCK = Path(__file__).parents[1] / "requirements.lock"
# pip's options, what uv calls them, and what separates several values
OPTIONS = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "no-index": ("UV_NO_INDEX", " "),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "cert": ("SSL_CERT_FILE", " "),
    "client-cert": ("SSL_CLIENT_CERT", " "),
    "timeout": ("UV_HTTP_TIMEOUT", " "),
    "default-timeout": ("UV_HTTP_TIMEOUT", " "),
    "proxy": ("ALL_PROXY", " "),
}
RANKS = ("global", "install", ":env:")  # the later one wins


def main(folder: str, lock: str, *editable: str) -> None:
    """Make the environment `folder` anew and install `lock` into it; then, editable, what further words name."""
    python = Path(folder) / "bin" / "python"
    venv.create(folder, clear=True, symlinks=True)
    with tempfile.NamedTemporaryFile("w", suffix=".lock") as file:
        file.write(own_lines(LOCK.read_text(encoding="utf-8")))
        file.flush()
        pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps"]
        _run([*pip, "--require-hashes", "--requirement", file.name])
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    # Whatever index a package comes from, its hash is the lock's.
    variables = {"UV_INDEX_STRATEGY": "unsafe-best-match", **for_uv(listed.stdout), **os.environ}
    install = [str(python.with_name("uv")), "pip", "install", "--quiet", "--python", str(python), "--no-deps"]
    _run([*install, "--require-hashes", "--requirement", lock], variables)
    if editable:
        _run([*install, "--no-build-isolation", "--editable", *editable], variables)


def _run(command: Sequence[str], variables: Mapping[str, str] = os.environ) -> None:
    """Run a command that says itself what went wrong."""
    code = subprocess.run(command, env=variables, check=False).returncode  # noqa: S603 (pip and uv)
    if code:
        sys.exit(code)


def own_lines(lock: str) -> str:
    """The entry of uv in a lock, with its hashes."""
    found = re.search(r"^uv==(?:.*\\\n)*.*\n", lock, re.MULTILINE)
    if found is None:
        raise SystemExit(f"'{LOCK}' holds no uv; run make lock")
    return found[0]


def for_uv(configuration: str) -> Mapping[str, str]:
    """Environment variables by which uv knows what ``pip config list`` says."""
    found: dict[str, tuple[int, str]] = {}
    for key, _, value in (line.partition("=") for line in configuration.splitlines()):
        section, _, option = key.rpartition(".")
        if section in RANKS and option in OPTIONS:
            name, separator = OPTIONS[option]
            rank, text = RANKS.index(section), separator.join(str(ast.literal_eval(value)).split())
            found[name] = max(found.get(name, (-1, "")), (rank, text), key=lambda ranked: ranked[0])
    return {name: text for name, (_, text) in found.items()}


if __name__ == "__main__":
    main(*sys.argv[1:])
