"""The evaluation report: the verdict first, then what it rests on."""

from typing import Any

from markupsafe import Markup

from kubeline.errors import counted
from kubeline.evaluation import plots
from kubeline.evaluation.calibration import reliability
from kubeline.evaluation.classes_report import class_blocks
from kubeline.evaluation.comparison import Comparison
from kubeline.evaluation.fairness.report import blocks as fairness_blocks
from kubeline.evaluation.findings import Evaluation, EvaluationSettings
from kubeline.evaluation.gate import GateDecision
from kubeline.evaluation.metrics import METRICS
from kubeline.evaluation.reliance_report import dependence_blocks, explained_blocks, importance_blocks
from kubeline.evaluation.slices import Slice, ranked
from kubeline.printable import rounded, unbroken
from kubeline.reports import Report, facts, figure, table, text, verdict
from kubeline.reports.page import Tone

_TONES: dict[str, Tone] = {"promote": "good", "hold": "warn", "inconclusive": "warn"}
_OUTCOMES = {"pass": "✓ pass", "fail": "✗ fail", "inconclusive": "? inconclusive"}
_ROWS = 15  # of a table of slices


def page(evaluation: Evaluation, test: dict[str, Any]) -> Report:
    """The report of an evaluation; `test` is the metadata of the test table."""
    signature = evaluation.model.package.signature
    report = Report(
        f"Evaluation of {evaluation.model.package.manifest.estimator} for '{signature.target}'",
        f"{len(evaluation.model.scored):,} test rows, decided by {evaluation.metric.title}",
    )
    decision = evaluation.decision
    tone = _TONES[decision.verdict]
    report.add("Verdict", verdict(decision.verdict, tone, _headline(decision)), _facts(evaluation, test))
    report.add("The gate", _gate(evaluation))
    report.add("Metrics", *_metrics(evaluation))
    if signature.task == "regression":
        report.add("Residuals", figure(plots.residuals(evaluation.model.scored), _residuals_caption(evaluation)))
    else:
        _classification(report, evaluation)
    if evaluation.settings.slices:
        report.add("Slices", *_slices(evaluation))
    if evaluation.fairness:
        report.add("Fairness", *fairness_blocks(evaluation.fairness))
    report.add("What the model relies on", *importance_blocks(evaluation))
    report.add("How predictions go along with a column", *dependence_blocks(evaluation))
    report.add("Why single predictions are what they are", *explained_blocks(evaluation.explained))
    report.add("As in training", text(f"{evaluation.agreement}."))
    report.add("How it was done", text(_method(evaluation)))
    return report


def _headline(decision: GateDecision) -> list[str]:
    """What decided; when everything passed, the two checks that matter most to a reader."""
    if decision.verdict != "promote":
        return decision.reasons
    first = [check.sentence for check in decision.checks if check.name.startswith(("champion", "beats"))]
    return [f"all {counted(len(decision.checks), 'check')} pass", *first]


def _facts(evaluation: Evaluation, test: dict[str, Any]) -> Markup:
    model, settings = evaluation.model.package, evaluation.settings
    rows, roles = evaluation.rows, evaluation.roles
    found = {
        "Model package": model.digest[:12],
        "Trained on": f"dataset {model.manifest.dataset_fingerprint[:12]}",
        "Test table": f"dataset {str(test.get('fingerprint', 'unknown'))[:12]}, {counted(len(evaluation.test), 'row')}",
        "Champion": _champion(evaluation),
        "Rule": _rule(settings),
        "Assumed": rows.clusters.assumed,
        "Confidence": f"{settings.confidence:.0%}",
        "Seed": settings.seed,
    }
    positive = model.signature.positive_class
    if positive is not None:
        found["Positive class"] = f"'{positive}': recall, precision, F1 and average precision are of it"
    if roles.weight:
        found["Weights"] = f"column '{roles.weight}', in every figure but residuals and the spread of probabilities"
    if rows.left_out:
        reasons = "; ".join(f"{counted(number, 'row')}: {why}" for why, number in rows.left_out.items())
        found["Left out"] = f"{reasons}. They are predicted but not judged"
    return facts(found)


