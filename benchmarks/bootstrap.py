"""The interval of an AUC: the binned Poisson bootstrap, beside resampling rows around scikit-learn's function."""

from benchmarks.measure import Way, compare

ROWS, REPLICATES = 82_609, 200
DATA = f"""
import numpy as np
rng = np.random.default_rng(0)
truth = (rng.random({ROWS}) < 0.2).astype(int)
score = np.clip(rng.normal(0.2 + 0.1 * truth, 0.15), 0, 1)
"""
OURS = f"""
from kubeline.evaluation.bootstrap import Bootstrap
from kubeline.evaluation.metrics import choose
from kubeline.evaluation.scored import Scored
scored = Scored("binary", ("False", "True"), truth, (score > 0.5).astype(int), np.column_stack([1 - score, score]))
choose("binary").interval(scored, Bootstrap({ROWS}, {REPLICATES}), 0.95)
"""
NAIVE = f"""
from sklearn.metrics import roc_auc_score
draws = (rng.integers({ROWS}, size={ROWS}) for _ in range({REPLICATES}))
np.quantile([roc_auc_score(truth[rows], score[rows]) for rows in draws], [0.025, 0.975])
"""


def main() -> None:
    """Time and peak memory, the start of Python included."""
    compare(
        f"interval of the AUC of {ROWS:,} rows, {REPLICATES} replicates",
        Way("kubeline", DATA + OURS),
        Way("resampled rows, roc_auc_score", DATA + NAIVE),
    )
