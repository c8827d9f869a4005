"""Pipelines are uploaded as versions named by their content, never twice."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from kubeline.platform.compiled import Compiled
from kubeline.platform.kfp.connection import KfpConnection


@dataclass(frozen=True)
class PipelineVersion:
    """A version of a pipeline on the server."""

    pipeline: str  # identifiers
    version: str
    uploaded: bool = False  # by us, now


def equals(key: str, value: str) -> str:
    """The filter of a list by one field."""
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": key, "stringValue": value}]})


def find(connection: KfpConnection, compiled: Compiled) -> PipelineVersion | None:
    """The version with this content, if it is there."""
    pipeline = _pipeline(connection, compiled.name)
    version = pipeline and _version(connection, pipeline, compiled.version)
    return PipelineVersion(pipeline, version) if pipeline and version else None


def ensure(connection: KfpConnection, compiled: Compiled) -> PipelineVersion:
    """The version with this content, uploaded if it is not there.

    Raises:
        UserError: when the server refuses the pipeline.
        PlatformError: when it does not answer.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{compiled.version}.yaml"
        file.write_text(compiled.text(), encoding="utf-8")
        pipeline = _pipeline(connection, compiled.name) or _create(connection, compiled)
        if version := _version(connection, pipeline, compiled.version):
            return PipelineVersion(pipeline, version)
        return PipelineVersion(pipeline, _upload(connection, pipeline, compiled.version, str(file)), uploaded=True)


def _create(connection: KfpConnection, compiled: Compiled) -> str:
    """A pipeline without versions."""
    from kfp_server_api import V2beta1Pipeline

    name, create = compiled.name, connection.pipelines.pipeline_service_create_pipeline
    pipeline = V2beta1Pipeline(display_name=name, name=name, namespace=connection.namespace or None)
    return connection.make(
        create, lambda: _pipeline(connection, name), "pipeline_id", f"the pipeline '{name}'", pipeline
    )


def _upload(connection: KfpConnection, pipeline: str, name: str, file: str) -> str:
    def find() -> str | None:
        return _version(connection, pipeline, name)

    upload, what = connection.uploads.upload_pipeline_version, f"the version '{name}'"
    return connection.make(upload, find, "pipeline_version_id", what, file, name=name, pipelineid=pipeline)


def _pipeline(connection: KfpConnection, name: str) -> str | None:
    found = connection.read(
        connection.pipelines.pipeline_service_list_pipelines,
        namespace=connection.namespace,
        filter=equals("name", name),
    )
    return next((str(one.pipeline_id) for one in found.pipelines or []), None)


def _version(connection: KfpConnection, pipeline: str, name: str) -> str | None:
    found = connection.read(
        connection.pipelines.pipeline_service_list_pipeline_versions, pipeline, filter=equals("name", name)
    )
    return next((str(one.pipeline_version_id) for one in found.pipeline_versions or []), None)
