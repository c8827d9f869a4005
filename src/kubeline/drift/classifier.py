"""Whether a classifier can distinguish a window from its reference: also by what moves between columns.

Boosted trees learn from four fifths of both samples which of the two a row is of, and say so of the other fifth, by
turns. Both samples are written in the bins of the reference, so that no coding gives a sample away. Where rows belong
together, a group or day is never on both sides: the trees would know a window by the weather of its days. The effect is
the AUC: 0.5 is chance. Its error counts whole groups or days.

Sources: Lopez-Paz and Oquab (2017), ICLR (classifier two-sample tests); DeLong, DeLong, Clarke-Pearson (1988),
Biometrics 44, and Obuchowski (1997), Biometrics 53 (the error of an AUC, and by clusters); Nadeau and Bengio (2003),
Machine Learning 52 (of cross-fitting).
"""

import math
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from kubeline.drift.clusters import FEWEST
from kubeline.drift.coded_rows import CodedRows
from kubeline.drift.result import Separation
from kubeline.typing import Array

LIBRARIES = ("scipy.special", "sklearn.ensemble")  # imported in the half second that reading a million rows takes
FOLDS = 5
MIN_ROWS = 100  # of each sample
EXPLAINED = 20  # columns, at most
LEAST = 0.005  # of the AUC, for a column to be named
_INFLATION = math.sqrt(1 + FOLDS / (FOLDS - 1))  # of the error: folds share what they learned from


