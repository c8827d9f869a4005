"""Hyperparameters by cross-validation on the rows that are learned from, within a trial and a time budget."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kubeline.columns import Kind
from kubeline.errors import UserError
from kubeline.evaluation.metrics import Metric
from kubeline.training import estimators
from kubeline.training.fitting import Recipe, predict
from kubeline.training.holdout import folds
from kubeline.training.metrics import deciding, score, scored
from kubeline.training.table import TrainingTable
from kubeline.typing import Array

if TYPE_CHECKING:
    from optuna import Trial


@dataclass(frozen=True)
class TrialResult:
    """One trial: what was tried and its mean score over the folds; None when it was stopped after some folds."""

    params: dict[str, Any]
    score: float | None


@dataclass(frozen=True)
class Tuning:
    """All trials; the first one is the estimator's defaults."""

    trials: list[TrialResult]
    best: dict[str, Any]


def tune(
    recipe: Recipe,
    table: TrainingTable,
    rows: Array,
    kinds: Mapping[str, Kind],
    metric: Metric,
    *,
    trials: int,
    minutes: float,
    number: int,
) -> Tuning:
    """Search where the estimator's space says, leaving alone what `recipe.params` sets.

    The search is the tree-structured Parzen estimator of Optuna, seeded; after some folds a trial below the median is
    stopped. The same seed gives the same trials as long as the time does not run out: no trial begins after it.

    Args:
        recipe: what is tuned.
        table: the table.
        rows: positions to learn from and score on.
        kinds: the features.
        metric: what is made best.
        trials: most trials.
        minutes: no trial begins after so many.
        number: of folds.

    Raises:
        UserError: when the rows are too few for the folds.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pairs = folds(table, rows, number, recipe.seed)
    space = {
        name: where for name, where in estimators.find(recipe.estimator).space.items() if name not in recipe.params
    }

    def objective(trial: "Trial") -> float:
        proposed = {name: where.suggest(trial, name) for name, where in space.items()} if trial.number else {}
        trial.set_user_attr("params", proposed)
        candidate = replace(recipe, params={**recipe.params, **proposed})
        scores: list[float] = []
        for fold, (learned, held) in enumerate(pairs):
            scores.append(_score(candidate, table, learned, held, kinds, metric))
            trial.report(float(np.mean(scores)), fold)
            if trial.should_prune():
                raise optuna.TrialPruned
        return float(np.mean(scores))

    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=recipe.seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1),
    )
    study.optimize(objective, n_trials=trials if space else 1, timeout=minutes * 60)
    done = [
        TrialResult(trial.user_attrs["params"], trial.value if trial.state.name == "COMPLETE" else None)
        for trial in study.trials
    ]
    return Tuning(done, study.best_trial.user_attrs["params"])


def _score(
    recipe: Recipe, table: TrainingTable, learned: Array, held: Array, kinds: Mapping[str, Kind], metric: Metric
) -> float:
    pipeline = recipe.fit(table, learned, kinds)
    found = predict(pipeline, table.encoded.iloc[held], table.classes)
    try:
        return score(deciding(scored(table, held, found), metric), metric)
    except UserError:  # this fold does not define the metric
        return -math.inf
