"""The model on the labelled rows of a window: what a shift of the data does not tell."""

import numpy as np
import pandas as pd
import pyarrow as pa

from kubeline.drift.result import Performance
from kubeline.drift.values import Array
from kubeline.drift.window import RowSample
from kubeline.errors import UserError
from kubeline.evaluation.bootstrap import Bootstrap
from kubeline.evaluation.metrics import choose
from kubeline.evaluation.scored import Scored
from kubeline.evaluation.scoring import judged
from kubeline.model_package.package import ModelPackage
from kubeline.model_package.predictor import Predictions

ROWS = 200_000  # labelled rows judged, at most; a random sample of those there are
MIN_ROWS = 50


class LabelledRows:
    """Collects predictions beside labels, chunk by chunk."""

    def __init__(self, package: ModelPackage):
        self.package = package
        self.problem = ""
        self._classes: tuple[str, ...] = ()
        self._sample = RowSample(ROWS)

    def add(self, frame: pd.DataFrame, predictions: Predictions) -> None:
        """Add the rows of a chunk that have a label."""
        known = frame[self.package.signature.target].notna().to_numpy()
        if self.problem or not known.any():
            return
        try:
            scored = judged(frame, known, self.package.signature, predictions)
        except UserError as error:  # labels that the model does not know end this comparison, not the drift check
            self.problem = str(error)
            return
        self._classes = scored.classes
        columns: dict[str, Array] = {"target": scored.target, "prediction": scored.prediction}
        if scored.probabilities is not None:
            columns |= {f"probability.{k}": scored.probabilities[:, k] for k in range(len(scored.classes))}
        self._sample.add(pa.RecordBatch.from_pydict({name: pa.array(values) for name, values in columns.items()}))

    def performance(self) -> tuple[Performance | None, str]:
        """The task's own metric with its 95 % bootstrap interval, or why there is none."""
        frame = self._sample.frame()
        if self.problem:
            return None, self.problem
        if frame is None or len(frame) < MIN_ROWS:
            return None, f"fewer than {MIN_ROWS} rows of this window have a label yet"
        scored = self._scored(frame)
        metric = choose(scored.task)
        if reason := metric.undefined(scored):
            return None, f"{metric.label} is not defined for this window: {reason}"
        found = metric.interval(scored, Bootstrap(len(scored)), confidence=0.95)
        validation = self.package.manifest.metrics.get(metric.name)
        lower, upper, worse = found.lower, found.upper, False
        if validation is not None and lower is not None and upper is not None:
            worse = upper < validation if metric.greater_is_better else lower > validation
        return Performance(
            metric=metric.name,
            label=metric.label,
            value=found.value,
            lower=lower,
            upper=upper,
            validation=validation,
            worse=worse,
            rows=len(scored),
        ), ""

    def _scored(self, frame: pd.DataFrame) -> Scored:
        classes = self._classes
        probabilities = np.column_stack([frame[f"probability.{k}"] for k in range(len(classes))]) if classes else None
        return Scored(
            self.package.signature.task,
            classes,
            frame["target"].to_numpy(),
            frame["prediction"].to_numpy(),
            probabilities,
        )
