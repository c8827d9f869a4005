"""The model on the labelled rows of a window: what a shift of the data does not show."""

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from kubeline.drift.clusters import ClusterCounts
from kubeline.drift.profile import ReferenceColumn
from kubeline.drift.result import Performance, SlicePerformance, is_worse
from kubeline.drift.window import RowSample, counter
from kubeline.errors import UserError
from kubeline.evaluation.bootstrap import Bootstrap
from kubeline.evaluation.calibration import error_interval
from kubeline.evaluation.metrics import Metric, choose
from kubeline.evaluation.rows import Clusters, clusters_of, weights_of
from kubeline.evaluation.scored import Scored
from kubeline.evaluation.scoring import judged
from kubeline.evaluation.slices import SliceSettings, evaluate_slices
from kubeline.model_package.manifest import ManifestRoles
from kubeline.model_package.package import ModelPackage
from kubeline.model_package.predictor import Predictions
from kubeline.typing import Array

ROWS = 200_000  # labelled rows judged, at most; a random sample of those there are
MIN_ROWS = 50
LABELS = "labels"
_ALONE = "every row is taken as independent of the others"


def cluster_column(package: ModelPackage, present: Collection[str]) -> str:
    """The column of a window that says which of its rows belong together, as in training; empty for none."""
    roles = package.manifest.roles
    return next((name for name in (roles.group or roles.time,) if name in present), "")


def role_columns(package: ModelPackage, present: Collection[str]) -> list[str]:
    """The columns of a window that say how much its rows count, and which of them belong together, as in training."""
    roles = package.manifest.roles
    return [name for name in (roles.weight, roles.group or roles.time) if name and name in present]


