"""What was found, for people, for programs, and as SARIF for code scanning."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from kubeline import __version__
from kubeline.platform.lint.check import LintResult
from kubeline.platform.lint.findings import NAMES, PLACES, RULES, LintFinding

Format = Literal["text", "json", "sarif"]
_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def write(results: Sequence[LintResult], form: Format) -> str:
    """The whole output."""
    if form == "json":
        return json.dumps([_json(result) for result in results], indent=2)
    if form == "sarif":
        return json.dumps(_sarif(results), indent=2)
    return "\n".join(line for result in results for line in _text(result))


def _text(result: LintResult) -> Iterator[str]:
    runs = ", ".join(f"{NAMES[place]}: {'yes' if result.runs_on(place) else 'no'}" for place in PLACES)
    yield f"{result.file}: runs on {runs}"
    for finding in result.shown:
        yield f"  {result.file}:{finding.line}: {finding.level} [{finding.rule}] {_about(finding)}{finding.sentence}"


def _about(finding: LintFinding) -> str:
    return "" if finding.places == PLACES else f"{', '.join(NAMES[place] for place in finding.places)}: "


def _json(result: LintResult) -> dict[str, Any]:
    return {
        "file": str(result.file),
        "passed": result.passed,
        "runs": {place: result.runs_on(place) for place in PLACES},
        "findings": [
            {
                "rule": finding.rule,
                "level": finding.level,
                "platforms": list(finding.places),
                "line": finding.line,
                "document": finding.document,
                "path": list(finding.path),
                "sentence": finding.sentence,
            }
            for finding in result.shown
        ],
    }


def _sarif(results: Sequence[LintResult]) -> dict[str, Any]:
    rules = [{"id": name, "shortDescription": {"text": rule.about}} for name, rule in RULES.items()]
    numbers = {rule: number for number, rule in enumerate(RULES)}
    found = [
        {
            "ruleId": finding.rule,
            "ruleIndex": numbers[finding.rule],
            "level": finding.level,
            "message": {"text": _about(finding) + finding.sentence},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": result.file.as_posix()},
                        "region": {"startLine": finding.line},
                    }
                }
            ],
        }
        for result in results
        for finding in result.shown
    ]
    driver = {"name": "kubeline lint", "version": __version__, "rules": rules}
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": found}]}