def _rule(settings: EvaluationSettings) -> str:
    allowed = f"at most {settings.margin:.2%} of the champion's value may be lost"
    if settings.rule == "superior":
        return f"superior: better than the champion over the whole interval; in a slice {allowed}"
    return f"non_inferior: {allowed}, overall and in a slice"


def _champion(evaluation: Evaluation) -> str:
    champion = evaluation.champion
    if champion is None:
        return (
            f"'{evaluation.champion_reference}' does not exist yet" if evaluation.champion_reference else "none given"
        )
    same = ", the very package that is judged" if champion.package.digest == evaluation.model.package.digest else ""
    return (
        f"{evaluation.champion_reference} ({champion.package.manifest.estimator}, package "
        f"{champion.package.digest[:12]}{same}), "
        + ("not compared" if evaluation.rows.unfair else "scored again on the same rows")
    )


def _gate(evaluation: Evaluation) -> Markup:
    return table(
        ["Check", "Outcome", "Finding"],
        [(check.name, _OUTCOMES[check.outcome], check.sentence) for check in evaluation.decision.checks],
        note="One failed check holds the model; else one inconclusive check makes the verdict inconclusive.",
    )


def _metrics(evaluation: Evaluation) -> list[Markup]:
    task, comparisons = evaluation.model.scored.task, evaluation.comparisons
    columns = ["Metric", f"Model [{evaluation.settings.confidence:.0%} interval]"]
    if comparisons is not None:
        columns += ["Champion", "Difference [interval]", "", "Test"]
    rows: list[list[Any]] = []
    for name, interval in evaluation.metrics.items():
        metric = METRICS[task][name].about(evaluation.model.scored)
        row: list[Any] = [f"{metric.title} {'↑' if metric.greater_is_better else '↓'}", unbroken(str(interval))]
        if comparisons is not None:
            row += _beside(comparisons[name]) if name in comparisons else ["not defined", "", "", ""]
        rows.append(row)
    note = "↑ higher is better, ↓ lower is better."
    if comparisons is not None:
        note += " Difference: the model minus the champion; ✱ marks p below 0.05, one metric at a time."
    blocks = [table(columns, rows, note=note)]
    for name, reason in evaluation.undefined.items():
        blocks.append(text(f"{METRICS[task][name].about(evaluation.model.scored).title} is not defined: {reason}."))
    for dummy in evaluation.dummies:
        gain = dummy.gain.written(sign=True)
        blocks.append(
            text(f"A constant guess has {dummy.metric.title} {rounded(dummy.other)}: the model gains {gain}.")
        )
    return blocks


def _beside(comparison: Comparison) -> list[Any]:
    mark = " ✱" if comparison.p_value < 0.05 else ""
    difference = unbroken(comparison.difference.written(sign=True))
    return [comparison.other, difference, unbroken(comparison.p_words + mark), comparison.method]


def _classification(report: Report, evaluation: Evaluation) -> None:
    model = evaluation.model.scored
    champion = evaluation.rival
    if "roc_auc" in evaluation.metrics:
        report.add(
            "Ranking",
            figure(
                plots.ranking(model, champion),
                f"ROC and precision-recall curves of '{model.classes[1]}' on the test rows judged.",
            ),
        )
    found, other = reliability(model), None if champion is None else reliability(champion)
    beside = f", the champion's {rounded(other.error, 3)}" if other else ""
    report.add(
        "Calibration",
        text(
            f"Expected calibration error: {rounded(found.error, 3)}{beside}: the mean gap between the predicted "
            f"probability of {found.event} and how often it came true, over {len(found.rows)} bins of about equal size."
        ),
        figure(
            plots.calibration(found, other, model),
            "Predicted probability against observed share with 95 % Wilson intervals, and where the probabilities lie.",
        ),
    )
    report.add("Classes", *class_blocks(model))


