"""The pipeline `monitoring`: has the data moved away from what the model was trained on?"""

from typing import Any

from kfp import dsl

from components.alarm.component import alarm as decide
from components.drift_check.component import drift_check
from components.load.component import load
from components.notify.component import notify
from components.preflight.component import preflight
from kubeline.options import ALARM, DRIFT, SOURCE
from pipelines.platform import never_cached, or_scheduled_time, resources, retried, with_channels, with_credentials


def monitoring(
    data: str,
    reference: str,
    columns: list[str] = [],
    where: str = "",
    at: str = "",
    length: str = "",
    source: dict[str, Any] = SOURCE,
    exclude: list[str] = [],
    drift: dict[str, Any] = DRIFT,
    history: str = "",
    alarm: dict[str, Any] = ALARM,
    tracking_uri: str = "",
    secret: str = "kubeline-s3",  # noqa: S107 (a name)
    cpu_request: str = "500m",
    memory_request: str = "1Gi",
    cpu_limit: str = "4",
    memory_limit: str = "16Gi",
) -> None:
    """Compare a window of current data with the training data of a model.

    The training data itself is not needed: the model package carries its distribution.

    Args:
        data: Where the window is: a path, folder, glob or URI (s3://, gs://, abfs://, http(s)://), such as the model
            server's payload log.
        reference: The model to compare with: a package's path or URI, or models:/name@alias.
        columns: The columns to load; empty means all.
        where: A SQL condition; only the rows that meet it are loaded.
        at: The end of the window of time: an ISO 8601 time; on a schedule, when the run was due. Empty: the present,
            where a length is given; on Vertex AI Pipelines, when the schedule had it due.
        length: How long the window is, such as 24h, 7d or 1mo. Empty: all rows, or all before `at`.
        source: How the window is read. Fields as of `load`: format kserve is what KServe's own logger writes, rename
            gives columns the names that the model knows.
        exclude: Columns that are not judged, such as the month: a window of one month never has the year's.
        drift: When a window has drifted. Fields as of `drift_check`.
        history: A folder that all runs of a schedule reach, for what each window showed; empty raises no alarm.
        alarm: When windows that went wrong are an alarm. Fields as of `alarm`.
        tracking_uri: MLflow registry of `reference`; empty takes MLFLOW_TRACKING_URI or a local SQLite file.
        secret: Name of the Kubernetes secret with credentials, if there is one (docs/clusters.md); never empty.
        cpu_request: CPU that a node must have free for loading, as a Kubernetes quantity; not empty.
        memory_request: Memory that a node must have free for loading, as a Kubernetes quantity; not empty.
        cpu_limit: CPU that loading may use at most.
        memory_limit: Memory that loading may use at most.
    """
    notice = with_channels(never_cached(notify(title=f"monitoring {reference}"))).set_display_name("Notify")
    with dsl.ExitHandler(notice, name="monitoring"):
        due = or_scheduled_time(at)
        requests, limits = (cpu_request, memory_request), (cpu_limit, memory_limit)
        tried = preflight(
            data=data,
            columns=columns,
            at=due,
            length=length,
            source=source,
            reference=reference,
            drift=drift,
            history=history,
            alarm=alarm,
            tracking_uri=tracking_uri,
        )
        with_channels(never_cached(with_credentials(tried, secret, "storage", "registry", "tracker")))
        tried.set_display_name("Try what is needed")

        loaded = load(
            source=data,
            columns=columns,
            where=where,
            at=due,
            length=length,
            types_from=reference,  # a window of digits alone does not distinguish postal codes from numbers
            tracking_uri=tracking_uri,
            options=source,
        )
        loaded.after(tried).set_display_name("Load the window")
        retried(never_cached(resources(loaded, "read", requests, limits)))
        with_credentials(loaded, secret, "storage", "database", "registry")

        checked = drift_check(
            current=loaded.outputs["dataset"],
            reference_uri=reference,
            tracking_uri=tracking_uri,
            exclude=exclude,
            history=history,
            options=drift,
        ).set_display_name("Check for drift")
        with_credentials(checked, secret, "storage", "registry", "tracker")
        never_cached(checked)  # the alias may point to another model now

        with dsl.If(history != "", name="with-a-history"):
            decided = decide(result=checked.outputs["result"], history=history, options=alarm)
            retried(never_cached(with_credentials(decided, secret, "storage"))).set_display_name("Decide on an alarm")
