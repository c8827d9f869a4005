"""What became of the requests of a rollout: labels and business values, joined by request id with the payload log.

The same join as :mod:`kubeline.data.labels`, of the rows of one step, and without its engine: what comes twice is one,
and of two that differ neither counts.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from kubeline.data.sources import SourceFile, stage
from kubeline.data.timespan import Timespan
from kubeline.errors import KubelineError, UserError, listed
from kubeline.masking import trace_of, words_of
from kubeline.model_package import Predictions, Signature
from kubeline.rollout.analysis.judge import BusinessMetric, LabelEvidence, SampleStatistics
from kubeline.rollout.analysis.judge.statistics import of_clusters
from kubeline.rollout.spec import LossName, OutcomesSpec
from kubeline.typing import Array

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow.dataset as pads

logger = logging.getLogger(__name__)

ID, ROW, TIME, VERSION = "request.id", "request.row", "request.time", "model.version"
PREDICTION = "output.prediction"
_ROWS = 1_000_000  # of the log, at most; of more, whole requests are drawn by a hash of their id
_ALL = 2**32


def answers_of(signature: Signature) -> list[str]:
    """The columns of a payload log that hold the answers of such a model."""
    return [PREDICTION, *(f"output.probability.{label}" for label in signature.classes or ())]


def logged_predictions(signature: Signature, frame: "pd.DataFrame") -> Predictions:
    """The answers that rows of a payload log hold."""
    probabilities = None
    if signature.classes is not None:
        probabilities = frame[answers_of(signature)[1:]].to_numpy(np.float64)
    return Predictions(frame[PREDICTION].to_numpy(), probabilities)


@dataclass(frozen=True)
class Known:
    """The values of one column that have come: `rows` are positions in the log, `differing` requests left out."""

    rows: Array
    values: "pd.Series"
    differing: int


@dataclass(frozen=True)
class Outcomes:
    """Outcomes beside the rows of a log.

    Args:
        spec: where they are.
        signature: of the models.
    """

    spec: OutcomesSpec
    signature: Signature

    @property
    def metric(self) -> LossName:
        """What is averaged over the rows."""
        if self.spec.metric:
            return self.spec.metric
        return "squared_error" if self.signature.classes is None else "log_loss"

    def compare(self, candidate: str, stable: str, since: float) -> tuple[LabelEvidence | None, BusinessMetric | None]:
        """The two versions on the requests that each has answered since a time in Unix seconds.

        Whatever cannot be read is a problem of the evidence, and no exception.
        """
        spec, labels, business = self.spec, LabelEvidence(self.metric), None
        if spec.value:
            business = BusinessMetric(spec.value, higher_is_better=spec.higher_is_better)
        try:
            with TemporaryDirectory(prefix="kubeline-outcomes-") as scratch:
                log = self._log((candidate, stable), since, Path(scratch) / "log")
                sides = [(log[VERSION] == version).to_numpy() for version in (candidate, stable)]
                labels = self._labels(log, sides, Path(scratch) / "labels")
                if business:
                    business = self._business(log, sides, business, Path(scratch) / "values")
        except KubelineError as error:
            problem = f"The outcomes are not known: {error}."
        except Exception as error:
            logger.warning("the outcomes could not be understood\n%s", trace_of(error))
            problem = f"The outcomes could not be understood ({type(error).__name__}: {words_of(error)[:200]})."
        else:
            return labels, business
        failed = BusinessMetric(spec.value, problem=problem) if business else None
        return LabelEvidence(self.metric, problem=problem), failed

    def known(self, log: "pd.DataFrame", column: str, scratch: Path) -> Known:
        """The rows of a log for which a value of `column` has come.

        Raises:
            UserError: when the table of outcomes does not fit the log.
            PlatformError: when it cannot be read.
        """
        import pandas as pd

        table = self._table(set(log[ID].astype(str)), column, scratch)
        keys = [ID, ROW] if ROW in table else [ID]
        if ROW not in table and ROW in log and (log[ROW] > 0).any():
            raise UserError(
                f"requests of the log have several rows, and the outcomes do not say of which: give them a column "
                f"'{ROW}'"
            )
        groups = table.groupby(keys, sort=False)[column]
        alike = groups.nunique() <= 1
        once = groups.first()[alike]
        rows = pd.DataFrame({key: log[key].astype(str if key == ID else np.int64) for key in keys})
        at = pd.MultiIndex.from_frame(rows) if len(keys) > 1 else pd.Index(rows[ID])
        places = once.index.get_indexer(at)
        found = np.flatnonzero(places >= 0)
        return Known(found, once.iloc[places[found]].reset_index(drop=True), int((~alike).sum()))

    def losses(self, predictions: Predictions, labels: "pd.Series") -> Array:
        """(n,) how wrong each prediction was.

        Raises:
            UserError: when a label is none of the model's.
        """
        import pandas as pd

        from kubeline.evaluation.scored import Scored
        from kubeline.evaluation.terms import log_losses

        signature, metric = self.signature, self.metric
        if (signature.classes is None) == (metric in {"log_loss", "error"}):
            raise UserError(f"the metric {metric} is not one of a {signature.task} model; leave outcomes.metric empty")
        if predictions.probabilities is not None and not np.isfinite(predictions.probabilities).all():
            raise UserError("the payload log has rows without the probabilities of this model's classes")
        frame = pd.DataFrame({signature.target: labels})
        target = signature.truth(frame) if signature.classes is None else signature.codes(frame)
        scored = Scored.of(signature.classes, signature.positive_class, target, predictions)
        if metric == "log_loss":
            found = log_losses(scored)
        elif metric == "error":
            found = (scored.target != scored.prediction).astype(np.float64)
        else:
            apart = np.asarray(scored.target - scored.prediction, dtype=np.float64)
            found = apart**2 if metric == "squared_error" else np.abs(apart)
        return found

    def _labels(self, log: "pd.DataFrame", sides: list[Array], scratch: Path) -> LabelEvidence:
        label = self.known(log, self.spec.label or self.signature.target, scratch)
        losses = np.full(len(log), np.nan)
        if len(label.rows):
            losses[label.rows] = self.losses(logged_predictions(self.signature, log.iloc[label.rows]), label.values)
        ids = log[ID]
        canary, stable = (by_request(ids[side], losses[side]) for side in sides)
        logged = (int(ids[sides[0]].nunique()), int(ids[sides[1]].nunique()))
        return LabelEvidence(self.metric, canary, stable, logged, label.differing)

    def _business(
        self, log: "pd.DataFrame", sides: list[Array], metric: BusinessMetric, scratch: Path
    ) -> BusinessMetric:
        value = self.known(log, metric.name, scratch)
        numbers = np.full(len(log), np.nan)
        numbers[value.rows] = value.values.to_numpy(np.float64)
        canary, stable = (by_request(log[ID][side], numbers[side]) for side in sides)
        return BusinessMetric(metric.name, canary, stable, metric.higher_is_better)

    def _log(self, versions: tuple[str, str], since: float, scratch: Path) -> "pd.DataFrame":
        """The rows that the two versions have answered since then, each once."""
        import pandas as pd
        import pyarrow as pa
        import pyarrow.dataset as pads

        begin = datetime.fromtimestamp(since, UTC)
        scratch.mkdir()
        files = stage(self.spec.payload_log, "parquet", scratch, Timespan(begin).may_hold)
        dataset = opened(whole(files), "payload log")
        needed = [ID, VERSION, *answers_of(self.signature)]
        require(dataset, [*needed, TIME], "payload log")
        columns = [*needed, *([ROW] if ROW in dataset.schema.names else [])]
        wanted = (pads.field(TIME) >= pa.scalar(begin, dataset.schema.field(TIME).type)) & pads.field(VERSION).isin(
            versions
        )
        share = min(1.0, _ROWS / max(dataset.count_rows(filter=wanted), 1))
        parts = [part for part in _frames(dataset, columns, wanted) if len(part)]
        parts = [part[pd.util.hash_array(part[ID].to_numpy(object)) % _ALL < share * _ALL] for part in parts]
        log = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
        return log.drop_duplicates([name for name in (ID, ROW, VERSION) if name in columns], ignore_index=True)

    def _table(self, ids: set[str], column: str, scratch: Path) -> "pd.DataFrame":
        """The outcomes of these requests, those without a value left out."""
        import pandas as pd
        import pyarrow as pa
        import pyarrow.compute as pc

        scratch.mkdir()
        dataset = opened(stage(self.spec.source, "auto", scratch), "table of outcomes")
        require(dataset, [ID, column], "table of outcomes")
        columns = [ID, column, *([ROW] if ROW in dataset.schema.names else [])]
        wanted, parts = pa.array(sorted(ids), pa.string()), []
        for batch in dataset.to_batches(columns=columns):
            known = pc.and_(pc.is_in(pc.cast(batch[ID], pa.string()), wanted), pc.is_valid(batch[column]))
            parts.append(batch.filter(known).to_pandas())
        table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
        return table.assign(**{ID: table[ID].astype(str)})


def by_request(ids: "pd.Series", values: Array) -> SampleStatistics:
    """The mean of the values that are known, with the requests as clusters."""
    import pandas as pd

    known = np.isfinite(values)
    groups = pd.Series(values[known]).groupby(ids.to_numpy()[known])
    return of_clusters(groups.sum().to_numpy(np.float64), groups.size().to_numpy(np.float64))


def whole(files: list[SourceFile]) -> list[SourceFile]:
    """The files that are whole: the last one of a log may be cut, and the rows of the others count all the same."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = []
    for file in files:
        try:
            pq.read_schema(file.path)
        except (pa.ArrowException, OSError) as error:
            logger.warning("'%s' is no whole Parquet file and is left out (%s)", file.name, error)
        else:
            found.append(file)
    if not found:
        raise UserError(f"'{files[0].name}' and all other files of the payload log are no whole Parquet files")
    return found


def opened(files: list[SourceFile], what: str) -> "pads.Dataset":
    """The files as one table."""
    import pyarrow as pa
    import pyarrow.dataset as pads

    formats = {file.format for file in files}
    if len(formats) > 1 or not formats <= {"parquet", "csv", "feather", "json"}:
        raise UserError(f"the {what} is of the formats {listed(sorted(formats))}; expected Parquet, CSV or JSON lines")
    try:
        return pads.dataset([str(file.path) for file in files], format=formats.pop())
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"'{files[0].name}' of the {what} cannot be read ({words_of(error)})") from error


def require(dataset: "pads.Dataset", columns: list[str], what: str) -> None:
    """Raise a :class:`UserError` that names the columns which a table lacks."""
    if missing := [name for name in columns if name not in dataset.schema.names]:
        raise UserError(
            f"the {what} has no column {listed(missing)} (there are: {listed(dataset.schema.names)}); is it of this "
            "model?"
        )


def _frames(dataset: "pads.Dataset", columns: list[str], wanted: Any) -> Iterator["pd.DataFrame"]:
    for batch in dataset.to_batches(columns=columns, filter=wanted):
        yield batch.to_pandas()