class LabelledRows:
    """Collects predictions beside labels, chunk by chunk.

    Args:
        package: The model.
        present: The columns of the window. Rows count by the weight that training counted by, and days or groups that
            training knew are resampled whole, where the window has these columns.
        labels: What the labels are compared with; None where the package does not say.
        size: Rows of a group or day of the training.
        slices: Columns of the window by which performance is given in parts as well.
    """

    def __init__(
        self,
        package: ModelPackage,
        present: Collection[str],
        labels: ReferenceColumn | None = None,
        size: float | None = None,
        slices: Sequence[str] = (),
    ):
        self.package = package
        self.problem = ""
        kept, roles = role_columns(package, present), package.manifest.roles
        self._roles = ManifestRoles(
            **{role: name for role in ("weight", "group", "time") if (name := getattr(roles, role)) in kept}
        )
        self._slices = list(slices)
        self._classes: tuple[str, ...] = ()
        self._sample = RowSample(ROWS)
        profile = labels if labels and package.signature.target in present else None
        self.counter = counter(profile) if profile else None
        column = cluster_column(package, present)
        self.clusters = ClusterCounts({LABELS: profile}, column, size) if profile and column else None

    def add(self, frame: pd.DataFrame, predictions: Predictions) -> None:
        """Add the rows of a chunk that have a label."""
        known = frame[self.package.signature.target].notna().to_numpy()
        if self.problem or not known.any():
            return
        try:
            weights = weights_of(frame, self._roles.weight)
            known = known if weights is None else known & (weights > 0)
            if not known.any():
                return
            scored = judged(
                frame, known, self.package.signature, predictions, None if weights is None else weights[known]
            )
        except UserError as error:  # labels that the model does not know end this comparison, not the drift check
            self.problem = str(error)
            return
        self._classes = scored.classes
        self._count(frame, known, scored)
        columns: dict[str, Array] = {"target": scored.target, "prediction": scored.prediction}
        if scored.probabilities is not None:
            columns |= {f"probability.{k}": scored.probabilities[:, k] for k in range(len(scored.classes))}
        columns |= {f"role.{name}": frame.loc[known, name].to_numpy() for name in self._columns}
        columns |= {f"slice.{name}": frame.loc[known, name] for name in self._slices}
        self._sample.add(pa.RecordBatch.from_pydict({name: pa.array(values) for name, values in columns.items()}))

    def _count(self, frame: pd.DataFrame, known: Array, scored: Scored) -> None:
        if self.counter is None:
            return
        classes = scored.classes
        labels = pd.Series(pd.Categorical.from_codes(scored.target, classes) if classes else scored.target)
        self.counter.add(labels)
        if self.clusters:
            self.clusters.add({LABELS: labels, self.clusters.column: frame.loc[known, self.clusters.column]})

    def performance(self) -> tuple[Performance | None, list[SlicePerformance], str]:
        """The task's own metric with its 95 % bootstrap interval, also by slice, or why there is none."""
        frame = self._sample.frame()
        if self.problem:
            return None, [], self.problem
        if frame is None or len(frame) < MIN_ROWS:
            return None, [], f"fewer than {MIN_ROWS} rows of this window have a label yet"
        scored = self._scored(frame)
        try:
            clusters = self._clusters(frame)
        except UserError as error:
            return None, [], str(error)
        metric = choose(scored.task)
        if reason := metric.undefined(scored):
            return None, [], f"{metric.label} is not defined for this window: {reason}"
        bootstrap = Bootstrap(len(scored), clusters=None if clusters.few else clusters.codes)
        found = metric.interval(scored, bootstrap, confidence=0.95)
        calibrated = error_interval(scored, bootstrap) if scored.classes else None
        validation = self.package.manifest.metrics.get(metric.name)
        performance = Performance(
            metric=metric.name,
            label=metric.label,
            value=found.value,
            lower=found.lower,
            upper=found.upper,
            validation=validation,
            worse=is_worse(validation, found.lower, found.upper, metric.greater_is_better),
            rows=len(scored),
            assumed=self._assumed(clusters),
            calibration=calibrated.value if calibrated else None,
            calibration_lower=calibrated.lower if calibrated else None,
            calibration_upper=calibrated.upper if calibrated else None,
        )
        return performance, self._parts(frame, scored, metric, clusters), ""

    def _parts(self, frame: pd.DataFrame, scored: Scored, metric: Metric, clusters: Clusters) -> list[SlicePerformance]:
        """The metric by slice, whole groups resampled where it is so for all rows."""
        if not self._slices:
            return []
        rows = pd.DataFrame({name: frame[f"slice.{name}"] for name in self._slices})
        codes = None if clusters.few else clusters.codes
        parts = evaluate_slices(rows, self._slices, SliceSettings(metric), scored, None, codes)
        return [
            SlicePerformance(
                slice=part.name,
                rows=part.rows,
                value=part.estimate.value if part.estimate else None,
                lower=part.estimate.lower if part.estimate else None,
                upper=part.estimate.upper if part.estimate else None,
                weak=part.weak,
                undefined=part.undefined,
            )
            for part in parts
        ]

    @property
    def _columns(self) -> list[str]:
        roles = self._roles
        return [name for name in (roles.weight, roles.group or roles.time) if name]

    def _clusters(self, frame: pd.DataFrame) -> Clusters:
        prefix = "role."
        named = {name: name.removeprefix(prefix) for name in frame.columns if name.startswith(prefix)}
        return clusters_of(frame.rename(columns=named), self._roles, asked=True)

    def _assumed(self, clusters: Clusters) -> str:
        """What the figure takes for granted, in a sentence for people."""
        said = [clusters.assumed]
        if clusters.few:
            said = [f"the window has only {clusters.number} groups or days that belong together; {_ALONE}"]
        trained = self.package.manifest.roles.weight
        if self._roles.weight:
            said.append(f"rows count by '{trained}'")
        elif trained:
            said.append(f"rows count alike, though training counted by '{trained}', which the window does not have")
        return "; ".join(said)

    def _scored(self, frame: pd.DataFrame) -> Scored:
        classes = self._classes
        probabilities = np.column_stack([frame[f"probability.{k}"] for k in range(len(classes))]) if classes else None
        return Scored(
            self.package.signature.task,
            classes,
            frame["target"].to_numpy(),
            frame["prediction"].to_numpy(),
            probabilities,
            weights_of(frame, f"role.{self._roles.weight}") if self._roles.weight else None,
        )
