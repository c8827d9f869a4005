"""Feature views of Feast as tables of features: feast:///repository, with the folder's feature_store.yaml.

Read is Feast's own registry, a message of protocol buffers, which says where the features of each view lie, by what
they are joined, and how long they count. Feast itself need not be installed: the join is that of
:mod:`kubeline.data.point_in_time`, with the semantics of ``get_historical_features``. Python of a repository is not
run.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from google.protobuf.message import DecodeError
from pydantic import Field

from kubeline.addresses import file_system, redact, refuse_credentials, scheme
from kubeline.data.point_in_time import FeatureTable
from kubeline.data.sources import STORES, local_path, remote_errors
from kubeline.errors import UserError, listed
from kubeline.loading.feast_registry_pb2 import FeatureView, Registry
from kubeline.loading.feast_stores import located
from kubeline.settings import Settings
from kubeline.yaml_files import parse

SCHEME = "feast"
_FILE = "feature_store.yaml"
_NO_ENTITY = "__dummy_id"  # the key of views without entities
_MOST_BYTES = 1 << 30
_PLACES = (SCHEME, *(f"{SCHEME}+{store}" for store in ("file", *STORES)))


class FeastFeatures(Settings):
    """What is asked of Feast.

    Attributes:
        source: ``feast:///repository`` or the address of a registry, such as ``feast+s3://bucket/registry.db``.
        columns: features as ``view:feature``, whole views or feature services.
        full_names: whether features are called ``view__feature``, as in Feast.
        by_created: whether a feature counts only from when it was created.
        project: of a registry that several have; empty for that of the repository.
    """

    group = "a source of Feast, which knows the rest,"

    source: str = Field(
        pattern=rf"^(?i:{'|'.join(_PLACES)})://".replace("+", r"\+"),
        description="feast:///repository, or the address of a registry, such as feast+s3://bucket/registry.db",
    )
    columns: list[Annotated[str, Field(min_length=1)]] = Field(
        min_length=1, description="features of Feast as view:feature, whole feature views or feature services"
    )
    full_names: bool = Field(default=False, description="true or false")
    by_created: bool = Field(default=False, description="true or false")
    project: str = Field(default="", description="the name of a project of Feast")


@dataclass(frozen=True)
class _Wanted:
    """Features of one view: their names there, what the view is called, and join keys with other names in the rows."""

    view: str
    features: tuple[str, ...]
    alias: str = ""
    keys: tuple[tuple[str, str], ...] = ()


def tables(wanted: FeastFeatures) -> list[FeatureTable]:
    """One table of features for each feature view that is asked for.

    Raises:
        UserError: when there is no such repository, registry, view or feature, or Feast alone can compute it.
        PlatformError: when the store of the registry cannot be reached.
    """
    folder, config = _repository(wanted.source)
    place = _registry_address(wanted.source, folder, config)
    registry = _registry(place)
    project = _project(wanted.project or str(config.get("project", "")), registry, place)
    catalog = _Catalog(registry, project, place)
    return [
        _table(catalog.view(each.view), each, wanted, folder, config, registry.version_id)
        for each in _merged([one for name in wanted.columns for one in catalog.wanted(name)])
    ]


def _repository(source: str) -> tuple[Path | None, dict[str, Any]]:
    """The folder of a repository and what its feature_store.yaml says; nothing where a registry is given."""
    path = Path(local_path(source.partition("://")[2]))
    if scheme(source) not in (SCHEME, f"{SCHEME}+file") or not (path.is_dir() or path.suffix in (".yaml", ".yml")):
        return None, {}
    file = path / _FILE if path.is_dir() else path
    if not file.is_file():
        raise UserError(f"there is no '{file}'; give the folder of a repository of Feast, or the address of a registry")
    document = parse(os.path.expandvars(file.read_text(encoding="utf-8")), f"'{file}'")  # as Feast does
    if not isinstance(document, dict):
        raise UserError(f"'{file}' holds no settings of Feast; restore it")
    return file.parent.resolve(), document


def _registry_address(source: str, folder: Path | None, config: Mapping[str, Any]) -> str:
    if folder is None:
        kind = scheme(source).partition("+")[2]
        return source.partition("://")[2] if kind in ("", "file") else f"{kind}://{source.partition('://')[2]}"
    given = config.get("registry", "data/registry.db")
    if isinstance(given, Mapping):
        kind = given.get("registry_type", "file")
        if kind != "file":
            raise UserError(
                f"the registry of '{folder}' is one of the type '{kind}', and only files are read here; have Feast "
                "write the features (get_historical_features(…).persist(…)) and load them, or describe its "
                "tables in features"
            )
        given = given.get("path", "")
    place = str(given)
    return place if scheme(place) else str(folder / place)


def _registry(place: str) -> Registry:
    refuse_credentials(place, "the registry")
    if scheme(place) in ("", "file"):
        file = Path(local_path(place))
        if not file.is_file():
            raise UserError(f"there is no registry of Feast at '{file}'; run feast apply where its repository is")
        content = file.read_bytes()
    else:
        with remote_errors(place):
            system, path = file_system(place)
            content = system.cat_file(path, end=_MOST_BYTES)
    try:
        registry = Registry()
        registry.ParseFromString(content)
    except DecodeError:
        raise UserError(f"'{redact(place)}' is no registry of Feast; give that which feast apply wrote") from None
    return registry


def _project(wanted: str, registry: Registry, place: str) -> str:
    there = sorted({view.spec.project for view in registry.feature_views})
    if not wanted and len(there) == 1:
        return str(there[0])
    if wanted not in there:
        what = f"no feature view of the project '{wanted}'" if wanted else "feature views of several projects, or none"
        raise UserError(f"the registry '{redact(place)}' has {what}; name one as project: {listed(there)}")
    return wanted


class _Catalog:
    """The feature views and services of a project."""

    def __init__(self, registry: Registry, project: str, place: str):
        def own(kind: Any) -> dict[str, Any]:
            return {one.spec.name: one for one in kind if one.spec.project == project}

        self._place = redact(place)
        self._views = own(registry.feature_views)
        self._services = own(registry.feature_services)
        self._computed = {
            **dict.fromkeys(own(registry.on_demand_feature_views), "an on-demand feature view"),
            **dict.fromkeys(own(registry.stream_feature_views), "a stream feature view"),
            **dict.fromkeys(own(registry.label_views), "a label view"),
        }

    def wanted(self, name: str) -> list[_Wanted]:
        """What a reference, a view or a service stands for."""
        view, colon, feature = name.partition(":")
        if not colon and name in self._services:
            return [
                _Wanted(
                    each.feature_view_name,
                    tuple(one.name for one in each.feature_columns),
                    each.feature_view_name_alias,
                    tuple(sorted(each.join_key_map.items())),
                )
                for each in self._services[name].spec.features
            ]
        there = [one.name for one in self.view(view).spec.features]
        if colon and feature not in there:
            raise UserError(f"the feature view '{view}' has no feature '{feature}'; it has: {listed(there)}")
        return [_Wanted(view, (feature,) if colon else tuple(there))]

    def view(self, name: str) -> FeatureView:
        found: FeatureView | None = self._views.get(name)
        kind = self._computed.get(name, "")
        if found is not None and (found.spec.source_views or found.spec.HasField("feature_transformation")):
            kind = "a feature view that is computed"
        if kind:
            raise UserError(
                f"'{name}' is {kind} of Feast, which Feast alone can compute; have it write the features "
                "(get_historical_features(…).persist(…)), and load them"
            )
        if found is None:
            names = [*self._views, *self._services]
            raise UserError(
                f"the registry '{self._place}' has no feature view or service '{name}'; it has: {listed(names)}"
            )
        return found


def _merged(wanted: Sequence[_Wanted]) -> list[_Wanted]:
    """Features of the same view, joined by the same keys, are of one table."""
    found: dict[tuple[str, str, tuple[tuple[str, str], ...]], dict[str, None]] = {}
    for one in wanted:
        found.setdefault((one.view, one.alias, one.keys), {}).update(dict.fromkeys(one.features))
    return [_Wanted(view, tuple(names), alias, keys) for (view, alias, keys), names in found.items()]


def _table(
    view: FeatureView,
    wanted: _Wanted,
    asked: FeastFeatures,
    folder: Path | None,
    config: Mapping[str, Any],
    version: str,
) -> FeatureTable:
    spec, source = view.spec, view.spec.batch_source
    original = {new: old for old, new in source.field_mapping.items()}
    of_rows, called = dict(wanted.keys), wanted.alias or spec.name
    keys = {
        of_rows.get(one.name, one.name): original.get(one.name, one.name)
        for one in spec.entity_columns
        if one.name != _NO_ENTITY
    }
    time = original.get(source.timestamp_field, source.timestamp_field)
    created = original.get(source.created_timestamp_column, source.created_timestamp_column)
    if asked.by_created and not created:
        raise UserError(
            f"by_created is true, but the source of the feature view '{spec.name}' has no created timestamp"
        )
    columns = [original.get(name, name) for name in wanted.features]
    names = [f"{called}__{name}" if asked.full_names else name for name in wanted.features]
    needed = dict.fromkeys([*keys.values(), time, *([created] if created else []), *columns])
    place = located(source, spec.name, folder, config, [*needed], time)
    ttl = timedelta(seconds=spec.ttl.seconds, microseconds=spec.ttl.nanos // 1000)
    return FeatureTable(
        place.source,
        keys,
        time,
        created=created,
        max_age=ttl or None,
        by_created=asked.by_created,
        zone="UTC",
        columns=columns,
        rename=dict(zip(columns, names, strict=True)),
        query=place.query,
        file_format=place.file_format,
        name=called,
        version=f"{view.meta.current_version_number} of registry {version}",
    )
