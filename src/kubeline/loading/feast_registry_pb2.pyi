# Copyright The Feast Authors (the messages). SPDX-License-Identifier: Apache-2.0
import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Registry(_message.Message):
    __slots__ = ("feature_views", "feature_services", "on_demand_feature_views", "stream_feature_views", "label_views", "version_id")
    FEATURE_VIEWS_FIELD_NUMBER: _ClassVar[int]
    FEATURE_SERVICES_FIELD_NUMBER: _ClassVar[int]
    ON_DEMAND_FEATURE_VIEWS_FIELD_NUMBER: _ClassVar[int]
    STREAM_FEATURE_VIEWS_FIELD_NUMBER: _ClassVar[int]
    LABEL_VIEWS_FIELD_NUMBER: _ClassVar[int]
    VERSION_ID_FIELD_NUMBER: _ClassVar[int]
    feature_views: _containers.RepeatedCompositeFieldContainer[FeatureView]
    feature_services: _containers.RepeatedCompositeFieldContainer[FeatureService]
    on_demand_feature_views: _containers.RepeatedCompositeFieldContainer[Named]
    stream_feature_views: _containers.RepeatedCompositeFieldContainer[Named]
    label_views: _containers.RepeatedCompositeFieldContainer[Named]
    version_id: str
    def __init__(self, feature_views: _Optional[_Iterable[_Union[FeatureView, _Mapping]]] = ..., feature_services: _Optional[_Iterable[_Union[FeatureService, _Mapping]]] = ..., on_demand_feature_views: _Optional[_Iterable[_Union[Named, _Mapping]]] = ..., stream_feature_views: _Optional[_Iterable[_Union[Named, _Mapping]]] = ..., label_views: _Optional[_Iterable[_Union[Named, _Mapping]]] = ..., version_id: _Optional[str] = ...) -> None: ...

class FeatureView(_message.Message):
    __slots__ = ("spec", "meta")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    spec: FeatureViewSpec
    meta: FeatureViewMeta
    def __init__(self, spec: _Optional[_Union[FeatureViewSpec, _Mapping]] = ..., meta: _Optional[_Union[FeatureViewMeta, _Mapping]] = ...) -> None: ...

class FeatureViewSpec(_message.Message):
    __slots__ = ("name", "project", "features", "ttl", "batch_source", "entity_columns", "source_views", "feature_transformation")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    BATCH_SOURCE_FIELD_NUMBER: _ClassVar[int]
    ENTITY_COLUMNS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_VIEWS_FIELD_NUMBER: _ClassVar[int]
    FEATURE_TRANSFORMATION_FIELD_NUMBER: _ClassVar[int]
    name: str
    project: str
    features: _containers.RepeatedCompositeFieldContainer[FeatureSpecV2]
    ttl: _duration_pb2.Duration
    batch_source: DataSource
    entity_columns: _containers.RepeatedCompositeFieldContainer[FeatureSpecV2]
    source_views: _containers.RepeatedScalarFieldContainer[bytes]
    feature_transformation: bytes
    def __init__(self, name: _Optional[str] = ..., project: _Optional[str] = ..., features: _Optional[_Iterable[_Union[FeatureSpecV2, _Mapping]]] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., batch_source: _Optional[_Union[DataSource, _Mapping]] = ..., entity_columns: _Optional[_Iterable[_Union[FeatureSpecV2, _Mapping]]] = ..., source_views: _Optional[_Iterable[bytes]] = ..., feature_transformation: _Optional[bytes] = ...) -> None: ...

class FeatureViewMeta(_message.Message):
    __slots__ = ("current_version_number",)
    CURRENT_VERSION_NUMBER_FIELD_NUMBER: _ClassVar[int]
    current_version_number: int
    def __init__(self, current_version_number: _Optional[int] = ...) -> None: ...

