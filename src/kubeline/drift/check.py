"""The drift check: a window of data against its reference, from artifacts to artifacts."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import kubeline.data.memory  # noqa: F401 - before Arrow is loaded
from kubeline.artifacts import Artifact, describe, publish, step
from kubeline.drift import evidently_page
from kubeline.drift.alarm.history import History
from kubeline.drift.alarm.rule import interval
from kubeline.drift.classifier import LIBRARIES
from kubeline.drift.compare import Compared, compare, decide
from kubeline.drift.figures import bounds_of, figures, push
from kubeline.drift.findings import findings
from kubeline.drift.further import Further, compared_with, expected, find, profile_of
from kubeline.drift.page import write_report
from kubeline.drift.personal import personal_columns_of, without_values
from kubeline.drift.reference import Reference, resolve
from kubeline.drift.result import DriftResult, DriftRule, DriftVerdict
from kubeline.drift.scan import Window, scan
from kubeline.drift.seasons import check_references
from kubeline.drift.together import ask, judged
from kubeline.drift.window import evenly
from kubeline.errors import listed
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
    evidently: bool = True,
    pushgateway: str = "",
    slices: Sequence[str] = (),
    references: Sequence[str] = (),
    history: str = "",
    **limits: Any,
) -> DriftOutputs:
    """Compare a window with its reference; the arguments are those of the component ``drift_check``.

    `limits` are the fields of :class:`DriftRule`.

    Raises:
        UserError: when there is not exactly one reference, a compared column or a feature of the model is missing in
            the window or of another type, a limit is out of its range, or a history is given for a window that has no
            bounds in time.
    """
    rule = DriftRule(**limits)
    require_names("exclude", exclude)
    require_names("slices", slices)
    check_references(references, history)
    span = str(current.metadata.get("window", ""))
    kept, bounds = (History(history), interval(span)) if history else (None, None)
    libraries = LIBRARIES if rule.min_auc < 1 else ()
    found = resolve(model, reference, reference_uri, tracking_uri, list(exclude), libraries)
    further = find(references, bounds, kept, found, tracking_uri)
    window = scan(current.path, found, list(exclude), slices, libraries)
    outcome, compared = judge(window, found, rule, further)
    personal = personal_columns_of(found.package, current, reference)
    note = _write_evidently(evidently_report, window, found, compared, evidently, personal)
    outcome = outcome.model_copy(update={"window": span, "excluded": list(exclude), "evidently_note": note})
    outcome = without_values(outcome, personal)
    write_report(report.path, outcome)
    with publish(result.path) as path:
        path.write_text(outcome.model_dump_json(indent=2), encoding="utf-8")
    describe(result, {"verdict": outcome.verdict, "drifted": outcome.drifted})
    describe(metrics, figures(outcome))
    if kept and bounds and (profile := profile_of(window)):
        kept.keep_profile(*bounds, found.name, profile.model_dump_json())
    _send(outcome, found.package, reference_uri, tracking_uri, pushgateway)
    return DriftOutputs(outcome.drifted, outcome.verdict)


def judge(
    window: Window, reference: Reference, rule: DriftRule, further: Sequence[Further] = ()
) -> tuple[DriftResult, Compared]:
    """The outcome for a window that was counted, beside its reference and further ones."""
    asked, why_not = ask(reference.coded, window.coded, rule)
    of_classifier = asked.found.p_value if asked else None
    compared = compare(window.columns, window.predictions, rule, window.spreads, window.labels, of_classifier)
    features = reference.package.signature.names if reference.package else ()
    others = [compared_with(one, window, features, rule) for one in further]
    compared, together = expected(compared, judged(asked, compared.adjusted_p, rule), others)
    rows = (reference.profile.rows, window.rows)
    verdict, reasons = decide(compared, together, rows, rule, window.performance or window.estimate)
    reasons += [str(one) for one in others]
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
        further=others,
        findings=findings(window.columns, compared.columns, rule),
        performance=window.performance,
        performance_note=window.performance_note,
        estimate=window.estimate,
        slices=window.slices,
        estimated_slices=window.estimated_slices,
        assumed=window.clusters.assumed if window.clusters else "",
        not_in_reference=window.not_in_reference,
        read_as=window.read_as,
    ), compared


def _send(outcome: DriftResult, package: ModelPackage | None, uri: str, tracking_uri: str, gateway: str) -> None:
    """The figures of a window to where runs are filed, where the model is registered, and to a Pushgateway."""
    if package is None:
        return
    name = parse_reference(uri)[0] if uri.startswith("models:") else ""
    if name and (bounds := bounds_of(outcome)):
        from kubeline.registry.opening import open_tracker

        known = {key: float(value) for key, value in figures(outcome).items() if value is not None}
        open_tracker(tracking_uri).observe(name, package.digest, bounds[1], known)
    if gateway:
        version = version_of(package.digest)
        push(gateway, outcome, name or version, version)


def _write_evidently(
    artifact: Artifact,
    window: Window,
    reference: Reference,
    compared: Compared,
    wanted: bool,
    personal: Collection[str],
) -> str:
    """Write Evidently's page, or one that says why there is none; returns the note that stands on it."""
    if not wanted:
        return evidently_page.write_note(artifact.path, "The report of Evidently was switched off.")
    if window.sample is None:
        return evidently_page.write_note(artifact.path, "There is no report of Evidently: the window has no rows.")
    counters = {**window.columns, **window.predictions}
    shown = [one for one in (*compared.predictions, *compared.columns) if one.name not in personal]
    by_effect = {each.name: counters[each.name].profile.kind for each in shown}
    kinds = {name: kind for name, kind in by_effect.items() if kind != "datetime"}
    size = (
        f"At most {evidently_page.ROWS:,} rows of each sample, as large a share of each stretch of the table as of all."
    )
    if personal:
        size += f" Left out, because they hold personal data: {listed(sorted(personal))}."
    rows_now = evenly(window.sample, evidently_page.ROWS)
    if reference.rows is None:
        drawn = evidently_page.redrawn(reference.profile)
        note = (
            f"{size} The reference rows are redrawn from the profile in the model package, each column on its own: "
            "compare column by column only."
        )
        return evidently_page.write(artifact.path, drawn, rows_now, kinds, note)
    return evidently_page.write(artifact.path, reference.rows, rows_now, kinds, size)
