"""The OpenAPI document of one model: its columns, its labels, its paths.

Written by hand: msgspec's schema of the decoders would have neither rows as lists, columns nor the range of numbers.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from kubeline.model_package.signature import Feature, Signature
from kubeline.open_inference.tensors import DTYPES
from kubeline_serving.codec.v2 import datatype_of_feature

Json = dict[str, Any]

# the middle between the greatest float32 and the next power of two: from here on numbers round to infinity
_FLOAT32_LIMIT = float.fromhex("0x1.ffffffp+127")
_SHOWN_CATEGORIES = 8
_DESCRIPTION = """\
Predictions of one model package, by the KServe v1 protocol and the Open Inference Protocol (v2).

Columns are found by their name, in any order; columns that the model does not know are ignored, and one that is absent
is refused. `null` stands for a missing value (and so does the `NaN` that many clients write, although JSON has none).
Any text is answered in a category column, also one that training never saw.

Each error is `{"error": "one sentence"}`. Each answer carries `X-Request-Id`, the client's or a new one. A v1 request
may be a CloudEvent. The Open Inference Protocol is also spoken by gRPC, on a port of its own.
"""
_EXPLAINED = "What each column adds to `base`, the mean of the golden rows, up to `value`"
_REFUSALS = {
    "400": ("BadRequest", "The request is malformed; the sentence names the column and row at fault."),
    "403": ("Forbidden", "The verb is switched off on this server."),
    "408": ("RequestTimeout", "The body did not come in time."),
    "413": ("TooLarge", "More bytes or rows than the server takes; the sentence names the limit."),
    "415": ("UnsupportedEncoding", "The body is compressed."),
    "503": ("Overloaded", "Too many requests wait, or the model is not ready: try again later."),
    "504": ("TimedOut", "The answer was not ready in time."),
}
_OF_BODIES = ("408", "413", "415", "503")
_OF_PREDICTIONS = ("400", *_OF_BODIES, "504")


def document(signature: Signature, model_name: str, version: str, outputs: Sequence[Mapping[str, Any]]) -> Json:
    """The OpenAPI 3.1 document of a served model.

    Args:
        signature: of the model.
        model_name: in URLs.
        version: the start of the package's digest, as version paths name it.
        outputs: name, datatype and shape of each tensor of an answer, as the metadata lists them.
    """
    paths = _server_paths() | _v1_paths(signature, model_name) | _repository_paths(model_name)
    for place in (f"/v2/models/{model_name}", f"/v2/models/{model_name}/versions/{version}"):
        paths |= _v2_paths(signature, place)
    return {
        "openapi": "3.1.0",
        "info": {"title": f"Model {model_name}", "version": version, "description": _DESCRIPTION},
        "servers": [{"url": "/"}],
        "tags": [{"name": "v1"}, {"name": "v2"}, {"name": "server"}],
        "paths": paths,
        "components": {
            "schemas": _v1_schemas(signature) | _v2_schemas(signature, model_name, version, outputs) | _plain_schemas(),
            "headers": {"X-Request-Id": {"description": "Of this request.", "schema": {"type": "string"}}},
            "parameters": _parameters(),
            "responses": {name: _refusal(status, text) for status, (name, text) in _REFUSALS.items()},
        },
    }


def _ref(kind: str, name: str) -> Json:
    return {"$ref": f"#/components/{kind}/{name}"}


def _schema(name: str) -> Json:
    return _ref("schemas", name)


def _object(properties: Json, **others: Any) -> Json:
    return {"type": "object", "required": list(properties), "properties": properties, **others}


def _list(items: Json, least: int = 1) -> Json:
    return {"type": "array", "items": items, "minItems": least}


# --- paths


def _operation(operation: str, tag: str, summary: str, answer: Json, *refusals: str, **others: Any) -> Json:
    headers = {"X-Request-Id": _ref("headers", "X-Request-Id")}
    responses = {"200": {"description": "The answer.", "headers": headers, "content": answer}}
    responses |= {status: _ref("responses", _REFUSALS[status][0]) for status in refusals}
    return {"operationId": operation, "tags": [tag], "summary": summary, **others, "responses": responses}


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _refusal(status: str, description: str) -> Json:
    headers = {"X-Request-Id": _ref("headers", "X-Request-Id")}
    if status == "503":
        headers["Retry-After"] = {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}}
    return {"description": description, "headers": headers, "content": _json(_schema("Error"))}


def _parameters() -> Json:
    return {
        "RequestId": {
            "name": "X-Request-Id",
            "in": "header",
            "description": "Of printable ASCII, up to 128; it comes back in the answer and stands in logs.",
            "schema": {"type": "string"},
        },
        "HeaderLength": {
            "name": "Inference-Header-Content-Length",
            "in": "header",
            "description": "Of a body with binary tensors: the number of bytes of the JSON in front of them.",
            "schema": {"type": "integer", "minimum": 0},
        },
    }


def _get(operation: str, tag: str, summary: str, schema: Json, *refusals: str) -> Json:
    return {"get": _operation(operation, tag, summary, _json(schema), *refusals)}


def _server_paths() -> Json:
    text: Json = {"schema": {"type": "string"}}
    metrics = {"text/plain": text, "application/openmetrics-text": text}
    return {
        "/": _get("alive", "server", "Whether the process lives", _object({"status": {"const": "alive"}})),
        "/metrics": {"get": _operation("metrics", "server", "Prometheus metrics", metrics)},
        "/openapi.json": _get("openapi", "server", "This document", {"type": "object"}),
        "/v2": _get("server_metadata", "v2", "The server and its extensions", _schema("ServerMetadata")),
        "/v2/health/live": _get("live", "v2", "Liveness", _object({"live": {"const": True}})),
        "/v2/health/ready": _get("ready", "v2", "Readiness", _object({"ready": {"type": "boolean"}}), "503"),
    }


def _v1_paths(signature: Signature, model_name: str) -> Json:
    names = {"models": _list({"const": model_name}, least=0)}
    content = {"application/json": {"schema": _schema("V1Request"), "examples": _v1_examples(signature)}}
    asked = {
        "parameters": [_ref("parameters", "RequestId")],
        "requestBody": {"required": True, "content": content},
    }
    answer, explanations = _json(_schema("V1Answer")), _json(_schema("V1Explanations"))
    predict = _operation("v1_predict", "v1", "Predictions for rows or columns", answer, *_OF_PREDICTIONS, **asked)
    explain = _operation("v1_explain", "v1", _EXPLAINED, explanations, *_OF_PREDICTIONS, **asked)
    return {
        "/v1/models": _get("v1_models", "v1", "The models served", _object(names)),
        f"/v1/models/{model_name}": _get("v1_ready", "v1", "Readiness of the model", _schema("Ready"), "503"),
        f"/v1/models/{model_name}:predict": {"post": predict},
        f"/v1/models/{model_name}:explain": {"post": explain},
        "/v2/models": _get("v2_models", "v2", "The models served", _object(names)),
    }


def _v2_paths(signature: Signature, place: str) -> Json:
    suffix = "_version" if "/versions/" in place else ""
    answer = _json(_schema("V2Answer"))
    answer["application/octet-stream"] = {"schema": {"type": "string", "format": "binary"}}
    content = {
        "application/json": {"schema": _schema("V2Request"), "examples": _v2_examples(signature)},
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
    }
    infer = _operation(
        *(f"v2_infer{suffix}", "v2", "Predictions for tensors", answer, *_OF_PREDICTIONS),
        description=(
            "With the binary tensor extension the body is a V2Request whose tensors have the parameter "
            "`binary_data_size` instead of data, followed by their bytes; the header says where the JSON ends."
        ),
        parameters=[_ref("parameters", "RequestId"), _ref("parameters", "HeaderLength")],
        requestBody={"required": True, "content": content},
    )
    return {
        place: _get(f"v2_metadata{suffix}", "v2", "Columns and outputs of the model", _schema("ModelMetadata")),
        f"{place}/ready": _get(f"v2_ready{suffix}", "v2", "Readiness of the model", _schema("Ready"), "503"),
        f"{place}/infer": {"post": infer},
    }


def _repository_paths(model_name: str) -> Json:
    answer = _json(_schema("RepositoryIndex"))
    index = _operation("repository_index", "v2", "The models and their states", answer, *_OF_BODIES)
    paths: Json = {"/v2/repository/index": {"post": index}}
    for verb in ("load", "unload"):
        answer = _json(_object({"name": {"const": model_name}, verb: {"const": True}}))
        title = f"{verb.capitalize()} the model, where the server allows it"
        operation = _operation(f"repository_{verb}", "v2", title, answer, "400", "403", *_OF_BODIES)
        paths[f"/v2/repository/models/{model_name}/{verb}"] = {"post": operation}
    return paths


# --- values


def _value(feature: Feature) -> Json:
    """The JSON values that a column takes."""
    if feature.kind == "number":
        return {
            "type": ["number", "null"],
            "exclusiveMinimum": -_FLOAT32_LIMIT,
            "exclusiveMaximum": _FLOAT32_LIMIT,
            "description": f"A number, which becomes a {feature.dtype}.",
        }
    if feature.kind == "boolean":
        return {"enum": [True, False, 1, 0, None]}
    if feature.kind == "category":
        schema: Json = {"type": ["string", "null"], "description": "Text; an empty one is a missing value."}
        if feature.categories:
            schema["examples"] = feature.categories[:_SHOWN_CATEGORIES]
        return schema
    formats = ("date-time", "date-time-local", "date")
    return {
        "description": "ISO 8601; without an offset it is UTC; an empty text is a missing value.",
        "anyOf": [*({"type": "string", "format": name} for name in formats), {"const": ""}, {"type": "null"}],
    }


def _example(feature: Feature) -> Any:
    if feature.kind == "category":
        return feature.categories[0] if feature.categories else "text"
    return {"number": 1.5, "boolean": True, "datetime": "2024-05-01T12:30:00"}[feature.kind]


# --- v1


def _v1_schemas(signature: Signature) -> Json:
    values = {feature.name: _value(feature) for feature in signature.features}
    width = len(values)
    rows = {"anyOf": [_list(_schema("Record")), _list(_schema("Row"))]}
    return {
        "Record": _object(values, description="One row by the names of its columns; others are ignored."),
        "Row": {
            "type": "array",
            "prefixItems": list(values.values()),
            "minItems": width,
            "maxItems": width,
            "description": f"One row in this order: {', '.join(values)}.",
        },
        "Columns": _object(
            {name: _list(value) for name, value in values.items()},
            description="All rows, column by column; all of one length.",
        ),
        "V1Request": {
            "type": "object",
            "anyOf": [
                {"required": ["instances"], "properties": {"instances": rows}},
                {
                    "required": ["inputs"],
                    "properties": {"instances": False, "inputs": {"anyOf": [*rows["anyOf"], _schema("Columns")]}},
                },
            ],
        },
        "V1Answer": _v1_answer(signature),
        "V1Explanations": _v1_explanations(signature),
    }


def _v1_answer(signature: Signature) -> Json:
    if signature.classes is None:
        return _object({"predictions": _list({"type": "number"})})
    classes = len(signature.classes)
    row = _list({"type": "number"}, classes) | {"maxItems": classes}
    return _object(
        {
            "predictions": _list({"enum": signature.classes}),
            "classes": {"const": signature.classes},
            "probabilities": _list(row | {"description": "One for each class, in the order of `classes`."}),
        }
    )


def _v1_explanations(signature: Signature) -> Json:
    number = {"type": "number"}
    labels = {} if signature.classes is None else {name: {"enum": signature.classes} for name in ("prediction", "of")}
    contributions = _object(dict.fromkeys(signature.names, number))
    error = number | {"minimum": 0, "description": "Of contributions; 0 where they are exact."}
    row = _object({**labels, "value": number, "base": number, "contributions": contributions, "standard_error": error})
    return _object({"explanations": _list(row)})


def _v1_examples(signature: Signature) -> Json:
    record = {feature.name: _example(feature) for feature in signature.features}
    missing = dict.fromkeys(record)
    return {
        "records": {"summary": "Rows as records", "value": {"instances": [record, missing]}},
        "lists": {"summary": "Rows as lists", "value": {"instances": [list(record.values())]}},
        "columns": {"summary": "Columns", "value": {"inputs": {name: [value] for name, value in record.items()}}},
    }


# --- v2


def _datatypes(feature: Feature) -> list[str]:
    if feature.kind == "number":
        return [datatype for datatype in DTYPES if datatype != "BOOL"]
    return list(DTYPES) if feature.kind == "boolean" else ["BYTES"]


def _v2_schemas(signature: Signature, model_name: str, version: str, outputs: Sequence[Mapping[str, Any]]) -> Json:
    tensors = [_tensor(feature) for feature in signature.features]
    other = _object({"name": {"not": {"enum": signature.names}, "type": "string"}, "shape": _list({"type": "integer"})})
    names = [output["name"] for output in outputs]
    wanted = _object({"name": {"enum": names}})
    wanted["properties"]["parameters"] = {
        "type": "object",
        "properties": {"binary_data": {"type": "boolean", "description": "As bytes behind the JSON."}},
    }
    request = _object({"inputs": {"type": "array", "minItems": len(tensors), "items": {"anyOf": [*tensors, other]}}})
    request["description"] = "One tensor for each column, of the same number of rows, in any order; others are ignored."
    request["properties"] |= {
        "id": {"type": "string"},
        "parameters": {"type": "object", "properties": {"binary_data_output": {"type": "boolean"}}},
        "outputs": {"type": "array", "items": wanted, "description": "The tensors to answer; all without it."},
    }
    return {
        "V2Request": request,
        "V2Answer": _object(
            {
                "model_name": {"const": model_name},
                "model_version": {"const": version},
                "id": {"type": "string"},
                "outputs": _list({"anyOf": [_answered(signature, output) for output in outputs]}),
            }
        ),
        "ModelMetadata": _metadata(signature, model_name, version, outputs),
    }


def _tensor(feature: Feature) -> Json:
    rows = {"type": "integer", "minimum": 1}
    flat = {"type": "array", "minItems": 1, "maxItems": 1, "prefixItems": [rows]}
    column = {"type": "array", "minItems": 2, "maxItems": 2, "prefixItems": [rows, {"const": 1}]}
    nested = _list(_list(_value(feature)) | {"maxItems": 1})
    return _object(
        {
            "name": {"const": feature.name},
            "shape": {"anyOf": [flat, column]},
            "datatype": {"enum": _datatypes(feature)},
            "data": {"anyOf": [_list(_value(feature)), nested]},
        }
    )


def _answered(signature: Signature, output: Mapping[str, Any]) -> Json:
    """The schema of an output tensor; it has no data when its bytes follow."""
    datatype = output["datatype"]
    values = {"enum": signature.classes} if datatype == "BYTES" else {"type": "number"}
    sizes = len(output["shape"])
    schema = _object(
        {
            "name": {"const": output["name"]},
            "shape": _list({"type": "integer", "minimum": 1}, sizes) | {"maxItems": sizes},
            "datatype": {"const": datatype},
        }
    )
    schema["properties"] |= {"data": _list(values), "parameters": {"type": "object"}}
    return schema


def _metadata(signature: Signature, model_name: str, version: str, outputs: Sequence[Mapping[str, Any]]) -> Json:
    tensor = {
        "name": {"type": "string"},
        "datatype": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer"}},
    }
    return _object(
        {
            "name": {"const": model_name},
            "platform": {"type": "string"},
            "inputs": _list(_object(tensor), len(signature.features)),
            "outputs": _list(_object(tensor), len(outputs)),
        },
        description=f"`versions`, where it is given, holds {version}.",
    )


def _v2_examples(signature: Signature) -> Json:
    tensors = [
        {"name": feature.name, "shape": [1, 1], "datatype": datatype_of_feature(feature), "data": [_example(feature)]}
        for feature in signature.features
    ]
    return {"one row": {"summary": "One row, one tensor for each column", "value": {"inputs": tensors}}}


def _plain_schemas() -> Json:
    text = {"type": "string"}
    model = {"name": text, "version": text, "state": text, "reason": text}
    return {
        "Error": _object({"error": {"type": "string", "minLength": 1}}),
        "Ready": _object({"name": text, "ready": {"type": "boolean"}}),
        "ServerMetadata": _object({"name": text, "version": text, "extensions": _list(text, least=0)}),
        "RepositoryIndex": _list({"type": "object", "required": ["name", "state"], "properties": model}, least=0),
    }
