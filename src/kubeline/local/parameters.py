"""Arguments of a run, checked against the compiled pipeline's own signature before anything starts."""

import difflib
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from kubeline.errors import UserError, listed
from kubeline.yaml_files import first_document, read_mapping

# parameterType of the pipeline specification: the Python type, and what an error calls it
_TYPES: dict[str, tuple[Any, str]] = {
    "STRING": (str, "a text (put it in quotes)"),
    "NUMBER_INTEGER": (int, "a whole number"),
    "NUMBER_DOUBLE": (float, "a number"),
    "BOOLEAN": (bool, "true or false"),
    "LIST": (list, "a list"),
    "STRUCT": (dict, "a mapping"),
}


def signature(pipeline: Path) -> type[BaseModel]:
    """A Pydantic model of a compiled pipeline's parameters: names, types, defaults and descriptions.

    `signature(...).model_json_schema()` is the schema of a parameter file.

    Raises:
        UserError: when the file is not a compiled pipeline.
    """
    try:
        document = first_document(pipeline, "pipeline file")
        inputs = document["root"].get("inputDefinitions", {}).get("parameters", {})
        name = document["pipelineInfo"]["name"]
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"'{pipeline}' is not a compiled pipeline; compile it with 'python compile.py'") from error
    fields: dict[str, Any] = {}
    for parameter, definition in inputs.items():
        kind, _ = _TYPES[definition["parameterType"]]
        default = definition.get("defaultValue") if definition.get("isOptional") else ...
        description = definition.get("description", "")
        if kind is int and isinstance(default, float):
            default = int(default)  # the YAML holds every number as a float
        fields[parameter] = (kind, Field(default, description=description))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a parameter may have the name of a Pydantic method
        return create_model(name, __config__=ConfigDict(extra="forbid", strict=True), **fields)


def read_parameters(file: Path | None, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The parameter file's values with `overrides` put over them.

    Raises:
        UserError: when the file is missing or is not a YAML mapping.
    """
    if file is None:
        return dict(overrides)
    return {**read_mapping(file, "parameter file", "parameter names to values"), **overrides}


def check(pipeline: Path, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments, each of its parameter's type, when the pipeline can take them.

    Raises:
        UserError: naming the first parameter that is unknown, missing, of the wrong type, or holds a null; or an
            artifact that the pipeline needs.
    """
    model = signature(pipeline)
    _refuse_artifacts(pipeline, model.__name__, arguments)
    try:
        taken = model(**arguments).model_dump(include=set(arguments))
    except ValidationError as error:
        raise UserError(_sentence(model, error)) from error
    for name, value in taken.items():
        if place := next(_nulls(value, name), ""):
            raise UserError(
                f"parameter '{name}' of pipeline {model.__name__} holds null at {place}, which no pipeline can pass "
                'on; leave it out to have the default (a check of a plan is switched off by "off")'
            )
    return taken


def _refuse_artifacts(pipeline: Path, name: str, arguments: Mapping[str, Any]) -> None:
    document = first_document(pipeline, "pipeline file")
    artifacts = document["root"].get("inputDefinitions", {}).get("artifacts", {})
    for artifact, definition in artifacts.items():
        if artifact in arguments or not definition.get("isOptional"):
            raise UserError(
                f"'{artifact}' of pipeline {name} is an artifact, and a run can be given parameters only; begin the "
                "pipeline with dsl.importer, whose URI is a parameter"
            )


def _nulls(value: Any, place: str) -> Iterator[str]:
    """Where in a value there is a null: ``plan.rules.max_p99_seconds``, ``candidates[0].params``."""
    if value is None:
        yield place
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _nulls(item, f"{place}.{key}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _nulls(item, f"{place}[{number}]")


def _sentence(model: type[BaseModel], error: ValidationError) -> str:
    problem = error.errors()[0]
    parameter = str(problem["loc"][0])
    where = f"pipeline {model.__name__}"
    if problem["type"] == "extra_forbidden":
        close = difflib.get_close_matches(parameter, model.model_fields, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"it has: {listed(model.model_fields, limit=40)}"
        return f"'{parameter}' is not a parameter of {where}; {hint}"
    if problem["type"] == "missing":
        meaning = model.model_fields[parameter].description
        return f"parameter '{parameter}' of {where} is missing" + (f": {meaning}" if meaning else "")
    expected = next(words for kind, words in _TYPES.values() if kind is model.model_fields[parameter].annotation)
    return f"parameter '{parameter}' of {where} is {problem['input']!r}, but {expected} is expected"
