"""What a model relies on: the worth of columns alone and together, and how predictions go along with them."""

from collections.abc import Container
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kubeline.data.stored import StoredTable
from kubeline.evaluation.correlated import correlated_groups
from kubeline.evaluation.dependence import Dependence, dependences
from kubeline.evaluation.importance import Importance, SampledRows, importances
from kubeline.evaluation.kept import release
from kubeline.evaluation.metrics import Metric
from kubeline.evaluation.rows import JudgedRows, positions_of
from kubeline.evaluation.scored import Scored
from kubeline.model_package.predictor import Predictor
from kubeline.typing import Array


@dataclass(frozen=True)
class Reliance:
    """What a model relies on.

    Attributes:
        alone: What each column is worth; empty when the sampled rows do not define the metric.
        together: What groups of correlated columns are worth.
        curves: How the mean prediction goes along with those that matter most; None where nobody has looked for
            personal data, so that no values may be shown.
    """

    alone: list[Importance]
    together: list[Importance]
    curves: list[Dependence] | None


def rely(
    test: StoredTable,
    rows: JudgedRows,
    predictor: Predictor,
    scored: Scored,
    metric: Metric,
    personal: Container[str] | None,
    *,
    seed: int,
    confidence: float,
) -> Reliance:
    """What a model relies on, found out on a sample of the rows judged.

    Args:
        test: All rows.
        rows: Those that judge the model.
        predictor: The model.
        scored: Its answers for the rows judged.
        metric: What is lost without a column.
        personal: Columns of personal data; None where nobody has looked for such.
        seed: Of the sample and the shuffles.
        confidence: Of the intervals.
    """

    def read(places: Array) -> pd.DataFrame:
        frame = test.take(positions_of(rows.judged, places), predictor.signature.names)
        release()
        return frame

    rng = np.random.default_rng(seed)
    sample = SampledRows.of(predictor, read, scored, rng, rows.clusters.codes)

    def groups(found: list[Importance]) -> list[list[str]]:
        names = [one.features[0] for one in found]  # those that matter most first, where there are too many
        return correlated_groups({name: sample.columns[name][:, 0] for name in names})

    alone, together = importances(predictor, sample, metric, rng, groups, confidence)
    curves = None if personal is None else dependences(predictor, sample, alone, together, personal)
    return Reliance(alone, together, curves)
