"""Every alert of manifests/monitoring, tried by promtool on series on which it fires and on which it does not."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
CASES = yaml.safe_load((ROOT / "tests" / "serving" / "alerts.yaml").read_text(encoding="utf-8"))["tests"]
ALERTS = {
    rule["alert"]
    for file in (ROOT / "manifests" / "monitoring").glob("*-rule.yaml")
    for group in yaml.safe_load(file.read_text(encoding="utf-8"))["spec"]["groups"]
    for rule in group["rules"]
}


def alerts(path: str) -> "subprocess.CompletedProcess[str]":
    """`make alerts`, with the programs of this search path."""
    command = [sys.executable, str(ROOT / ".ci" / "alerts.py")]
    environment = {**os.environ, "PATH": path}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_every_alert_has_a_case_on_which_it_fires_and_one_on_which_it_does_not() -> None:
    tried = [expected for case in CASES for expected in case["alert_rule_test"]]
    for fires in (True, False):
        found = {expected["alertname"] for expected in tried if bool(expected["exp_alerts"]) == fires}
        assert found == ALERTS, fires


def test_every_alert_fires_on_its_cases_and_on_no_other_or_promtool_is_asked_for(tmp_path: Path) -> None:
    """`.ci/run` installs promtool; without it this says so, and `make alerts` fails."""
    done = alerts(os.environ["PATH"])
    if shutil.which("promtool"):
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"{len(ALERTS)} rules found" in done.stdout
        done = alerts(str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "make alerts needs promtool; on Debian: apt-get install prometheus\n"
