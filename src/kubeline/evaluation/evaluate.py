"""The `evaluate` component: a model judged on fresh rows, alone and against the champion."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

import kubeline.data.memory  # noqa: F401 - before Arrow is loaded
from kubeline.addresses import redact
from kubeline.artifacts import Artifact, step
from kubeline.data.stored import StoredTable
from kubeline.evaluation import gate, outputs, scoring, thresholds
from kubeline.evaluation.answers import Answers, ask
from kubeline.evaluation.bootstrap import Bootstrap
from kubeline.evaluation.comparison import Comparison, compare, compare_all
from kubeline.evaluation.evaluation_report import page
from kubeline.evaluation.explained import explain_rows
from kubeline.evaluation.fairness.checks import FairRows, evaluate_fairness, numbered_groups
from kubeline.evaluation.fairness.requirements import FairnessRequirement
from kubeline.evaluation.fairness.requirements import parse as asked_of_groups
from kubeline.evaluation.findings import Contender, Evaluation, EvaluationSettings
from kubeline.evaluation.gate import GateCheck
from kubeline.evaluation.kept import keep_little, release
from kubeline.evaluation.metrics import METRICS, PROPER, Metric, choose, measure
from kubeline.evaluation.reliance import Reliance, rely
from kubeline.evaluation.rows import JudgedRows, choose_rows, merge, require_roles
from kubeline.evaluation.scored import Scored
from kubeline.evaluation.slices import (
    REPLICATES_OF_PARTS,
    Slice,
    SliceSettings,
    evaluate_slices,
    numbered_slices,
)
from kubeline.model_package.blessing import Blessing
from kubeline.model_package.manifest import ManifestRoles
from kubeline.model_package.package import ModelPackage
from kubeline.model_package.signature import Signature
from kubeline.model_package.training_record import TrainingRecord
from kubeline.options import require_names
from kubeline.retries import repeated


@step
@repeated
def run(
    test: Artifact,
    model: Artifact,
    blessing: Artifact,
    predictions: Artifact,
    metrics: Artifact,
    classification: Artifact,
    report: Artifact,
    training: Artifact | None = None,
    *,
    champion: str = "",
    tracking_uri: str = "",
    pipeline_run: str = "",
    slices: Sequence[str] = (),
    **settings: Any,
) -> str:
    """Judge `model` on the rows of `test`, write every output, and return the verdict.

    The parameters are those of `components/evaluate`; `settings` are the fields of :class:`EvaluationSettings`.

    Raises:
        UserError: says what is wrong with the table, the model, the champion or a parameter. Nothing is written.
    """
    require_names("slices", slices)
    keep_little()
    chosen = EvaluationSettings(slices=tuple(slices), **settings)
    package = ModelPackage.of(model)
    challenged = _fetch(champion, tracking_uri)
    evaluation = evaluate(StoredTable(test.path), package, challenged, redact(champion), chosen, test.metadata)
    html = page(evaluation, test.metadata)
    outputs.write_predictions(predictions, evaluation)
    outputs.log_metrics(metrics, evaluation)
    outputs.log_classification(classification, evaluation)
    html.write(report.path)
    record = TrainingRecord.of(training, package.digest)
    outputs.write_blessing(blessing, evaluation, test.metadata, record)
    if pipeline_run:
        from kubeline.registry.tracking import track

        track(pipeline_run, champion, tracking_uri, package, record, Blessing.read(blessing.path), test.metadata)
    return evaluation.decision.verdict


def _fetch(reference: str, tracking_uri: str) -> ModelPackage | None:
    if not reference:
        return None
    from kubeline.registry import fetch

    folder = fetch(reference, tracking_uri)
    return None if folder is None else ModelPackage.open(folder)


def evaluate(
    test: StoredTable,
    package: ModelPackage,
    champion: ModelPackage | None,
    reference: str,
    settings: EvaluationSettings,
    metadata: Mapping[str, Any],
) -> Evaluation:
    """Evaluate a model on the rows of `test`: metrics, comparisons, slices, importances, and the gate's verdict.

    Args:
        test: Rows that the model was not trained on: its features, the target, and any other columns.
        package: The model.
        champion: What it is compared with on the same rows, or None.
        reference: How the user named the champion, for sentences.
        settings: What to evaluate and what to require.
        metadata: Of the test table: how it was split off.

    Raises:
        UserError: says what is wrong with the table, the champion or a setting.
    """
    signature = package.signature
    metric = choose(signature.task, settings.metric)
    requirements, alike = _requirements(settings, signature)
    roles, rows, model, other = _contenders(test, package, champion, reference, settings, metadata)
    rival = None if other is None or rows.unfair else other.scored
    metric = metric.about(model.scored)
    bootstrap = Bootstrap(len(model.scored), settings.replicates, seed=settings.seed, clusters=rows.clusters.codes)
    metrics, undefined = measure(model.scored, bootstrap, settings.confidence)
    comparisons = None if rival is None else compare_all(model.scored, rival, bootstrap, settings.confidence)
    dummies = _against_constant(metric, model.scored, bootstrap, settings)
    by = _slice_settings(metric, settings)
    clusters, personal = gate.clusters_check(rows.clusters), metadata.get("personal")
    slices = evaluate_slices(test, settings.slices, by, model.scored, rival, rows.clusters.codes, rows.judged)
    slices = numbered_slices(slices, personal)
    fairness = numbered_groups(evaluate_fairness(alike, _fair_rows(test, rows, model.scored, settings)), personal)
    agreement = scoring.agreement(package, model.predictor)
    checks = [
        gate.parity_check(agreement),
        gate.rows_check(len(model.scored), settings.min_rows),
        *([clusters] if clusters else []),
        *([gate.undefined_check(metric, undefined[metric.name])] if metric.name in undefined else []),
        *(gate.dummy_check(one) if one.metric.name == metric.name else gate.proper_check(one) for one in dummies),
        *thresholds.checks(
            requirements, model.scored, rival, bootstrap, settings.confidence, champion=champion is not None
        ),
        *(check for one in fairness if (check := one.check()) is not None),
        *_champion_checks(metric, rival, rows.unfair, comparisons, slices, reference, settings),
    ]
    return Evaluation(
        settings=settings,
        metric=metric,
        test=test,
        rows=rows,
        roles=roles,
        model=model,
        champion=other,
        champion_reference=reference,
        metrics=metrics,
        undefined=undefined,
        comparisons=comparisons,
        dummies=dummies,
        slices=slices,
        fairness=fairness,
        reliance=_reliance(test, rows, model, metric, settings, personal),
        explained=explain_rows(test, rows.judged, package, model.scored, personal),
        agreement=agreement,
        decision=gate.decide(checks),
    )


def _slice_settings(metric: Metric, settings: EvaluationSettings) -> SliceSettings:
    return SliceSettings(
        metric, settings.min_slice_rows, margin=settings.margin, confidence=settings.confidence, seed=settings.seed
    )


def _requirements(
    settings: EvaluationSettings, signature: Signature
) -> tuple[list[thresholds.Requirement], list[FairnessRequirement]]:
    """What is asked of metrics, and of groups of rows; read before anything is predicted."""
    task, classes = signature.task, signature.classes
    return (
        thresholds.parse(settings.thresholds or {}, task, classes),
        asked_of_groups(settings.fairness or {}, task, classes),
    )


def _contenders(
    test: StoredTable,
    package: ModelPackage,
    champion: ModelPackage | None,
    reference: str,
    settings: EvaluationSettings,
    metadata: Mapping[str, Any],
) -> tuple[ManifestRoles, JudgedRows, Contender, Contender | None]:
    """The roles of the columns, the rows that judge, and what both models predict; see :func:`evaluate`."""
    signature = package.signature
    named = ManifestRoles(weight=settings.weight_column, group=settings.group_column, time=settings.time_column)
    roles, asked = merge(named, package.manifest.roles, metadata)
    known = scoring.labelled(test, signature)
    signature.require(test.columns)
    if champion is not None:
        scoring.require_comparable(champion.signature, signature, test.columns, reference)
    require_roles(test, roles)
    mine, *others = ask(test, [package] if champion is None else [package, champion], roles.group)
    theirs = others[0] if others else None
    rows = choose_rows(test, known, mine, theirs, roles, asked=asked, min_rows=settings.min_rows)
    contenders = [_contender(one, test, rows, signature) for one in (mine, *others)]
    release()
    return roles, rows, contenders[0], contenders[1] if others else None


def _contender(answers: Answers, test: StoredTable, rows: JudgedRows, question: Signature) -> Contender:
    """A model's answers for the question of the model judged: its positive class is that of the champion too."""
    scored = scoring.judged(test, rows.judged, question, answers.predictions, rows.weights)
    return Contender(answers.package, answers.predictor, answers.predictions, scored)


