"""Predictions for a table: the implementation of the component `predict`."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from kubeline.artifacts import Artifact, describe, publish, step
from kubeline.data.dataset import DatasetWriter, open_dataset, require_columns
from kubeline.data.quarantine import divide, quarantine_schema
from kubeline.errors import UserError, listed
from kubeline.model_package.package import ModelPackage, version_of
from kubeline.model_package.predictor import Predictions, Predictor
from kubeline.model_package.signature import Signature
from kubeline.prediction.destination import Destination
from kubeline.prediction.prediction_report import write_report
from kubeline.prediction.rows import inputs_of, require_features
from kubeline.prediction.shard import Shard
from kubeline.prediction.summary import Summary
from kubeline.progress import Progress
from kubeline.retries import repeated

VERSION = "model.version"
PREDICTION = "output.prediction"


class Outputs(NamedTuple):
    """The output parameters of the component."""

    rows: int
    quarantined: int


@step
@repeated
def run(
    dataset: Artifact,
    predictions: Artifact,
    quarantine: Artifact,
    metrics: Artifact,
    report: Artifact,
    *,
    model: Artifact | None = None,
    model_uri: str = "",
    tracking_uri: str = "",
    keep: Sequence[str] = (),
    max_quarantine: float = 0.5,
    shard: str = "1/1",
    destination: str = "",
    partition_by: Sequence[str] = (),
    overwrite: bool = False,
) -> Outputs:
    """Predict the rows of `dataset`; the arguments are those of the component ``predict``.

    Memory: a chunk of rows.

    Raises:
        UserError: when the parameters, the model and the table do not fit together, or too many rows cannot be
            predicted.
        PlatformError: when the registry or a storage cannot be used.
    """
    part = Shard.read(shard)
    if not 0 <= max_quarantine <= 1:
        raise UserError(f"max_quarantine is {max_quarantine}; expected a share between 0 and 1")
    if partition_by and not destination:
        raise UserError("partition_by is of the folders at the destination; give a destination too")
    package = _package(model, model_uri, tracking_uri)
    schema = _schema(dataset.path, keep, package.signature)
    key = {
        "model": version_of(package.digest),
        "table": str(dataset.metadata.get("fingerprint", "")),
        "columns": ",".join([*keep, "|", *partition_by]),
        "shards": str(part.count),
    }
    goal = Destination(destination, part) if destination else None
    if goal is not None:
        goal.require_free(key, overwrite)
    with publish(predictions.path) as folder, publish(quarantine.path) as quarantined_folder:
        good, bad, summary = _write(dataset.path, part, package, schema, folder, quarantined_folder)
        _require_enough(summary, max_quarantine, part)
        facts = {"rows": summary.rows, "quarantined": summary.quarantined, "package_digest": package.digest}
        files = goal.write(folder, partition_by, key, facts) if goal is not None else []
    source = str(dataset.metadata.get("source", ""))
    parent = {"parent_fingerprint": key["table"], "model_version": key["model"], "shard": str(part)}
    described = {"destination": goal.shown, "files": len(files)} if goal is not None else {}
    describe(predictions, good.metadata(source) | parent | described)
    describe(quarantine, bad.metadata(source) | parent)
    describe(metrics, {"rows": summary.rows, "quarantined": summary.quarantined})
    write_report(report.path, package, part, summary, goal.shown if goal is not None else "")
    return Outputs(summary.rows, summary.quarantined)


def _package(model: Artifact | None, model_uri: str, tracking_uri: str) -> ModelPackage:
    if (model is None) == (not model_uri):
        raise UserError("give one model: either the artifact model, or model_uri (a path, a URI or models:/NAME@ALIAS)")
    if model is not None:
        return ModelPackage.of(model)
    from kubeline.registry import fetch

    folder = fetch(model_uri, tracking_uri)
    if folder is None:
        raise UserError(f"the registry has no model at '{model_uri}'; check its name and alias or version")
    return ModelPackage.open(folder)


def _schema(path: str, keep: Sequence[str], signature: Signature) -> pa.Schema:
    """The columns of the predictions: those that come along, the version of the model, and its answer."""
    dataset = open_dataset(path)
    require_features(dataset.schema, signature)
    require_columns(dataset, keep, "keep")
    number = pa.float64() if signature.classes is None else pa.string()
    answers = [
        pa.field(VERSION, pa.string()),
        pa.field(PREDICTION, number),
        *(pa.field(f"output.probability.{label}", pa.float32()) for label in signature.classes or ()),
    ]
    kept = [dataset.schema.field(name) for name in keep or dataset.schema.names]
    taken = [item.name for item in answers if item.name in {one.name for one in kept}]
    if taken:
        raise UserError(
            f"the table has a column '{taken[0]}', which the predictions have too; name in keep the columns that are "
            "to come along"
        )
    return pa.schema([*kept, *answers])


def _write(
    path: str, shard: Shard, package: ModelPackage, schema: pa.Schema, folder: Path, quarantined_folder: Path
) -> tuple[DatasetWriter, DatasetWriter, Summary]:
    summary, predictor = Summary(), package.predictor()
    bad_schema = quarantine_schema(open_dataset(path).schema)
    with ExitStack() as stack:
        good = stack.enter_context(DatasetWriter(folder, schema))
        bad = stack.enter_context(DatasetWriter(quarantined_folder, bad_schema))
        for rows, quarantined in _chunks(
            path, shard, predictor, schema, bad_schema, version_of(package.digest), summary
        ):
            good.write(rows)
            if quarantined.num_rows:
                bad.write(quarantined)
    return good, bad, summary


def _chunks(
    path: str,
    shard: Shard,
    predictor: Predictor,
    schema: pa.Schema,
    bad_schema: pa.Schema,
    version: str,
    summary: Summary,
) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
    """Chunk by chunk, the rows with their predictions, and the rows that have none."""
    with Progress("predicting", open_dataset(path).count_rows() / shard.count) as progress:
        for start, batch in shard.batches(path):
            inputs, broken = inputs_of(batch, predictor.signature)
            kept, quarantined = divide(batch, broken, start, bad_schema)
            if quarantined.num_rows:
                fine = ~np.logical_or.reduce(list(broken.values()))
                inputs = {name: values[fine] for name, values in inputs.items()}
                summary.reasons.update({reason: int(mask.sum()) for reason, mask in broken.items()})
                summary.quarantined += quarantined.num_rows
            found = predictor.predict_inputs(inputs)
            summary.add(found)
            yield _with_answers(kept, found, version, schema), quarantined
            progress.add(batch.num_rows)


def _with_answers(batch: pa.RecordBatch, found: Predictions, version: str, schema: pa.Schema) -> pa.RecordBatch:
    probabilities = [] if found.probabilities is None else list(found.probabilities.T)
    answers = [pa.repeat(version, batch.num_rows), pa.array(found.values), *map(pa.array, probabilities)]
    kept = schema.names[: len(schema) - len(answers)]
    return pa.record_batch([*(batch.column(name) for name in kept), *answers], schema=schema)


def _require_enough(summary: Summary, max_quarantine: float, shard: Shard) -> None:
    total = summary.rows + summary.quarantined
    if not total and shard.count == 1:
        raise UserError("the table has no rows, so there is nothing to predict; check where it was loaded from")
    if total and summary.quarantined > max_quarantine * total:
        reasons = listed((f"{reason} ({rows:,} rows)" for reason, rows in summary.reasons.most_common()), 5)
        raise UserError(
            f"{summary.quarantined:,} of {total:,} rows cannot be predicted, more than max_quarantine = "
            f"{max_quarantine:g} allows: {reasons}"
        )
