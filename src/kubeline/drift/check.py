"""The drift check: a window of data against its reference, from artifacts to artifacts."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from kubeline.artifacts import Artifact, describe, publish, step
from kubeline.drift import evidently_page
from kubeline.drift.compare import Compared, compare, decide
from kubeline.drift.figures import bounds_of, figures, push
from kubeline.drift.findings import findings
from kubeline.drift.page import write_report
from kubeline.drift.reference import Reference, resolve
from kubeline.drift.result import DriftResult, DriftRule, DriftVerdict
from kubeline.drift.scan import Window, scan
from kubeline.drift.together import ask, judged
from kubeline.model_package.package import ModelPackage, version_of
from kubeline.options import require_names
from kubeline.registry.interface import parse_reference
from kubeline.retries import repeated


class DriftOutputs(NamedTuple):
    """The output parameters of the component."""

    drifted: bool
    verdict: DriftVerdict


@step
@repeated
def run(
    current: Artifact,
    result: Artifact,
    metrics: Artifact,
    report: Artifact,
    evidently_report: Artifact,
    *,
    model: Artifact | None = None,
    reference: Artifact | None = None,
    reference_uri: str = "",
    tracking_uri: str = "",
    exclude: Sequence[str] = (),
    min_effect: float = 0.1,
    max_p: float = 0.01,
    min_rows: int = 200,
    min_columns: int = 1,
    min_auc: float = 0.6,
    evidently: bool = True,
    pushgateway: str = "",
) -> DriftOutputs:
    """Compare a window with its reference; the arguments are those of the component ``drift_check``.

    Raises:
        UserError: when there is not exactly one reference, a compared column or a feature of the model is missing in
            the window or of another type, or a limit is out of its range.
    """
    rule = DriftRule(
        min_effect=min_effect, max_p=max_p, min_rows=int(min_rows), min_columns=int(min_columns), min_auc=min_auc
    ).check()
    require_names("exclude", exclude)
    found = resolve(model, reference, reference_uri, tracking_uri, list(exclude))
    window = scan(current.path, found, list(exclude))
    outcome, compared = _judge(window, found, rule)
    note = _write_evidently(evidently_report, window, found, compared, evidently)
    span = str(current.metadata.get("window", ""))
    outcome = outcome.model_copy(update={"window": span, "excluded": list(exclude), "evidently_note": note})
    write_report(report.path, outcome)
    with publish(result.path) as path:
        path.write_text(outcome.model_dump_json(indent=2), encoding="utf-8")
    describe(result, {"verdict": outcome.verdict, "drifted": outcome.drifted})
    describe(metrics, figures(outcome))
    _send(outcome, found.package, reference_uri, tracking_uri, pushgateway)
    return DriftOutputs(outcome.drifted, outcome.verdict)


def _judge(window: Window, reference: Reference, rule: DriftRule) -> tuple[DriftResult, Compared]:
    asked, why_not = ask(reference.coded, window.coded, rule)
    of_classifier = asked.found.p_value if asked else None
    compared = compare(window.columns, window.predictions, rule, window.spreads, window.labels, of_classifier)
    together = judged(asked, compared.adjusted_p, rule)
    rows = (reference.profile.rows, window.rows)
    verdict, reasons = decide(compared, together, rows, rule, window.performance or window.estimate)
    return DriftResult(
        verdict=verdict,
        drifted=verdict == "drift",
        reasons=reasons,
        rule=rule,
        reference=reference.name,
        reference_rows=reference.profile.rows,
        current_rows=window.rows,
        columns=compared.columns,
        predictions=compared.predictions,
        labels=compared.labels,
        together=together,
        together_note=why_not,
        findings=findings(window.columns, compared.columns, rule),
        performance=window.performance,
        performance_note=window.performance_note,
        estimate=window.estimate,
        assumed=window.clusters.assumed if window.clusters else "",
        not_in_reference=window.not_in_reference,
        read_as=window.read_as,
    ), compared


def _send(outcome: DriftResult, package: ModelPackage | None, uri: str, tracking_uri: str, gateway: str) -> None:
    """The figures of a window of a model to MLflow, where the model is registered there, and to a Pushgateway."""
    if package is None:
        return
    name = parse_reference(uri)[0] if uri.startswith("models:") else ""
    if name and (bounds := bounds_of(outcome)):
        from kubeline.registry.opening import open_registry

        known = {key: float(value) for key, value in figures(outcome).items() if value is not None}
        open_registry(tracking_uri).observe(name, package.digest, bounds[1], known)
    if gateway:
        version = version_of(package.digest)
        push(gateway, outcome, name or version, version)


def _write_evidently(artifact: Artifact, window: Window, reference: Reference, compared: Compared, wanted: bool) -> str:
    """Write Evidently's page, or one that says why there is none; returns the note that stands on it."""
    if not wanted:
        return evidently_page.write_note(artifact.path, "The report of Evidently was switched off.")
    if window.sample is None:
        return evidently_page.write_note(artifact.path, "There is no report of Evidently: the window has no rows.")
    counters = {**window.columns, **window.predictions}
    shown = [*compared.predictions, *compared.columns]
    by_effect = {each.name: counters[each.name].profile.kind for each in shown}
    kinds = {name: kind for name, kind in by_effect.items() if kind != "datetime"}
    size = (
        f"At most {evidently_page.ROWS:,} rows of each sample, as large a share of each stretch of the table as of all."
    )
    rows_now = _at_most(window.sample, evidently_page.ROWS)
    if reference.rows is None:
        drawn = evidently_page.redrawn(reference.profile)
        note = (
            f"{size} The reference rows are redrawn from the profile in the model package, each column on its own: "
            "compare column by column only."
        )
        return evidently_page.write(artifact.path, drawn, rows_now, kinds, note)
    return evidently_page.write(artifact.path, _at_most(reference.rows, evidently_page.ROWS), rows_now, kinds, size)


def _at_most(rows: pd.DataFrame, number: int) -> pd.DataFrame:
    """So many rows, evenly over all."""
    if len(rows) <= number:
        return rows
    return rows.iloc[np.linspace(0, len(rows), number, endpoint=False).astype(int)].reset_index(drop=True)