def _fair_rows(test: StoredTable, rows: JudgedRows, scored: Scored, settings: EvaluationSettings) -> FairRows:
    """The rows judged, resampled as slices are: the spread of a rate takes fewer replicates than an interval's ends."""
    bootstrap = Bootstrap(len(scored), *REPLICATES_OF_PARTS, settings.seed, rows.clusters.codes)
    return FairRows(test, rows.judged, scored, bootstrap, settings.confidence, settings.min_slice_rows)


def _against_constant(
    metric: Metric, scored: Scored, bootstrap: Bootstrap, settings: EvaluationSettings
) -> list[Comparison]:
    """The model beside the best guess that ignores every feature, by the deciding metric and by each proper score.

    ROC AUC, accuracy and the like do not see whether a probability of 0.3 comes true in 30 of 100 rows.
    """
    proper = PROPER[scored.task] if scored.varies else ()  # of a single class, the constant guess is right
    asked = [metric] + [METRICS[scored.task][name] for name in proper if name != metric.name]
    found = []
    for one in asked:
        centre: Literal["mean", "median"] = "median" if one.name in ("mae", "median_ae", "mape") else "mean"
        guess = scored.constant(centre)
        if one.undefined(guess):  # precision, when the guess is never positive: guess that every row is
            guess = replace(guess, prediction=np.broadcast_to(np.int64(1), len(scored)))
        if not one.undefined(scored):
            found.append(compare(one, scored, guess, bootstrap, settings.confidence))
    return found


def _champion_checks(
    metric: Metric,
    rival: Scored | None,
    unfair: str,
    comparisons: Mapping[str, Comparison] | None,
    slices: Sequence[Slice],
    reference: str,
    settings: EvaluationSettings,
) -> list[GateCheck]:
    if unfair:
        return [gate.unfair_check(unfair)]
    if rival is None or comparisons is None:
        return [gate.no_champion_check(reference, settings.no_champion)]
    if metric.name not in comparisons:
        reason = metric.undefined(rival)
        return [gate.undefined_check(metric, reason, of="the champion")] if reason else []
    against = gate.champion_check(comparisons[metric.name], settings.rule, settings.margin)
    in_slices = gate.slices_check(slices, metric)
    return [against] if in_slices is None else [against, in_slices]


def _reliance(
    test: StoredTable,
    rows: JudgedRows,
    model: Contender,
    metric: Metric,
    settings: EvaluationSettings,
    personal: Container[str] | None,
) -> Reliance:
    return rely(
        test, rows, model.predictor, model.scored, metric, personal, seed=settings.seed, confidence=settings.confidence
    )
