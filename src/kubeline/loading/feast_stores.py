"""Where the features of a feature view of Feast lie: a source of `load`, and of a database the query."""
# ruff: noqa: S608 - names are quoted; tables and queries are those of the repository

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from kubeline.addresses import scheme
from kubeline.data.point_in_time import SINCE, UNTIL
from kubeline.errors import UserError
from kubeline.loading.feast_registry_pb2 import DataSource

_POSTGRESQL = "PostgreSQLSource"  # the class that stands in the registry


@dataclass(frozen=True)
class StoredFeatures:
    """A source of `load`, with the query that a database needs."""

    source: str
    query: str = ""
    file_format: str = "auto"


def located(
    source: DataSource, view: str, folder: Path | None, config: Mapping[str, Any], columns: Sequence[str], time: str
) -> StoredFeatures:
    """Where the features of a view are.

    Args:
        source: of the view, as the registry has it.
        view: its name, for messages.
        folder: of the repository; None where only a registry is known.
        config: what its feature_store.yaml says.
        columns: that are needed, as the source calls them.
        time: the one of them that says when a feature came to be true.

    Raises:
        UserError: when only Feast can read it.
    """
    store = config.get("offline_store")
    settings = store if isinstance(store, Mapping) else {}
    if source.HasField("file_options"):
        return _file(source, view, folder)
    if source.HasField("bigquery_options"):
        options = source.bigquery_options
        where = f"({options.query})" if options.query else f"`{options.table}`"
        return StoredFeatures(_bigquery(settings, options.table, view), _query(columns, where, time, "`"))
    if source.HasField("snowflake_options"):
        return StoredFeatures(_snowflake(settings, view), _query(columns, _snowflake_table(source), time, '"'))
    if source.HasField("custom_options") and source.data_source_class_type.endswith(_POSTGRESQL):
        known = json.loads(source.custom_options.configuration)
        where = known.get("table") or f"({known.get('query', '')})"
        return StoredFeatures(_postgresql(settings, view), _query(columns, where, time, '"'))
    kind = source.data_source_class_type.rpartition(".")[2] or "a source of a kind"
    raise UserError(
        f"the features of '{view}' are in {kind}, which is not read here; have Feast write them "
        "(get_historical_features(…).persist(…)), and load them"
    )


def _file(source: DataSource, view: str, folder: Path | None) -> StoredFeatures:
    options = source.file_options
    uri = options.uri
    if not scheme(uri):
        if folder is None and not Path(uri).is_absolute():
            raise UserError(
                f"the features of '{view}' are in '{uri}', below a repository of Feast that is not known here; give "
                "its folder as feast:///repository"
            )
        uri = str((folder or Path("/")) / uri)
    endpoint = options.s3_endpoint_override
    if endpoint and endpoint.rstrip("/") != os.environ.get("AWS_ENDPOINT_URL", "").rstrip("/"):
        raise UserError(
            f"the features of '{view}' are in an object store at {endpoint}; set AWS_ENDPOINT_URL={endpoint}, which "
            "every source of a step uses"
        )
    if options.file_format.HasField("delta_format"):
        return StoredFeatures(f"delta+{uri}" if scheme(uri) else f"delta://{uri}")
    return StoredFeatures(uri, file_format="parquet")


def _query(columns: Sequence[str], table: str, time: str, mark: str) -> str:
    names = ", ".join(f"{mark}{name}{mark}" for name in columns)
    at = f"{mark}{time}{mark}"
    return f"SELECT {names} FROM {table} AS features WHERE {at} >= '{SINCE}' AND {at} < '{UNTIL}'"


def _bigquery(settings: Mapping[str, Any], table: str, view: str) -> str:
    parts = table.split(".")
    project = settings.get("billing_project_id") or settings.get("project_id") or (parts[0] if len(parts) == 3 else "")
    if not project:
        raise UserError(
            f"the features of '{view}' are in BigQuery, and no project is known; set offline_store.project_id in "
            "feature_store.yaml"
        )
    location = settings.get("location")
    return f"bigquery://{project}" + (f"?{urlencode({'location': location})}" if location else "")


def _snowflake(settings: Mapping[str, Any], view: str) -> str:
    account = settings.get("account")
    if not account:
        raise UserError(
            f"the features of '{view}' are in Snowflake, and no account is known; set offline_store.account in "
            "feature_store.yaml"
        )
    user = f"{quote(str(settings['user']), safe='')}@" if settings.get("user") else ""
    schema = settings.get("schema", "PUBLIC")
    path = f"/{settings['database']}/{schema}" if settings.get("database") else ""
    options = urlencode({name: settings[name] for name in ("warehouse", "role") if settings.get(name)})
    return f"snowflake://{user}{account}{path}" + (f"?{options}" if options else "")


def _snowflake_table(source: DataSource) -> str:
    options = source.snowflake_options
    if options.query:
        return f"({options.query})"
    return ".".join(f'"{name}"' for name in (options.database, options.schema, options.table) if name)


def _postgresql(settings: Mapping[str, Any], view: str) -> str:
    if not settings.get("host") or not settings.get("database"):
        raise UserError(
            f"the features of '{view}' are in PostgreSQL, and it is not known where; set offline_store.host and "
            "offline_store.database in feature_store.yaml"
        )
    user = quote(str(settings.get("user", "")), safe="")
    password = f":{quote(str(settings['password']), safe='')}" if settings.get("password") else ""
    login = f"{user}{password}@" if user else ""
    options = {
        "sslmode": settings.get("sslmode", "require"),
        "options": f"-csearch_path={settings.get('db_schema', 'public')}",
        **{
            of_libpq: settings[of_feast]
            for of_feast, of_libpq in (
                ("sslkey_path", "sslkey"),
                ("sslcert_path", "sslcert"),
                ("sslrootcert_path", "sslrootcert"),
            )
            if settings.get(of_feast)
        },
    }
    place = f"{settings['host']}:{settings.get('port', 5432)}/{settings['database']}"
    return f"postgresql://{login}{place}?{urlencode(options, quote_via=quote)}"