class FeatureSpecV2(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DataSource(_message.Message):
    __slots__ = ("field_mapping", "timestamp_field", "created_timestamp_column", "file_options", "bigquery_options", "custom_options", "data_source_class_type", "snowflake_options")
    class FieldMappingEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class FileOptions(_message.Message):
        __slots__ = ("file_format", "uri", "s3_endpoint_override")
        FILE_FORMAT_FIELD_NUMBER: _ClassVar[int]
        URI_FIELD_NUMBER: _ClassVar[int]
        S3_ENDPOINT_OVERRIDE_FIELD_NUMBER: _ClassVar[int]
        file_format: FileFormat
        uri: str
        s3_endpoint_override: str
        def __init__(self, file_format: _Optional[_Union[FileFormat, _Mapping]] = ..., uri: _Optional[str] = ..., s3_endpoint_override: _Optional[str] = ...) -> None: ...
    class TableOptions(_message.Message):
        __slots__ = ("table", "query", "schema", "database")
        TABLE_FIELD_NUMBER: _ClassVar[int]
        QUERY_FIELD_NUMBER: _ClassVar[int]
        SCHEMA_FIELD_NUMBER: _ClassVar[int]
        DATABASE_FIELD_NUMBER: _ClassVar[int]
        table: str
        query: str
        schema: str
        database: str
        def __init__(self, table: _Optional[str] = ..., query: _Optional[str] = ..., schema: _Optional[str] = ..., database: _Optional[str] = ...) -> None: ...
    class CustomSourceOptions(_message.Message):
        __slots__ = ("configuration",)
        CONFIGURATION_FIELD_NUMBER: _ClassVar[int]
        configuration: bytes
        def __init__(self, configuration: _Optional[bytes] = ...) -> None: ...
    FIELD_MAPPING_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_FIELD_NUMBER: _ClassVar[int]
    CREATED_TIMESTAMP_COLUMN_FIELD_NUMBER: _ClassVar[int]
    FILE_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    BIGQUERY_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    CUSTOM_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    DATA_SOURCE_CLASS_TYPE_FIELD_NUMBER: _ClassVar[int]
    SNOWFLAKE_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    field_mapping: _containers.ScalarMap[str, str]
    timestamp_field: str
    created_timestamp_column: str
    file_options: DataSource.FileOptions
    bigquery_options: DataSource.TableOptions
    custom_options: DataSource.CustomSourceOptions
    data_source_class_type: str
    snowflake_options: DataSource.TableOptions
    def __init__(self, field_mapping: _Optional[_Mapping[str, str]] = ..., timestamp_field: _Optional[str] = ..., created_timestamp_column: _Optional[str] = ..., file_options: _Optional[_Union[DataSource.FileOptions, _Mapping]] = ..., bigquery_options: _Optional[_Union[DataSource.TableOptions, _Mapping]] = ..., custom_options: _Optional[_Union[DataSource.CustomSourceOptions, _Mapping]] = ..., data_source_class_type: _Optional[str] = ..., snowflake_options: _Optional[_Union[DataSource.TableOptions, _Mapping]] = ...) -> None: ...

class FileFormat(_message.Message):
    __slots__ = ("delta_format",)
    DELTA_FORMAT_FIELD_NUMBER: _ClassVar[int]
    delta_format: bytes
    def __init__(self, delta_format: _Optional[bytes] = ...) -> None: ...

class FeatureService(_message.Message):
    __slots__ = ("spec",)
    SPEC_FIELD_NUMBER: _ClassVar[int]
    spec: FeatureServiceSpec
    def __init__(self, spec: _Optional[_Union[FeatureServiceSpec, _Mapping]] = ...) -> None: ...

class FeatureServiceSpec(_message.Message):
    __slots__ = ("name", "project", "features")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    name: str
    project: str
    features: _containers.RepeatedCompositeFieldContainer[FeatureViewProjection]
    def __init__(self, name: _Optional[str] = ..., project: _Optional[str] = ..., features: _Optional[_Iterable[_Union[FeatureViewProjection, _Mapping]]] = ...) -> None: ...

class FeatureViewProjection(_message.Message):
    __slots__ = ("feature_view_name", "feature_columns", "feature_view_name_alias", "join_key_map")
    class JoinKeyMapEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    FEATURE_VIEW_NAME_FIELD_NUMBER: _ClassVar[int]
    FEATURE_COLUMNS_FIELD_NUMBER: _ClassVar[int]
    FEATURE_VIEW_NAME_ALIAS_FIELD_NUMBER: _ClassVar[int]
    JOIN_KEY_MAP_FIELD_NUMBER: _ClassVar[int]
    feature_view_name: str
    feature_columns: _containers.RepeatedCompositeFieldContainer[FeatureSpecV2]
    feature_view_name_alias: str
    join_key_map: _containers.ScalarMap[str, str]
    def __init__(self, feature_view_name: _Optional[str] = ..., feature_columns: _Optional[_Iterable[_Union[FeatureSpecV2, _Mapping]]] = ..., feature_view_name_alias: _Optional[str] = ..., join_key_map: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Named(_message.Message):
    __slots__ = ("spec",)
    class Spec(_message.Message):
        __slots__ = ("name", "project")
        NAME_FIELD_NUMBER: _ClassVar[int]
        PROJECT_FIELD_NUMBER: _ClassVar[int]
        name: str
        project: str
        def __init__(self, name: _Optional[str] = ..., project: _Optional[str] = ...) -> None: ...
    SPEC_FIELD_NUMBER: _ClassVar[int]
    spec: Named.Spec
    def __init__(self, spec: _Optional[_Union[Named.Spec, _Mapping]] = ...) -> None: ...
