"""The drift check: a window of data against its reference, from artifacts to artifacts."""

from collections.abc import Sequence
from typing import NamedTuple

from kubeline.artifacts import Artifact, describe, publish, step
from kubeline.drift import evidently_page
from kubeline.drift.compare import compare, decide
from kubeline.drift.page import write_report
from kubeline.drift.reference import Reference, resolve
from kubeline.drift.result import ColumnDrift, DriftResult, DriftRule, DriftVerdict
from kubeline.drift.scan import Window, scan
from kubeline.options import require_names
from kubeline.retries import repeated

Compared = tuple[list[ColumnDrift], list[ColumnDrift]]  # columns and predictions, each by effect


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
    evidently: bool = True,
) -> DriftOutputs:
    """Compare a window with its reference; the arguments are those of the component ``drift_check``.

    Raises:
        UserError: when there is not exactly one reference, a compared column or a feature of the model is missing in
            the window or of another type, or a limit is out of its range.
    """
    rule = DriftRule(min_effect=min_effect, max_p=max_p, min_rows=int(min_rows), min_columns=int(min_columns)).check()
    require_names("exclude", exclude)
    found = resolve(model, reference, reference_uri, tracking_uri, list(exclude))
    window = scan(current.path, found, list(exclude))
    spreads = window.clusters.spreads() if window.clusters else {}
    compared = compare(window.columns, window.predictions, rule, spreads)
    note = _write_evidently(evidently_report, window, found, compared, evidently)
    outcome = _judge(window, found, rule, compared, list(exclude), note, str(current.metadata.get("window", "")))
    write_report(report.path, outcome)
    with publish(result.path) as path:
        path.write_text(outcome.model_dump_json(indent=2), encoding="utf-8")
    describe(result, {"verdict": outcome.verdict, "drifted": outcome.drifted})
    describe(metrics, _figures(outcome))
    return DriftOutputs(outcome.drifted, outcome.verdict)


def _judge(
    window: Window, reference: Reference, rule: DriftRule, compared: Compared, exclude: list[str], note: str, span: str
) -> DriftResult:
    columns, predictions = compared
    verdict, reasons = decide(
        columns, predictions, (reference.profile.rows, window.rows), rule, window.performance or window.estimate
    )
    return DriftResult(
        verdict=verdict,
        drifted=verdict == "drift",
        reasons=reasons,
        rule=rule,
        reference=reference.name,
        reference_rows=reference.profile.rows,
        current_rows=window.rows,
        columns=columns,
        predictions=predictions,
        performance=window.performance,
        performance_note=window.performance_note,
        estimate=window.estimate,
        window=span,
        assumed=window.clusters.assumed if window.clusters else "",
        excluded=exclude,
        not_in_reference=window.not_in_reference,
        read_as=window.read_as,
        evidently_note=note,
    )


def _figures(outcome: DriftResult) -> dict[str, float | None]:
    """The figures that the KFP UI shows."""
    performance, estimate = outcome.performance, outcome.estimate
    judged = [column for column in outcome.columns if column.verdict != "not_judged"]
    return {
        "drifted": float(outcome.drifted),
        "rows": outcome.current_rows,
        "columns_drifted": sum(column.verdict == "drift" for column in judged),
        "columns_judged": len(judged),
        "max_effect": max((column.effect for column in judged), default=None),
        "max_prediction_effect": max((column.effect for column in outcome.predictions), default=None),
        performance.metric if performance else "performance": performance.value if performance else None,
        f"estimated_{estimate.metric}" if estimate else "estimate": estimate.value if estimate else None,
    }


def _write_evidently(artifact: Artifact, window: Window, reference: Reference, compared: Compared, wanted: bool) -> str:
    """Write Evidently's page, or one that says why there is none; returns the note that stands on it."""
    if not wanted:
        return evidently_page.write_note(artifact.path, "The report of Evidently was switched off.")
    if window.sample is None:
        return evidently_page.write_note(artifact.path, "There is no report of Evidently: the window has no rows.")
    counters = {**window.columns, **window.predictions}
    columns, predictions = compared
    by_effect = {each.name: counters[each.name].profile.kind for each in [*predictions, *columns]}
    kinds = {name: kind for name, kind in by_effect.items() if kind != "datetime"}
    size = f"At most {evidently_page.ROWS:,} rows of each sample."
    if reference.rows is None:
        drawn = evidently_page.redrawn(reference.profile)
        note = (
            f"{size} The reference rows are redrawn from the profile in the model package, each column on its own: "
            "compare column by column only."
        )
        return evidently_page.write(artifact.path, drawn, window.sample, kinds, note)
    rows = reference.rows.sample(min(len(reference.rows), evidently_page.ROWS), random_state=0).reset_index(drop=True)
    return evidently_page.write(artifact.path, rows, window.sample, kinds, size)
