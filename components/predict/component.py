"""Interface of `predict`."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import HTML, Dataset, Input, Metrics, Model, Output

from components.images import image


@dsl.component(base_image=image("steps"), install_kfp_package=False)
def predict(
    dataset: Input[Dataset],
    predictions: Output[Dataset],
    quarantine: Output[Dataset],
    metrics: Output[Metrics],
    report: Output[HTML],
    model: Input[Model] = None,
    model_uri: str = "",
    tracking_uri: str = "",
    keep: list[str] = [],
    max_quarantine: float = 0.5,
    shard: str = "1/1",
    destination: str = "",
    partition_by: list[str] = [],
    overwrite: bool = False,
) -> NamedTuple("Outputs", [("rows", int), ("quarantined", int)]):
    """Predict every row of a table, with the ONNX graph that serves.

    Predictions are what the model server answers for the same rows. The columns `model.version`, `output.prediction`
    and, for classes, `output.probability.CLASS` are those of the server's payload log, so `drift_check` reads them as
    they are. Memory is bounded by a chunk of rows.

    A row that the model cannot read (text where it needs a number, a number that is infinite) is quarantined with its
    reason. What every row lacks, such as a column, is an error before anything is predicted. Missing values and unseen
    categories are predicted, as the server does.

    Give exactly one of `model` and `model_uri`. Large tables are predicted by several steps side by side, each with its
    `shard`; one that fails is repeated alone.

    Args:
        dataset: The table, with at least the model's features.
        model: Model package, as ``train`` writes it.
        model_uri: The same as a path or URI, or ``models:/NAME@ALIAS``.
        tracking_uri: Registry that ``models:/`` is looked up in. Empty: the default one.
        keep: Columns of the table that come along, in this order, such as keys. Empty: all.
        max_quarantine: Largest share of rows without a prediction before the step fails. 0 to 1.
        shard: Which part of the table to predict, and of how many: ``2/4``. Every row is in exactly one.
        destination: A folder that the predictions are copied to besides: a path or URI (``s3://``, ``gs://``,
            ``abfs://``). It holds those of one model for one table: others are refused, and the same ones are not
            written twice. The last file of a shard, ``_predictions-2-of-4.json``, says that all of it is there.
            Empty: none.
        partition_by: Columns that are folders at the destination: ``carrier=UA/``.
        overwrite: Whether predictions of others at the destination are removed.

    Returns:
        predictions: Parquet folder of the predicted rows in the order of the table. Metadata: rows, columns, bytes,
            fingerprint, source, parent_fingerprint, model_version, shard, and, with a destination, destination, files.
        quarantine: Parquet folder of the other rows as they came, with ``quarantine_reason`` and ``quarantine_row``
            (number of the row in the input, from 0). Metadata as predictions.
        metrics: rows, quarantined.
        report: HTML page with counts, classes or the spread of numbers, and the reasons.
        rows: How many rows were predicted.
        quarantined: How many were not.
    """
    from kubeline.prediction import predict as implementation

    return implementation.run(
        dataset,
        predictions,
        quarantine,
        metrics,
        report,
        model=model,
        model_uri=model_uri,
        tracking_uri=tracking_uri,
        keep=keep,
        max_quarantine=max_quarantine,
        shard=shard,
        destination=destination,
        partition_by=partition_by,
        overwrite=overwrite,
    )