def _residuals_caption(evaluation: Evaluation) -> str:
    few = len(evaluation.model.scored) <= plots.RESIDUALS
    rows = "all rows" if few else f"{plots.RESIDUALS:,} rows drawn at random"
    return f"Left, on a sample: predicted against true. Right, on {rows}: how the error is spread along the prediction."


def _slices(evaluation: Evaluation) -> list[Markup]:
    metric, slices = evaluation.metric, evaluation.slices
    judged = [part for part in slices if part.estimate is not None]
    worst_first = ranked(judged, metric)
    if not worst_first:
        least = evaluation.settings.min_slice_rows
        return [text(f"No slice has {least:,} rows, and enough of each kind among them for {metric.title}.")]
    first = worst_first[0]
    words = f"{counted(len(judged), 'slice')} by {', '.join(evaluation.settings.slices)}. "
    words += f"The worst beyond noise is {first.name} ({counted(first.rows, 'row')}): {metric.title} {first.estimate}. "
    words += f"Weaker than the other rows by more than the margin and chance: {sum(part.weak for part in judged)}."
    columns = ["Slice", "Rows", f"{metric.title} [interval]"]
    if evaluation.comparisons is not None:
        columns += ["Champion", "Gain [interval]"]
    return [
        text(words),
        figure(
            plots.slice_intervals(judged, metric, evaluation.metrics[metric.name].value), _slices_caption(len(judged))
        ),
        table([*columns, "Flag"], [_slice_row(part) for part in worst_first[:_ROWS]], note=_slices_note(evaluation)),
    ]


def _slices_note(evaluation: Evaluation) -> str:
    judged = [part for part in evaluation.slices if part.estimate is not None]
    undefined = [part.name for part in evaluation.slices if part.undefined]
    shown = f"The worst {_ROWS} of {len(judged)}" if len(judged) > _ROWS else "The worst first"
    return (
        f"{shown}, by the better end of the interval. Intervals are of one slice alone; flags hold after Holm's "
        f"correction for all of them. Slices with fewer than {evaluation.settings.min_slice_rows:,} rows are not "
        "judged, and of a column the 60 largest values are."
        + (f" Not defined in {len(undefined)} more, such as {undefined[0]}." if undefined else "")
    )


def _slices_caption(judged: int) -> str:
    which = "Slices" if judged <= 30 else "The 30 worst slices"
    return f"{which} with their intervals and, in brackets, their rows; flagged ones are red."


def _slice_row(part: Slice) -> list[Any]:
    row: list[Any] = [part.name, part.rows, unbroken(str(part.estimate))]
    if part.gain is not None:
        row += [part.champion, unbroken(part.gain.written(sign=True))]
    flags = (["worse than the champion"] if part.regression else []) + (["weak"] if part.weak else [])
    return [*row, ", ".join(flags)]


def _method(evaluation: Evaluation) -> str:
    settings = evaluation.settings
    words = (
        f"Intervals: percentiles of {settings.replicates:,} replicates of the binned Poisson bootstrap, seed "
        f"{settings.seed}: {evaluation.rows.clusters.assumed}. The constant guess is the best one for the test rows "
        "themselves. "
    )
    if evaluation.comparisons is not None:
        words += "The champion was asked again for the very same rows, none of which it was trained on: "
        plain = evaluation.rows.weights is None and evaluation.rows.clusters.codes is None
        words += (
            "ROC AUC by DeLong's test (algorithm of Sun and Xu), accuracy by McNemar's exact test, everything else by "
            "the paired bootstrap. "
            if plain
            else "every metric by the paired bootstrap, for the tests of DeLong and McNemar take rows as independent "
            "and of equal weight. "
        )
    return words + (
        "Slices: a slice is weak when it is worse than the other rows, and lost when it is worse than the champion, by "
        "more than the margin, at the level that Holm's correction leaves."
    )
