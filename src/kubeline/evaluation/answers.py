"""What models answer for the test rows, one chunk of them at a time: the answers are kept in temporary files."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import pandas as pd
import pyarrow as pa

from kubeline.data.dataset import to_frame
from kubeline.data.stored import StoredTable
from kubeline.evaluation.kept import Kept, release
from kubeline.model_package.package import ModelPackage
from kubeline.model_package.predictor import Predictions, Predictor
from kubeline.model_package.training_rows import TrainingRows
from kubeline.progress import Progress
from kubeline.typing import Array

_ROWS = 16_384  # at a time: texts are objects while they are encoded


@dataclass(frozen=True)
class Answers:
    """A model's answers for all n test rows.

    Attributes:
        package: The model.
        predictor: It, loaded.
        predictions: For all rows; their values are positions in the classes, which take less than labels.
        seen: (n,) True for the rows that it was trained on.
        seen_groups: (n,) True for the rows whose group it was trained on; None where its package does not say.
    """

    package: ModelPackage
    predictor: Predictor
    predictions: Predictions
    seen: Kept
    seen_groups: Kept | None


def ask(test: StoredTable, packages: Sequence[ModelPackage], group: str) -> list[Answers]:
    """Ask models about all rows of a table.

    Args:
        test: Has the features and the target of each.
        packages: The models.
        group: The column that says which rows belong together; empty for none.

    Raises:
        UserError: names the column that holds a value of another type than a model needs.
    """
    asked = [_Asked(package, package.predictor(), package.training_rows(), group) for package in packages]
    needed = {name for one in asked for name in one.needed}
    with Progress("evaluating", len(test)) as progress:
        for batch in progress.over(test.batches([name for name in test.columns if name in needed], _ROWS)):
            frame = to_frame(batch)
            for one in asked:
                one.add(batch, frame)
    release()
    return [one.answers() for one in asked]


@dataclass
class _Asked:
    """A model, and its answers for the rows so far."""

    package: ModelPackage
    predictor: Predictor
    known: TrainingRows
    group: str
    values: Kept = field(default_factory=Kept)
    probabilities: Kept = field(default_factory=Kept)
    seen: Kept = field(default_factory=Kept)
    seen_groups: Kept = field(default_factory=Kept)

    @property
    def needed(self) -> set[str]:
        """The columns that are read, of those that there are."""
        group = {self.group} if self.group else set()
        return {*self.package.signature.names, *group, *(name for each in self.known.rows for name in each.columns)}

    def add(self, batch: pa.RecordBatch, frame: pd.DataFrame) -> None:
        """Answer for a chunk, given in both forms."""
        self._take(self.predictor.predict(frame))
        self.seen.add(self.known.seen(batch))
        groups = self.known.seen_groups(batch, self.group) if self.group in frame.columns else None
        if groups is not None:
            self.seen_groups.add(groups)

    def _take(self, found: Predictions) -> None:
        given = found.probabilities
        if given is None:
            self.values.add(found.values)
        else:
            self.values.add(given.argmax(axis=1).astype(np.min_scalar_type(-1 - given.shape[1])))
            self.probabilities.add(given)

    def answers(self) -> Answers:
        """Those for all rows."""
        predictions = Predictions(
            cast("Array", self.values), cast("Array", self.probabilities) if len(self.probabilities) else None
        )
        return Answers(
            self.package,
            self.predictor,
            predictions,
            self.seen,
            self.seen_groups if len(self.seen_groups) else None,
        )
