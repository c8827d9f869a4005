"""What became of the requests of a rollout: labels and business values, joined by request id with the payload log.

The same join as :mod:`kubeline.data.labels`, by the same engine, of the rows of one step: what comes twice is one, and
of two that differ neither counts.
"""
# ruff: noqa: S608 - names in queries are quoted

import logging
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from kubeline.data.conditions import first_line
from kubeline.data.duck import Connection
from kubeline.data.engine import connect, fetch, identifier, literal
from kubeline.data.sources import SourceFile, stage
from kubeline.data.timespan import Timespan
from kubeline.errors import KubelineError, UserError
from kubeline.masking import trace_of, words_of
from kubeline.model_package import Predictions, Signature
from kubeline.rollout.analysis.judge import BusinessMetric, LabelEvidence, SampleStatistics
from kubeline.rollout.analysis.judge.statistics import of_clusters
from kubeline.rollout.probes.tables import (
    ID,
    LOG,
    PLACE,
    ROW,
    TIME,
    VERSION,
    Opened,
    arrays,
    drawn,
    keep,
    numbers,
    opened,
    whole,
)
from kubeline.rollout.spec import LossName, OutcomesSpec
from kubeline.typing import Array, Mask

logger = logging.getLogger(__name__)

PREDICTION = "output.prediction"
_ROWS = 1_000_000  # of the log, at most; of more, whole requests are drawn by a hash of their id


def answers_of(signature: Signature) -> list[str]:
    """The columns of a payload log that hold the answers of such a model."""
    return [PREDICTION, *(f"output.probability.{label}" for label in signature.classes or ())]


def logged_predictions(signature: Signature, log: dict[str, Array]) -> Predictions:
    """The answers that rows of a payload log hold, by :func:`kubeline.rollout.probes.tables.arrays`."""
    probabilities = None
    if signature.classes is not None:
        probabilities = np.column_stack([log[name].astype(np.float64) for name in answers_of(signature)[1:]])
    return Predictions(log[PREDICTION], probabilities)


