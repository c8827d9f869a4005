"""Hyperparameters by cross-validation on the rows that are learned from, within a trial and a time budget."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kubeline.columns import Kind
from kubeline.errors import PlatformError
from kubeline.evaluation.metrics import Metric
from kubeline.model_package.training_record import Trial
from kubeline.training import estimators
from kubeline.training.fitting import Recipe
from kubeline.training.holdout import folds
from kubeline.training.table import TrainingTable
from kubeline.training.trials import Objective, Scores, scores
from kubeline.typing import Array

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class Tuning:
    """All trials; the first one is the estimator's defaults."""

    trials: list[Trial]
    best: dict[str, Any]


@dataclass(frozen=True)
class Budget:
    """How much is tried.

    Attributes:
        trials: most trials.
        minutes: no trial begins after so many.
        at_a_time: trials that are begun together.
        processes: that fit them; 1 is this process. The trials do not depend on it.
    """

    trials: int
    minutes: float
    at_a_time: int = 1
    processes: int = 1


def tune(
    recipe: Recipe,
    table: TrainingTable,
    rows: Array,
    kinds: Mapping[str, Kind],
    metric: Metric,
    *,
    budget: Budget,
    number: int,
) -> Tuning:
    """Search where the estimator's space says, leaving alone what `recipe.params` sets.

    The search is the tree-structured Parzen estimator of Optuna, seeded; after some folds a trial below the median is
    stopped. Trials that are begun together are proposed one after the other, none with what another of them found, go
    through their folds side by side, and are ended in their order: so the same seed and number at a time give the same
    trials as long as the time does not run out, whatever runs them. No trial begins after it.

    Args:
        recipe: what is tuned.
        table: the table.
        rows: positions to learn from and score on.
        kinds: the features.
        metric: what is made best.
        budget: how much is tried.
        number: of folds.

    Raises:
        UserError: when the rows are too few for the folds.
        PlatformError: when no trial could be ended.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    shared = Objective(recipe, table, folds(table, rows, number, recipe.seed), kinds, metric.name)
    space = {
        name: where for name, where in estimators.find(recipe.estimator).space.items() if name not in recipe.params
    }
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=recipe.seed, constant_liar=budget.at_a_time > 1),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1),
    )
    left, deadline = budget.trials if space else 1, time.monotonic() + budget.minutes * 60
    with scores(shared, min(budget.processes, budget.at_a_time, left)) as score:
        while left > 0 and (not study.trials or time.monotonic() < deadline):
            _together(study, [_proposed(study, space) for _ in range(min(left, budget.at_a_time))], score, number)
            left -= budget.at_a_time
    done = [
        Trial(params=trial.user_attrs["params"], score=trial.value if trial.state.name == "COMPLETE" else None)
        for trial in study.trials
    ]
    if all(one.score is None for one in done):
        raise PlatformError(
            "no trial of tuning could be ended, because the processes that fit it were lost again and again; give the "
            "step more memory, or a smaller tuning_workers"
        )
    return Tuning(done, study.best_trial.user_attrs["params"])


def _proposed(study: "optuna.Study", space: Mapping[str, estimators.Range]) -> "optuna.Trial":
    trial = study.ask()
    params = {name: where.suggest(trial, name) for name, where in space.items()} if trial.number else {}
    trial.set_user_attr("params", params)
    return trial


def _together(study: "optuna.Study", trials: "list[optuna.Trial]", score: Scores, number: int) -> None:
    """Take trials through their folds; each ends with its mean, or is stopped, or fails with its processes."""
    from optuna.trial import TrialState

    found: dict[int, list[float]] = {trial.number: [] for trial in trials}
    for fold in range(number):
        for trial, value in zip(trials, score([one.user_attrs["params"] for one in trials], fold), strict=True):
            if value is None:
                study.tell(trial, state=TrialState.FAIL)
                del found[trial.number]
                continue
            found[trial.number].append(value)
            trial.report(float(np.mean(found[trial.number])), fold)
            if trial.should_prune():
                study.tell(trial, state=TrialState.PRUNED)
                del found[trial.number]
        trials = [trial for trial in trials if trial.number in found]
    for trial in trials:
        study.tell(trial, float(np.mean(found[trial.number])))
