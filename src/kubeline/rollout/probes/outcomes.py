"""What became of the requests of a rollout: labels and business values, joined by request id with the payload log.

The same join as :mod:`kubeline.data.labels`, of the rows of one step, and without its engine: what comes twice is one,
and of two that differ neither counts. The tables are Arrow's: the image of this step has no pandas.
"""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from kubeline.data.sources import SourceFile, stage
from kubeline.data.timespan import Timespan
from kubeline.errors import KubelineError, UserError, listed
from kubeline.masking import trace_of, words_of
from kubeline.model_package import Predictions, Signature
from kubeline.rollout.analysis.judge import BusinessMetric, LabelEvidence, SampleStatistics
from kubeline.rollout.analysis.judge.statistics import of_clusters
from kubeline.rollout.probes.requests import distinct, numbers, positions, requests_of, sampled
from kubeline.rollout.spec import LossName, OutcomesSpec
from kubeline.typing import Array, Mask

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as pads

logger = logging.getLogger(__name__)

ID, ROW, TIME, VERSION = "request.id", "request.row", "request.time", "model.version"
PREDICTION = "output.prediction"
_ROWS = 1_000_000  # of the log, at most; of more, whole requests are drawn by a hash of their id


def answers_of(signature: Signature) -> list[str]:
    """The columns of a payload log that hold the answers of such a model."""
    return [PREDICTION, *(f"output.probability.{label}" for label in signature.classes or ())]


def logged_predictions(signature: Signature, log: "pa.Table") -> Predictions:
    """The answers that rows of a payload log hold."""
    probabilities = None
    if signature.classes is not None:
        columns = [log[name].to_numpy().astype(np.float64) for name in answers_of(signature)[1:]]
        probabilities = np.column_stack(columns)
    return Predictions(log[PREDICTION].to_numpy(), probabilities)


@dataclass(frozen=True)
class Known:
    """The values of one column that have come: `rows` are positions in the log, `differing` requests left out."""

    rows: Array
    values: "pa.Array"
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
                versions = log[VERSION].to_numpy()
                sides = [versions == version for version in (candidate, stable)]
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

    def known(self, log: "pa.Table", column: str, scratch: Path) -> Known:
        """The rows of a log for which a value of `column` has come.

        Raises:
            UserError: when the table of outcomes does not fit the log.
            PlatformError: when it cannot be read.
        """
        import pyarrow.compute as pc

        table = self._table(log[ID], column, scratch)
        by_row = ROW in table.column_names
        if not by_row and ROW in log.column_names and pc.any(pc.greater(log[ROW], 0)).as_py():
            raise UserError(
                f"requests of the log have several rows, and the outcomes do not say of which: give them a column "
                f"'{ROW}'"
            )
        keys = [ID, ROW] if by_row else [ID]
        wanted, found = positions(log.select(keys), table.select(keys))
        once, first, differing = distinct(found, requests_of(table[column]))
        places = np.searchsorted(once, wanted)
        places[places == len(once)] = 0
        rows = np.flatnonzero(once[places] == wanted) if len(once) else np.arange(0)
        values = table[column].combine_chunks().take(first[places[rows]])
        return Known(rows, values, differing)

    def losses(self, predictions: Predictions, labels: "pa.Array") -> Array:
        """(n,) how wrong each prediction was.

        Raises:
            UserError: when a label is none of the model's.
        """
        from kubeline.evaluation.losses import log_losses

        signature, metric = self.signature, self.metric
        if (signature.classes is None) == (metric in {"log_loss", "error"}):
            raise UserError(f"the metric {metric} is not one of a {signature.task} model; leave outcomes.metric empty")
        if predictions.probabilities is not None and not np.isfinite(predictions.probabilities).all():
            raise UserError("the payload log has rows without the probabilities of this model's classes")
        if signature.classes is None or predictions.probabilities is None:
            apart = numbers(labels, signature.target) - np.asarray(predictions.values, dtype=np.float64)
            return apart**2 if metric == "squared_error" else np.abs(apart)
        encoded = labels.dictionary_encode()
        known = np.array([signature.position(label) for label in encoded.dictionary.to_pylist()], dtype=np.int64)
        codes = known[encoded.indices.to_numpy()]
        if metric == "log_loss":
            return log_losses(predictions.probabilities, codes)
        wrong: Mask = np.array(signature.classes, dtype=object)[codes] != predictions.values
        return wrong.astype(np.float64)

    def _labels(self, log: "pa.Table", sides: list[Array], scratch: Path) -> LabelEvidence:
        label = self.known(log, self.spec.label or self.signature.target, scratch)
        losses = np.full(len(log), np.nan)
        if len(label.rows):
            losses[label.rows] = self.losses(logged_predictions(self.signature, log.take(label.rows)), label.values)
        requests = requests_of(log[ID])
        canary, stable = (by_request(requests[side], losses[side]) for side in sides)
        logged = (len(np.unique(requests[sides[0]])), len(np.unique(requests[sides[1]])))
        return LabelEvidence(self.metric, canary, stable, logged, label.differing)

    def _business(self, log: "pa.Table", sides: list[Array], metric: BusinessMetric, scratch: Path) -> BusinessMetric:
        value = self.known(log, metric.name, scratch)
        found = np.full(len(log), np.nan)
        found[value.rows] = numbers(value.values, metric.name)
        requests = requests_of(log[ID])
        canary, stable = (by_request(requests[side], found[side]) for side in sides)
        return BusinessMetric(metric.name, canary, stable, metric.higher_is_better)

    def _log(self, versions: tuple[str, str], since: float, scratch: Path) -> "pa.Table":
        """The rows that the two versions have answered since then, each once."""
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
        parts = [
            batch.filter(pa.array(sampled(batch[ID], share)))
            for batch in dataset.to_batches(columns=columns, filter=wanted)
        ]
        log = pa.Table.from_batches(parts, pa.schema([dataset.schema.field(name) for name in columns]))
        keys = log.select([name for name in (ID, ROW, VERSION) if name in columns])
        _, first = np.unique(positions(keys, keys)[0], return_index=True)
        return log.take(np.sort(first))

    def _table(self, ids: "pa.ChunkedArray", column: str, scratch: Path) -> "pa.Table":
        """The outcomes of these requests, those without a value left out."""
        import pyarrow as pa
        import pyarrow.compute as pc

        scratch.mkdir()
        dataset = opened(stage(self.spec.source, "auto", scratch), "table of outcomes")
        require(dataset, [ID, column], "table of outcomes")
        columns = [ID, column, *([ROW] if ROW in dataset.schema.names else [])]
        wanted, parts = pc.unique(ids.cast(pa.string())), []
        for batch in dataset.to_batches(columns=columns):
            given = pc.is_in(pc.cast(batch[ID], pa.string()), wanted)
            parts.append(batch.filter(pc.and_(given, pc.invert(pc.is_null(batch[column], nan_is_null=True)))))
        return pa.Table.from_batches(parts, pa.schema([dataset.schema.field(name) for name in columns]))


def by_request(requests: Array, values: Array) -> SampleStatistics:
    """The mean of the values that are known, with the requests (a code for each value) as clusters."""
    known = np.isfinite(values)
    _, request = np.unique(requests[known], return_inverse=True)
    return of_clusters(np.bincount(request, values[known]), np.bincount(request).astype(np.float64))


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
