"""The `evaluate` component: a model judged on fresh rows, alone and against the champion."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from kubeline.artifacts import Artifact, step
from kubeline.data.dataset import read_frame
from kubeline.evaluation import gate, outputs, scoring
from kubeline.evaluation.bootstrap import Bootstrap
from kubeline.evaluation.comparison import Comparison, compare, compare_all
from kubeline.evaluation.findings import Contender, Evaluation, Settings
from kubeline.evaluation.gate import Check
from kubeline.evaluation.importance import Importance, importances
from kubeline.evaluation.metrics import Metric, choose, measure
from kubeline.evaluation.report import page
from kubeline.evaluation.scored import Array, Scored
from kubeline.evaluation.slices import Looks, Slice, look
from kubeline.model_package.package import ModelPackage
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
    *,
    champion: str = "",
    tracking_uri: str = "",
    slices: Sequence[str] = (),
    thresholds: Mapping[str, Any] | None = None,
    **settings: Any,
) -> str:
    """Judge `model` on the rows of `test`, write every output, and return the verdict.

    The parameters are those of `components/evaluate`; `settings` are the fields of :class:`Settings`.

    Raises:
        UserError: tells what is wrong with the table, the model, the champion or a parameter. Nothing is written.
    """
    chosen = Settings(slices=tuple(slices), thresholds=thresholds, **settings)
    package = ModelPackage.open(model.path)
    challenged = _fetch(champion, tracking_uri)
    evaluation = evaluate(read_frame(test.path), package, challenged, champion, chosen)
    html = page(evaluation, test.metadata)
    outputs.write_predictions(predictions, evaluation)
    outputs.log_metrics(metrics, evaluation)
    outputs.log_classification(classification, evaluation)
    html.write(report.path)
    outputs.write_blessing(blessing, evaluation, test.metadata)
    return evaluation.decision.verdict


def _fetch(reference: str, tracking_uri: str) -> ModelPackage | None:
    if not reference:
        return None
    from kubeline.registry import fetch

    folder = fetch(reference, tracking_uri)
    return None if folder is None else ModelPackage.open(folder)


def evaluate(
    test: pd.DataFrame, package: ModelPackage, champion: ModelPackage | None, reference: str, settings: Settings
) -> Evaluation:
    """Find out everything about a model on the rows of `test`.

    Args:
        test: Rows that the model was not trained on: its features, the target, and any other columns.
        package: The model.
        champion: What it is compared with on the same rows, or None.
        reference: How the user named the champion, for sentences.
        settings: What to look at and what to require.

    Raises:
        UserError: tells what is wrong with the table, the champion or a setting.
    """
    signature = package.signature
    metric = choose(signature.task, settings.metric)
    thresholds = gate.parse_thresholds(settings.thresholds or {}, signature.task)
    known = scoring.labelled(test, signature)
    model = _contender(package, test, known, signature.encode(test))
    other = None
    if champion is not None:
        scoring.require_same_question(signature, champion.signature, reference)
        other = _contender(champion, test, known, scoring.encode_for(champion.signature, test, reference))
    bootstrap = Bootstrap(len(model.scored), settings.replicates, seed=settings.seed)
    metrics, undefined = measure(model.scored, bootstrap, settings.confidence)
    rival = None if other is None else other.scored
    comparisons = None if rival is None else compare_all(model.scored, rival, bootstrap, settings.confidence)
    dummy = None if metric.name in undefined else _against_constant(metric, model.scored, bootstrap, settings)
    looks = Looks(
        metric, settings.min_slice_rows, margin=settings.margin, confidence=settings.confidence, seed=settings.seed
    )
    slices = look(test[known], settings.slices, looks, model.scored, rival)
    agreement = scoring.agreement(package, model.inputs, model.predictions)
    checks = [
        gate.parity_check(agreement),
        gate.rows_check(len(model.scored), settings.min_rows),
        gate.dummy_check(dummy) if dummy else gate.undefined_check(metric, undefined[metric.name]),
        *gate.threshold_checks(thresholds, metrics, undefined, comparisons, signature.task),
        *_champion_checks(metric, other, comparisons, slices, reference, settings),
    ]
    return Evaluation(
        settings, metric, test, known, model, other, reference, metrics, undefined, comparisons, dummy, slices,
        _importances(model, known, metric, settings), agreement, gate.decide(checks),
    )  # fmt: skip


def _contender(package: ModelPackage, test: pd.DataFrame, known: Array, inputs: dict[str, Array]) -> Contender:
    predictor = package.predictor()
    predictions = predictor.predict_inputs(inputs)
    scored = scoring.judged(test, known, package.signature, predictions)
    return Contender(package, predictor, inputs, predictions, scored)


def _against_constant(metric: Metric, scored: Scored, bootstrap: Bootstrap, settings: Settings) -> Comparison:
    centre: Literal["mean", "median"] = "median" if metric.name in ("mae", "median_ae", "mape") else "mean"
    guess = scored.constant(centre)
    if metric.undefined(guess):  # precision, when the guess is never positive: guess that every row is
        guess = replace(guess, prediction=np.ones_like(scored.prediction))
    return compare(metric, scored, guess, bootstrap, settings.confidence)


def _champion_checks(
    metric: Metric,
    champion: Contender | None,
    comparisons: Mapping[str, Comparison] | None,
    slices: Sequence[Slice],
    reference: str,
    settings: Settings,
) -> list[Check]:
    if champion is None or comparisons is None:
        return [gate.no_champion_check(reference, settings.no_champion)]
    if metric.name not in comparisons:
        reason = metric.undefined(champion.scored)
        return [gate.undefined_check(metric, reason, of="the champion")] if reason else []
    against = gate.champion_check(comparisons[metric.name], settings.rule, settings.margin)
    in_slices = gate.slices_check(slices, metric)
    return [against] if in_slices is None else [against, in_slices]


def _importances(model: Contender, known: Array, metric: Metric, settings: Settings) -> list[Importance]:
    inputs = {name: column[known] for name, column in model.inputs.items()}
    return importances(model.predictor, inputs, model.scored, metric, settings.seed)