@dataclass(frozen=True)
class Known:
    """The values of one column that have come: `rows` are positions in the log, `differing` requests left out."""

    rows: Array
    values: list[Any]
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
            with TemporaryDirectory(prefix="kubeline-outcomes-") as folder:
                begin, scratch = datetime.fromtimestamp(since, UTC), Path(folder)
                files, known = self.staged(scratch, Timespan(begin))
                with closing(connect(scratch, [file.path for file in (*files, *known)])) as connection:
                    self._log(connection, files, (candidate, stable), begin)
                    log = arrays(connection, [VERSION, *answers_of(self.signature)])
                    sides = [log[VERSION] == version for version in (candidate, stable)]
                    table = opened(connection, known, "table of outcomes")
                    labels = self._labels(connection, table, log, sides)
                    if business:
                        business = self._business(connection, table, log, sides, business)
        except KubelineError as error:
            problem = f"The outcomes are not known: {error}."
        except Exception as error:
            logger.warning("the outcomes could not be understood\n%s", trace_of(error))
            problem = (
                f"The outcomes could not be understood ({type(error).__name__}: {first_line(words_of(error))[:200]})."
            )
        else:
            return labels, business
        failed = BusinessMetric(spec.value, problem=problem) if business else None
        return LabelEvidence(self.metric, problem=problem), failed

    def staged(self, scratch: Path, span: Timespan | None = None) -> tuple[list[SourceFile], list[SourceFile]]:
        """The files of the payload log that may hold rows of a span of time, and those of the outcomes, in `scratch`.

        Raises:
            UserError: when there are none.
            PlatformError: when they cannot be read.
        """
        places = [scratch / name for name in ("log", "outcomes")]
        for place in places:
            place.mkdir()
        wanted = [span.may_hold] if span else []
        files = stage(self.spec.payload_log, "parquet", places[0], *wanted) if span else []
        return files, stage(self.spec.source, "auto", places[1])

    def known(self, connection: Connection, table: Opened, column: str) -> Known:
        """The rows of the log for which a value of `column` has come.

        Args:
            connection: with the log, as :func:`kubeline.rollout.probes.tables.keep` makes it.
            table: of the outcomes.
            column: of it.

        Raises:
            UserError: when the table of outcomes does not fit the log.
        """
        table.require([ID, column])
        by_row, value = ROW in table.types, identifier(column)
        if not by_row and _has_rows(connection):
            raise UserError(
                f"requests of the log have several rows, and the outcomes do not say of which: give them a column "
                f"'{ROW}'"
            )
        keys = f"CAST({identifier(ID)} AS VARCHAR) AS id" + f", CAST({identifier(ROW)} AS BIGINT) AS number" * by_row
        there = f"{value} IS NOT NULL" + f" AND NOT isnan({value})" * (table.types[column] in ("FLOAT", "DOUBLE"))
        connection.execute(
            f"CREATE OR REPLACE TABLE known AS SELECT min(value) AS value, count(DISTINCT value) AS kinds, "
            f"* EXCLUDE value FROM (SELECT {keys}, {value} AS value FROM {table.source} WHERE {there}) "
            f"WHERE id IN (SELECT {identifier(ID)} FROM {LOG}) GROUP BY ALL"
        )
        ((differing,),) = fetch(connection, "SELECT count(*) FROM known WHERE kinds > 1")
        on = f"known.id = {LOG}.{identifier(ID)}" + f" AND known.number = {LOG}.{identifier(ROW)}" * by_row
        found = fetch(
            connection,
            f"SELECT {identifier(PLACE)}, value FROM {LOG} JOIN known ON {on} WHERE kinds = 1 ORDER BY 1",
        )
        return Known(np.array([place for place, _ in found], np.int64), [given for _, given in found], int(differing))

    def losses(self, predictions: Predictions, labels: Sequence[Any]) -> Array:
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
        known = {label: signature.position(label) for label in dict.fromkeys(labels)}
        codes = np.array([known[label] for label in labels], dtype=np.int64)
        if metric == "log_loss":
            return log_losses(predictions.probabilities, codes)
        wrong: Mask = np.array(signature.classes, dtype=object)[codes] != predictions.values
        return wrong.astype(np.float64)

    def _labels(self, connection: Connection, table: Opened, log: dict[str, Array], sides: list[Mask]) -> LabelEvidence:
        label = self.known(connection, table, self.spec.label or self.signature.target)
        requests, losses = log["request"], np.full(len(log["request"]), np.nan)
        if len(label.rows):
            answers = logged_predictions(self.signature, log).part(label.rows)
            losses[label.rows] = self.losses(answers, label.values)
        canary, stable = (by_request(requests[side], losses[side]) for side in sides)
        logged = (len(np.unique(requests[sides[0]])), len(np.unique(requests[sides[1]])))
        return LabelEvidence(self.metric, canary, stable, logged, label.differing)

    def _business(
        self, connection: Connection, table: Opened, log: dict[str, Array], sides: list[Mask], metric: BusinessMetric
    ) -> BusinessMetric:
        value = self.known(connection, table, metric.name)
        requests, found = log["request"], np.full(len(log["request"]), np.nan)
        found[value.rows] = numbers(value.values, metric.name)
        canary, stable = (by_request(requests[side], found[side]) for side in sides)
        return BusinessMetric(metric.name, canary, stable, metric.higher_is_better)

    def _log(self, connection: Connection, files: list[SourceFile], versions: tuple[str, str], begin: datetime) -> None:
        """Keep the rows that the two versions have answered since then, each once."""
        log = opened(connection, whole(connection, files), "payload log")
        needed = [ID, VERSION, *answers_of(self.signature)]
        log.require([*needed, TIME])
        keys = [ID, VERSION, *([ROW] if ROW in log.types else [])]
        columns = [*keys, *answers_of(self.signature)]
        wanted = (
            f"CAST({identifier(TIME)} AS TIMESTAMPTZ) >= TIMESTAMPTZ {literal(begin.isoformat())} "
            f"AND {identifier(VERSION)} IN ({', '.join(map(literal, versions))})"
        )
        ((rows,),) = fetch(connection, f"SELECT count(*) FROM {log.source} WHERE {wanted}")
        chosen, once = (", ".join(map(identifier, names)) for names in (columns, keys))
        keep(
            connection,
            f"SELECT DISTINCT ON ({once}) {chosen} FROM {log.source} WHERE {wanted} AND {drawn(_ROWS / max(rows, 1))}",
        )


def _has_rows(connection: Connection) -> bool:
    """Whether a request of the log has several rows."""
    names = {name for name, *_ in fetch(connection, f"DESCRIBE {LOG}")}
    ((several,),) = (
        fetch(connection, f"SELECT count(*) FROM {LOG} WHERE {identifier(ROW)} > 0") if ROW in names else [(0,)]
    )
    return bool(several)


def by_request(requests: Array, values: Array) -> SampleStatistics:
    """The mean of the values that are known, with the requests (a code for each value) as clusters."""
    known = np.isfinite(values)
    _, request = np.unique(requests[known], return_inverse=True)
    return of_clusters(np.bincount(request, values[known]), np.bincount(request).astype(np.float64))
