"""Known vulnerabilities in what is locked: ``python .ci/audit.py LOCK...``, or ``make audit``.

It is pip-audit that asks, of PyPI; its variables, such as PIP_AUDIT_VULNERABILITY_SERVICE, name another database.

Exit code 0: the database was asked about every package of every lock, and knows of nothing. 1: it knows of something.
3: it could not be asked about all of them, which is never taken for nothing.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

FOUND, NOT_KNOWN = 1, 3
OPTIONS = ("--require-hashes", "--disable-pip", "--progress-spinner", "off", "--format", "json")


def main(*locks: str) -> int:
    """Ask about each lock, report what was found, and what could not be asked."""
    found: list[str] = []
    unknown: list[str] = [] if locks else ["no lock was given"]
    for lock in locks:
        packages, reason = ask(lock)
        vulnerable = [line for package in packages for line in vulnerabilities(package)]
        skipped = [f"{package['name']} ({package['skip_reason']})" for package in packages if "skip_reason" in package]
        print(f"{lock}: asked about {len(packages) - len(skipped)} packages, {len(vulnerable)} vulnerabilities")
        found += [f"{lock}: {line}" for line in vulnerable]
        unknown += [f"{lock}: {one}" for one in [*skipped, reason] if one]
    for line in found:
        print(f"vulnerable: {line}")
    for line in unknown:
        print(f"NOT CHECKED: {line}")
    if unknown:
        print("audit: not everything was checked; repeat this where the database of vulnerabilities can be reached")
    return FOUND if found else NOT_KNOWN if unknown else 0


def ask(lock: str) -> tuple[list[dict[str, object]], str]:
    """What pip-audit says of each package of a lock, or why it says nothing."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [sys.executable, "-m", "pip_audit", *OPTIONS, "--requirement", lock, "--output", str(answer)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (pip-audit)
        if done.returncode in {0, FOUND} and answer.exists():
            packages = json.loads(answer.read_text(encoding="utf-8"))["dependencies"]
            return packages, "" if packages else "it names no package"
    words = done.stderr.strip().splitlines() or ["no message"]
    return [], f"pip-audit ended with {done.returncode}: {words[-1]}"


def vulnerabilities(package: dict[str, object]) -> list[str]:
    """One line for each that is known of a package."""
    known = package.get("vulns") or []
    assert isinstance(known, list)  # noqa: S101 (pip-audit's format)
    versions = [(one["id"], ", ".join(one["fix_versions"]) or "nothing yet") for one in known]
    return [f"{package['name']} {package.get('version')}: {id_}, fixed in {fix}" for id_, fix in versions]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