class Classifier:
    """Both samples, and the trees of each fold.

    Args:
        reference: Rows of the reference.
        window: Rows of the window, in the same columns.
    """

    def __init__(self, reference: CodedRows, window: CodedRows) -> None:
        self.columns = reference.columns
        self._codes = np.concatenate([reference.codes, window.codes])
        self._is_window = np.arange(len(self._codes)) >= len(reference)
        both = reference.together is not None and window.together is not None
        self._clusters = np.concatenate([reference.together, window.together]) if both else None
        self._rng = np.random.default_rng(0)  # of the folds
        self._folds = self._by_cluster() if both else self._dealt(self._is_window)

    @property
    def refusal(self) -> str:
        """Why it cannot be asked; empty when it can."""
        sizes = np.bincount(self._is_window, minlength=2)
        if not self.columns:
            return "no column can be compared"
        if sizes.min() < MIN_ROWS:
            return f"one of the samples has {sizes.min():,} rows; {MIN_ROWS} are needed"
        if self._clusters is None:
            return ""
        fewest = min(len(np.unique(self._clusters[self._is_window == side])) for side in (False, True))
        if fewest < FEWEST:
            return f"one of the samples has only {fewest} groups or days that belong together; {FEWEST} are needed"
        return ""

    def separate(self) -> Separation:
        """Learn and ask, fold by fold."""
        from scipy.special import stdtr, stdtrit

        with _one_thread(), ThreadPoolExecutor(min(FOLDS, os.cpu_count() or 1), initializer=_one_thread) as workers:
            self._models = [*enumerate(workers.map(self._fit, range(FOLDS)))]
            parts = [
                self._placed(fold, self._scores(model, self._codes[self._folds == fold]))
                for fold, model in self._models
            ]
        places, placements = (np.concatenate(each) for each in zip(*parts, strict=True))
        auc = float(placements[self._is_window[places]].mean())
        error, degrees = self._error(places, placements - auc)
        reach = float(stdtrit(degrees, 0.975)) * error
        sides = np.bincount(self._is_window, minlength=2)
        return Separation(
            auc=auc,
            lower=max(auc - reach, 0.0),
            upper=min(auc + reach, 1.0),
            p_value=float(stdtr(degrees, -(auc - 0.5) / error)) if error else float(auc <= 0.5),
            reference_rows=int(sides[0]),
            rows=int(sides[1]),
            columns=len(self.columns),
            assumed="" if self._clusters is None else "rows of one group or day belong together",
        )

    def explain(self) -> dict[str, float]:
        """Of the columns that distinguish most, how much of the AUC is lost when rows exchange their values."""
        lost = dict.fromkeys(self.columns, 0.0)
        with _one_thread():
            for fold, model in self._models:
                for name, loss in self._lost(fold, model).items():
                    lost[name] += loss
        ranked = sorted(lost.items(), key=lambda item: (-item[1], item[0]))[:EXPLAINED]
        return {name: round(loss, 4) for name, loss in ranked if loss >= LEAST}

    def _lost(self, fold: int, model: Any) -> dict[str, float]:
        """What a fold adds to :meth:`explain`, by the share of the window's rows that are in it."""
        chosen, lost = self._folds == fold, {}
        codes, share = self._codes[chosen], float((chosen & self._is_window).sum() / self._is_window.sum())
        before = self._auc(fold, self._scores(model, codes))
        for place, name in enumerate(self.columns):
            changed = codes.copy()
            changed[:, place] = self._rng.permutation(changed[:, place])
            lost[name] = share * (before - self._auc(fold, self._scores(model, changed)))
        return lost

    def _fit(self, fold: int) -> Any:
        from sklearn.ensemble import HistGradientBoostingClassifier

        learned = self._folds != fold
        bins = min(max(int(self._codes.max()) + 1, 2), 255)  # the same trees, by histograms that a cache holds
        trees = HistGradientBoostingClassifier(
            max_iter=30, max_leaf_nodes=15, min_samples_leaf=20, max_bins=bins, early_stopping=False, random_state=0
        )
        sides = self._is_window[learned]
        weights = np.where(sides, 1 / max(sides.mean(), 1e-9), 1 / max(1 - sides.mean(), 1e-9))
        return trees.fit(self._codes[learned], sides, sample_weight=weights)

    def _scores(self, model: Any, codes: Array) -> Array:
        return np.asarray(model.predict_proba(codes)[:, 1])

    def _auc(self, fold: int, scores: Array) -> float:
        places, placements = self._placed(fold, scores)
        return float(placements[self._is_window[places]].mean())

    def _placed(self, fold: int, scores: Array) -> tuple[Array, Array]:
        """Rows of a fold, and of each the share of the other sample's rows on the right side of it."""
        places = np.flatnonzero(self._folds == fold)
        window = self._is_window[places]
        found = np.empty(len(places))
        ranks = _ranks(scores)
        found[window] = (ranks[window] - _ranks(scores[window])) / max((~window).sum(), 1)
        found[~window] = 1 - (ranks[~window] - _ranks(scores[~window])) / max(window.sum(), 1)
        return places, found

    def _error(self, places: Array, off: Array) -> tuple[float, float]:
        """The standard error of the AUC, and its degrees of freedom."""
        window = self._is_window[places]
        parts = np.where(window, off / window.sum(), off / (~window).sum())
        if self._clusters is None:
            return _INFLATION * math.sqrt(float((parts**2).sum())), float(len(parts) - 2)
        known, codes = np.unique(self._clusters[places], return_inverse=True)
        sums = np.bincount(codes, parts, minlength=len(known))
        number = len(np.unique(self._clusters[self._is_window]))
        return _INFLATION * math.sqrt(float((sums**2).sum()) * number / (number - 1)), float(number - 1)

    def _dealt(self, in_window: Array) -> Array:
        """Folds, as many of the window in each, and as many of the others."""
        folds = np.zeros(len(in_window), dtype=np.int64)
        for side in (False, True):
            places = np.flatnonzero(in_window == side)
            folds[places] = self._rng.permutation(np.arange(len(places)) % FOLDS)
        return folds

    def _by_cluster(self) -> Array:
        """Whole groups."""
        assert self._clusters is not None  # noqa: S101 (of the caller)
        known, codes = np.unique(self._clusters, return_inverse=True)
        in_window = np.zeros(len(known), dtype=bool)
        in_window[codes[self._is_window]] = True
        return self._dealt(in_window)[codes]


def _ranks(scores: Array) -> Array:
    """(n,) from 1; equal scores share the mean of theirs."""
    ranks: Array = pd.Series(scores).rank().to_numpy()
    return ranks


def _one_thread() -> Any:
    """So few rows are not learned faster with more, and far slower where cores are shared.

    OpenMP keeps the limit by thread: each that learns a fold asks for its own.
    """
    return _thread_pools().limit(limits=1)


@cache
def _thread_pools() -> Any:
    """Those of the libraries that learn; to find them among all that are loaded takes as long as to learn a fold."""
    import sklearn.ensemble  # noqa: F401  loads the thread pools that are to be limited
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
