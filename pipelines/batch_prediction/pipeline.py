"""The pipeline `batch_prediction`: a table in, its predictions out, in as many steps side by side as asked for."""

from typing import Any

from kfp import dsl

from components.load.component import load
from components.notify.component import notify
from components.predict.component import predict
from components.preflight.component import preflight
from kubeline.options import SOURCE
from pipelines.platform import never_cached, resources, retried, with_channels, with_credentials


def batch_prediction(
    data: str,
    model: str,
    destination: str = "",
    columns: list[str] = [],
    where: str = "",
    source: dict[str, Any] = SOURCE,
    keep: list[str] = [],
    partition_by: list[str] = [],
    overwrite: bool = False,
    max_quarantine: float = 0.5,
    shards: list[str] = ["1/1"],
    tracking_uri: str = "",
    secret: str = "kubeline-s3",  # noqa: S107 (a name)
    cpu_request: str = "500m",
    memory_request: str = "1Gi",
    cpu_limit: str = "4",
    memory_limit: str = "16Gi",
) -> None:
    """Predict every row of a table with a registered model.

    Args:
        data: The table: a path, folder, glob or URI (s3://, gs://, abfs://, http(s)://).
        model: The model: a package's path or URI, or models:/name@alias.
        destination: A folder (path or URI) that the predictions are copied to besides; empty: none.
        columns: The columns to load; empty means all.
        where: A SQL condition; only the rows that meet it are loaded.
        source: How the table is read. Fields as of `load`; types that it leaves out are those of the model.
        keep: Columns that come along beside the predictions, such as keys; empty means all.
        partition_by: Columns that are folders at the destination.
        overwrite: Whether other predictions at the destination are removed.
        max_quarantine: Largest share of rows that no prediction can be made for before the run fails.
        shards: Parts of the table that are predicted side by side, such as ["1/3", "2/3", "3/3"].
        tracking_uri: MLflow registry of `model`; empty takes MLFLOW_TRACKING_URI or a local SQLite file.
        secret: Name of the Kubernetes secret with credentials, if there is one (docs/clusters.md); never empty.
        cpu_request: CPU that a node must have free for a step, as a Kubernetes quantity; not empty.
        memory_request: Memory that a node must have free for a step, as a Kubernetes quantity; not empty.
        cpu_limit: CPU that a step may use at most.
        memory_limit: Memory that a step may use at most.
    """
    notice = with_channels(never_cached(notify(title=f"batch prediction {model}"))).set_display_name("Notify")
    with dsl.ExitHandler(notice, name="batch prediction"):
        requests, limits = (cpu_request, memory_request), (cpu_limit, memory_limit)
        tried = preflight(data=data, columns=columns, source=source, reference=model, tracking_uri=tracking_uri)
        with_channels(never_cached(with_credentials(tried, secret, "storage", "registry")))
        tried.set_display_name("Try what is needed")

        loaded = load(
            source=data,
            columns=columns,
            where=where,
            types_from=model,
            tracking_uri=tracking_uri,
            options=source,
        )
        loaded.after(tried).set_display_name("Load the table")
        retried(never_cached(resources(loaded, "read", requests, limits)))
        with_credentials(loaded, secret, "storage", "database", "registry")

        with dsl.ParallelFor(shards, name="shards") as shard:
            predicted = predict(
                dataset=loaded.outputs["dataset"],
                model_uri=model,
                tracking_uri=tracking_uri,
                keep=keep,
                max_quarantine=max_quarantine,
                shard=shard,
                destination=destination,
                partition_by=partition_by,
                overwrite=overwrite,
            ).set_display_name("Predict")
            retried(never_cached(resources(predicted, "read", requests, limits)))
            with_credentials(predicted, secret, "storage", "registry", "signatures")
