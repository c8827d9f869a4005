"""Pipelines are uploaded as versions named by their content, never twice."""

import json
from dataclasses import dataclass
from urllib.parse import urlencode

from urllib3 import encode_multipart_formdata

from kubeline.platform.compiled import Compiled
from kubeline.platform.kfp.connection import API, KfpConnection

_PIPELINES = f"{API}/pipelines"


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
    pipeline = _pipeline(connection, compiled.name) or _create(connection, compiled.name)
    if version := _version(connection, pipeline, compiled.version):
        return PipelineVersion(pipeline, version)
    return PipelineVersion(pipeline, _upload(connection, pipeline, compiled), uploaded=True)


def _create(connection: KfpConnection, name: str) -> str:
    """A pipeline without versions."""
    there = {"namespace": connection.namespace} if connection.namespace else {}
    pipeline = {"display_name": name, "name": name, **there}
    return connection.make(
        _PIPELINES, pipeline, lambda: _pipeline(connection, name), "pipeline_id", f"the pipeline '{name}'"
    )


def _upload(connection: KfpConnection, pipeline: str, compiled: Compiled) -> str:
    name = compiled.version
    body, kind = encode_multipart_formdata({"uploadfile": (f"{name}.yaml", compiled.text())})
    path = f"{_PIPELINES}/upload_version?{urlencode({'name': name, 'pipelineid': pipeline})}"
    return connection.make(
        path, body, lambda: _version(connection, pipeline, name), "pipeline_version_id", f"the version '{name}'", kind
    )


def _pipeline(connection: KfpConnection, name: str) -> str | None:
    found = connection.read(_PIPELINES, namespace=connection.namespace, filter=equals("name", name))
    return next((one["pipeline_id"] for one in found.get("pipelines", [])), None)


def _version(connection: KfpConnection, pipeline: str, name: str) -> str | None:
    found = connection.read(f"{_PIPELINES}/{pipeline}/versions", filter=equals("name", name))
    return next((one["pipeline_version_id"] for one in found.get("pipeline_versions", [])), None)
