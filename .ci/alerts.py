"""The alert rules of manifests/monitoring, checked and tried by promtool: ``make alerts``.

``tests/serving/alerts.yaml`` has the cases, in the form of ``promtool test rules`` but for what a rule says itself: an
alert that fires has the severity and the description of its rule.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
RULES = ROOT / "manifests" / "monitoring"
CASES = ROOT / "tests" / "serving" / "alerts.yaml"


def main() -> int:
    """Let promtool check the rules and try the cases; 2 where there is none."""
    promtool = shutil.which("promtool")
    if promtool is None:
        print("make alerts needs promtool; on Debian: apt-get install prometheus", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        rules, cases = Path(folder) / "rules.json", Path(folder) / "cases.json"
        rules.write_text(json.dumps({"groups": groups()}), encoding="utf-8")
        cases.write_text(json.dumps(completed(yaml.safe_load(CASES.read_text(encoding="utf-8")))), encoding="utf-8")
        for command in (["check", "rules", str(rules)], ["test", "rules", str(cases)]):
            code = subprocess.run([promtool, *command], check=False).returncode  # noqa: S603 (promtool)
            if code:
                return code
    return 0


def groups() -> list[dict[str, Any]]:
    """Those of all PrometheusRules."""
    files = sorted(RULES.glob("*-rule.yaml"))
    found = [yaml.safe_load(file.read_text(encoding="utf-8"))["spec"]["groups"] for file in files]
    return [group for each in found for group in each]


def completed(cases: dict[str, Any]) -> dict[str, Any]:
    """The cases as promtool reads them."""
    rules = {rule["alert"]: rule for group in groups() for rule in group["rules"]}
    for case in cases["tests"]:
        for expected in case["alert_rule_test"]:
            rule = rules[expected["alertname"]]
            for alert in expected["exp_alerts"]:
                alert["exp_labels"] |= rule["labels"]
                alert["exp_annotations"]["description"] = rule["annotations"]["description"]
    return {"rule_files": ["rules.json"], **cases}


if __name__ == "__main__":
    sys.exit(main())
