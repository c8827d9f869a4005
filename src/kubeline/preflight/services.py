"""Checks of external services: the registry, the storage, the cluster, the channels."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kubeline.errors import PlatformError, UserError

if TYPE_CHECKING:
    from kubeline.data.peek import TypedColumns

_SECONDS = 10.0
_MOST_BYTES = 2**20


def check_registry(tracking_uri: str, name: str) -> None:
    """That the registry answers, takes what `register` will write, and has no champion that cannot be compared with."""
    from kubeline.registry import open_registry
    from kubeline.registry.interface import CHAMPION, package_digest

    registry = open_registry(tracking_uri)
    registry.probe(name)
    if champion := registry.find(name, alias=CHAMPION):
        package_digest(champion)


def check_tracker(tracking_uri: str) -> None:
    """That where runs are filed beside the registry, such as in Weights & Biases, is there, and knows us."""
    from kubeline.registry.opening import separate_tracker

    if tracker := separate_tracker(tracking_uri):
        tracker.probe()


def check_reference(tracking_uri: str, reference: str) -> str | None:
    """That the model to compare with is there."""
    from kubeline.registry import absent, open_registry
    from kubeline.registry.interface import package_digest, parse_reference

    if not reference.startswith("models:"):
        return "a model outside the registry is fetched by the step that reads it"
    name, alias, version = parse_reference(reference)
    found = open_registry(tracking_uri).find(name, alias=alias, version=version)
    if found is None:
        raise absent(reference, tracking_uri)
    package_digest(found)
    return None


def check_schema(uri: str) -> None:
    """That the reviewed schema is there and is one."""
    from kubeline.schema.document import read_schema

    read_schema(uri)


def check_labels(source: str) -> None:
    """That the labels of a log are there, and are of requests."""
    from kubeline.data.labels import ID
    from kubeline.data.peek import column_names
    from kubeline.errors import UserError, listed

    found = column_names(source)
    if found is not None and ID not in found:
        raise UserError(f"labels are joined by '{ID}', which they do not have (there are: {listed(found)})")


def check_features(
    given: Sequence[Any], of_rows: "TypedColumns | None", time: str, asked: Collection[str], hinted: bool
) -> list[str] | None:
    """That the tables of features are there, with the columns by which they are joined, and that these are alike.

    Args:
        given: the input `features` of `load`.
        of_rows: the columns of the rows; None where they are not known yet.
        time: the column of their times.
        asked: columns whose types are not those of their files.
        hinted: whether text may be read as what a schema or a model has.

    Returns:
        The columns of rows and features; None where they are not known yet.
    """
    from kubeline.data.peek import columns_of
    from kubeline.data.point_in_time import check_columns, check_types
    from kubeline.loading.features import opened

    tables = [(table, columns_of(table.source, table.file_format)) for table in opened(given)]
    names = [(table, None if known is None else [*known]) for table, known in tables]
    found = check_columns(None if of_rows is None else [*of_rows], names, time)
    for table, known in tables:
        of_file = [
            {name: kind for name, kind in (columns or {}).items() if kind is not None and name not in without}
            for columns, without in ((of_rows, asked), (known, {*asked, *table.types}))
        ]
        check_types(table, time, of_file[0], of_file[1], hinted)
    return found


def check_history(uri: str) -> None:
    """The folder of what windows showed can be read."""
    from kubeline.drift.alarm.history import History

    History(uri).windows()


def check_package_store(storage_uri: str) -> str | None:
    """That the place where KServe reads packages from can be reached, and written to, as this step may."""
    from kubeline.addresses import scheme
    from kubeline.data.peek import reach, write_and_delete
    from kubeline.data.sources import STORES

    if scheme(storage_uri) not in STORES:
        return f"'{scheme(storage_uri)}://' can be read by KServe alone"
    reach(storage_uri)
    try:
        write_and_delete(storage_uri)
    except PlatformError as error:  # whoever puts the packages there may have other credentials
        return f"it can be read, but not written to with the credentials of this step ({error})"
    return None


def check_cluster(cluster: str, manifest: dict[str, Any], plan: Mapping[str, Any], gateway: str = "") -> str | None:
    """That the cluster can be reached, grants the rights, and can do what the plan says."""
    from kubeline.rollout.platform_plan import plan_for
    from kubeline.rollout.rehearsal import rehearse
    from kubeline.serving_platform.opening import open_platform

    return rehearse(open_platform(cluster), manifest, plan_for(cluster, "", plan, gateway), gateway)


def check_spark(given: Mapping[str, Any]) -> str:
    """That the cluster has what runs the application that writes the data, and grants the rights."""
    from kubeline.loading.spark import Spark, check_cluster

    spark = Spark.read(given)
    assert spark is not None  # noqa: S101 (it is asked where there is one)
    check_cluster(spark)
    return "Spark writes the data when it is loaded, and its columns are known then"


def check_workers(given: Mapping[str, Any]) -> str | None:
    """That the cluster has what makes pods of the workers of a training, and grants the rights."""
    from kubeline.training.distributed.train_job import check_cluster
    from kubeline.training.distributed.workers import Workers

    workers = Workers.read(given)
    if workers is None or not workers.are_pods:
        return "the workers are processes of the step"
    check_cluster(workers)
    return None


def check_gateway(gateway: str) -> None:
    """That something answers HTTP there; which model it leads to is seen by the rollout."""
    from kubeline.http.exchange import ExchangeError, Peer

    try:
        Peer(gateway).exchange("GET", urlsplit(gateway).path or "/", seconds=_SECONDS, most_bytes=_MOST_BYTES)
    except ValueError as error:
        raise UserError(f"gateway '{gateway}' is no address; expected http://HOST or https://HOST") from error
    except ExchangeError as error:
        if not error.too_large:
            raise PlatformError(f"the gateway {gateway} does not answer ({error}); check the address") from error


def check_channels() -> str | None:
    """That each channel is one that Apprise knows; nothing is sent."""
    from kubeline.notification.channels import addresses

    channels = addresses()
    if not channels:
        return "no channel is given: the message at the end goes to the log"
    from apprise import Apprise

    wrong = [number for number, url in enumerate(channels, start=1) if not Apprise().add(url)]
    if wrong:
        numbers = ", ".join(map(str, wrong))
        raise UserError(f"the URL of channel {numbers} of {len(channels)} is not one that Apprise knows; correct it")
    return None
