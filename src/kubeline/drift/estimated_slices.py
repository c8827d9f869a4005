"""The estimate of a model's performance in parts of a window, where labels are missing.

Each part is estimated as all rows are, by the one curve of the rows that training held out. So more is assumed than for
all rows: that a probability means the same in every part. A part in which it does not is seen by its labels alone.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from kubeline.drift.estimate import estimated_by, performance
from kubeline.drift.profile import Profile
from kubeline.drift.result import SlicePerformance
from kubeline.drift.window import RowSample
from kubeline.evaluation.parts import groups
from kubeline.evaluation.slices import SLICE_BINS, SLICE_ROWS, Slice
from kubeline.model_package.predictor import Predictions
from kubeline.model_package.signature import Signature

ROWS = 200_000  # at most; a random sample of those there are


class EstimatedSlices:
    """Collects answers beside the columns of the slices, chunk by chunk.

    Args:
        profile: Of the model's package, with what to expect of its answers.
        signature: Of the model.
        columns: By which the estimate is given in parts.
    """

    def __init__(self, profile: Profile, signature: Signature, columns: Sequence[str]) -> None:
        self._profile = profile
        self._signature = signature
        self._columns = list(columns) if estimated_by(profile, signature) else []
        self._sample = RowSample(ROWS)

    def add(self, frame: pd.DataFrame, answers: Predictions) -> None:
        """Add a chunk: its columns and the answers for it."""
        if not self._columns:
            return
        found = {f"slice.{name}": pa.array(frame[name]) for name in self._columns}
        if answers.probabilities is None:
            found["value"] = pa.array(answers.values.astype(np.float64))
        else:
            found |= {f"probability.{k}": pa.array(each) for k, each in enumerate(answers.probabilities.T)}
        self._sample.add(pa.RecordBatch.from_pydict(found))

    def parts(self) -> list[SlicePerformance]:
        """The estimate of each part that has rows enough, the largest of a column first."""
        frame = self._sample.frame()
        if frame is None:
            return []
        return [
            self._part(Slice(column, value, int(rows.sum())), frame[rows])
            for column in self._columns
            for value, rows in groups(frame[f"slice.{column}"], SLICE_BINS)
            if rows.sum() >= SLICE_ROWS
        ]

    def _part(self, part: Slice, frame: pd.DataFrame) -> SlicePerformance:
        counted = estimated_by(self._profile, self._signature)
        assert counted is not None  # noqa: S101 (else no rows were collected)
        counted.add(self._answers(frame))
        found = performance(counted, {})
        return SlicePerformance(
            slice=part.name,
            rows=part.rows,
            value=found.value if found else None,
            lower=found.lower if found else None,
            upper=found.upper if found else None,
            weak=False,
            undefined="" if found else "only one class is expected here",
        )

    def _answers(self, frame: pd.DataFrame) -> Predictions:
        if "value" in frame:
            return Predictions(frame["value"].to_numpy(), None)
        names = [f"probability.{k}" for k in range(len(self._signature.classes or ()))]
        probabilities = frame[names].to_numpy(np.float64)
        return Predictions(np.array(self._signature.classes, object)[probabilities.argmax(axis=1)], probabilities)
