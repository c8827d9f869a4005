"""The `evaluate` component: a model judged on fresh rows, alone and against the champion."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from kubeline.artifacts import Artifact, step
from kubeline.data.dataset import read_frame
from kubeline.errors import UserError, listed
from kubeline.evaluation import gate, outputs, scoring
from kubeline.evaluation.bootstrap import Bootstrap, Interval
from kubeline.evaluation.comparison import Comparison, compare, compare_all
from kubeline.evaluation.gate import Check, Decision, Rule
from kubeline.evaluation.importance import Importance, importances
from kubeline.evaluation.metrics import Metric, choose, measure
from kubeline.evaluation.scored import Array, Scored
from kubeline.evaluation.scoring import Agreement
from kubeline.evaluation.slices import Looks, Slice, look
from kubeline.model_package.package import ModelPackage
from kubeline.model_package.predictor import Predictions, Predictor

NoChampion = Literal["promote", "hold"]


@dataclass(frozen=True)
class Settings:
    """The parameters of the component, checked; see `components/evaluate`."""

    metric: str = ""
    slices: tuple[str, ...] = ()
    thresholds: Mapping[str, Any] | None = None
    rule: Rule = "non_inferior"
    margin: float = 0.01
    no_champion: NoChampion = "promote"
    min_rows: int = 100
    min_slice_rows: int = 100
    confidence: float = 0.95
    replicates: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        _require(self.rule in get_args(Rule), "rule", self.rule, f"one of: {listed(get_args(Rule))}")
        _require(
            self.no_champion in get_args(NoChampion),
            "no_champion",
            self.no_champion,
            f"one of: {listed(get_args(NoChampion))}",
        )
        _require(0 <= self.margin < 1, "margin", self.margin, "a share of the champion's value from 0 up to 1")
        _require(0.5 <= self.confidence < 1, "confidence", self.confidence, "a share such as 0.95")
        _require(self.replicates >= 100, "replicates", self.replicates, "at least 100")
        _require(self.min_rows >= 1, "min_rows", self.min_rows, "at least 1")
        _require(self.min_slice_rows >= 1, "min_slice_rows", self.min_slice_rows, "at least 1")


def _require(right: bool, name: str, given: object, expected: str) -> None:
    if not right:
        raise UserError(f"{name} is {given!r}; expected {expected}")


@dataclass(frozen=True)
class Contender:
    """A package, and what it answers for every test row and beside the labels of the labelled ones."""

    package: ModelPackage
    predictor: Predictor
    inputs: dict[str, Array]
    predictions: Predictions
    scored: Scored


@dataclass(frozen=True)
class Evaluation:
    """Everything that was found out; the outputs are written from it.

    Attributes:
        settings: What was asked for.
        metric: The metric that decides.
        test: All test rows.
        known: (n,) True for the rows with a label; only they are judged.
        model: The model judged.
        champion: What it is compared with, if there is one.
        champion_reference: How the user named it.
        metrics: Each defined metric with its interval.
        undefined: Why the others are not defined.
        comparisons: The model beside the champion, by metric; None without a champion.
        dummy: The model beside a constant guess; None when the deciding metric is not defined.
        slices: The metric in slices.
        importances: What each feature is worth.
        agreement: ONNX beside scikit-learn, on all test rows.
        decision: The verdict and why.
    """

    settings: Settings
    metric: Metric
    test: pd.DataFrame
    known: Array
    model: Contender
    champion: Contender | None
    champion_reference: str
    metrics: dict[str, Interval]
    undefined: dict[str, str]
    comparisons: dict[str, Comparison] | None
    dummy: Comparison | None
    slices: list[Slice]
    importances: list[Importance]
    agreement: Agreement
    decision: Decision


@step
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
    from kubeline.evaluation.report import page

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
    agreement = scoring.agreement(package, model.inputs, model.predictions, _scale(model.scored))
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


def _scale(scored: Scored) -> float:
    return float(np.std(scored.target)) if scored.task == "regression" else 1.0
