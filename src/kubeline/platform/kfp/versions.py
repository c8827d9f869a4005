"""Pipelines are uploaded as versions named by their content, never twice."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubeline.errors import PlatformError
from kubeline.http.requests import TakenError
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

    pipeline = V2beta1Pipeline(display_name=compiled.name, name=compiled.name, namespace=connection.namespace or None)

    def again() -> Any:
        identifier = _pipeline(connection, compiled.name)
        return V2beta1Pipeline(pipeline_id=identifier) if identifier else None

    try:
        made = connection.write(connection.pipelines.pipeline_service_create_pipeline, again, pipeline)
    except TakenError:  # somebody else was faster
        made = again()
    if made is None or not made.pipeline_id:
        raise PlatformError(f"the server has made no pipeline '{compiled.name}', and says nothing of it; try again")
    return str(made.pipeline_id)


def _upload(connection: KfpConnection, pipeline: str, name: str, file: str) -> str:
    from kfp_server_api import V2beta1PipelineVersion

    def again() -> Any:
        identifier = _version(connection, pipeline, name)
        return V2beta1PipelineVersion(pipeline_version_id=identifier) if identifier else None

    try:
        made = connection.write(connection.uploads.upload_pipeline_version, again, file, name=name, pipelineid=pipeline)
    except TakenError:
        made = again()
    if made is None or not made.pipeline_version_id:
        raise PlatformError(f"the server has made no version '{name}', and says nothing of it; try again")
    return str(made.pipeline_version_id)


def _pipeline(connection: KfpConnection, name: str) -> str | None:
    found = connection.read(
        connection.pipelines.pipeline_service_list_pipelines,
        namespace=connection.namespace,
        filter=equals("name", name),
    )
    return next((str(one.pipeline_id) for one in found.pipelines or []), None)


def _version(connection: KfpConnection, pipeline: str, name: str) -> str | None:
    found = connection.read(
        connection.pipelines.pipeline_service_list_pipeline_versions,
        pipeline,
        filter=equals("name", name),
    )
    return next((str(one.pipeline_version_id) for one in found.pipeline_versions or []), None)
