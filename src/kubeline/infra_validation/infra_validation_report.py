"""The report of the check, for people."""

from typing import Any

from kubeline.artifacts import Artifact
from kubeline.infra_validation.findings import Findings
from kubeline.infra_validation.limits import Limits
from kubeline.model_client.golden import GoldenRows
from kubeline.model_package import Blessing
from kubeline.reports import Report, facts, table, text, verdict

_SHOWN = 5  # rows that differ


def write_report(
    report: Artifact,
    golden: GoldenRows,
    findings: Findings,
    blessing: Blessing,
    limits: Limits,
) -> None:
    """Write the HTML page."""
    page = Report("Model server check", f"package {blessing.package_digest[:12]}")
    passed = blessing.verdict == "promote"
    page.add("Verdict", verdict(blessing.verdict, "good" if passed else "bad", blessing.reasons))
    page.add("The server", facts(_server_facts(findings, limits)))
    if findings.log:
        page.add("The end of the server's log", table(["line"], [[line] for line in findings.log]))
    if findings.protocols:
        page.add("The answers", _answers(findings, limits))
    differing = _differing(golden, findings, limits.tolerance)
    if differing:
        page.add(
            "Rows that differ", table(["protocol", "row", "difference", "recorded", *golden.signature.names], differing)
        )
    page.add(
        "How it was checked",
        text(
            "The server that serves in production was started in this step on this very package. It was asked for the "
            "golden rows, which training recorded, over every protocol, and then for single rows one after the other, "
            "to time it. The times are of this machine with nothing else asked of the server: a floor, not what a "
            "loaded cluster shows."
        ),
    )
    page.write(report.path)


def _server_facts(findings: Findings, limits: Limits) -> dict[str, Any]:
    memory = findings.peak_memory_bytes
    return {
        "ready after": _seconds(findings.ready_seconds),
        "first answers after": _seconds(findings.cold_start_seconds),
        "allowed to be ready": _seconds(limits.timeout_seconds),
        "peak memory": f"{memory / 2**20:,.0f} MiB" if memory else "not known on this system",
    }


def _answers(findings: Findings, limits: Limits) -> Any:
    rows = [
        (
            result.protocol,
            findings.rows if result.comparison else 0,
            result.comparison.max_difference if result.comparison else "no answer",
            len(result.comparison.mismatches(limits.tolerance)) if result.comparison else "no answer",
            _or_none(result.p50_ms),
            _or_none(result.p95_ms),
        )
        for result in findings.protocols
    ]
    note = f"Allowed: a difference of {limits.tolerance:g}; a 95th percentile of {limits.max_latency_ms:g} ms."
    columns = ["protocol", "rows compared", "largest difference", "rows that differ", "p50 of one row, ms", "p95, ms"]
    return table(columns, rows, note)


def _differing(golden: GoldenRows, findings: Findings, tolerance: float) -> list[list[Any]]:
    rows: list[list[Any]] = []
    for result in findings.protocols:
        if result.comparison is None:
            continue
        for row in result.comparison.mismatches(tolerance)[:_SHOWN]:
            recorded = golden.expected.values[row]
            values = ["missing" if value is None else value for value in golden.records[row].values()]
            rows.append([result.protocol, row, float(result.comparison.differences[row]), recorded, *values])
    return rows


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.2f} s"


def _or_none(value: float | None) -> float | str:
    return "not measured" if value is None else value
