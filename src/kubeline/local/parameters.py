"""Arguments of a run, checked against the compiled pipeline's own signature before anything starts."""

import datetime
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from kubeline.errors import UserError, suggestion
from kubeline.options import AFTER_EVALUATION, GATE
from kubeline.printable import is_text
from kubeline.yaml_files import first_document, parse, read_mapping

# parameterType of the pipeline specification: the Python type, what an error calls it, and what a list of parameters
_TYPES: dict[str, tuple[Any, str, str]] = {
    "STRING": (str, "a text (put it in quotes)", "text"),
    "NUMBER_INTEGER": (int, "a whole number", "whole number"),
    "NUMBER_DOUBLE": (float, "a number", "number"),
    "BOOLEAN": (bool, "true or false", "true or false"),
    "LIST": (list, "a list", "list"),
    "STRUCT": (dict, "a mapping", "mapping"),
}
_SHOWN = 200  # characters of a wrong value that an error shows


def signature(pipeline: Path) -> type[BaseModel]:
    """A Pydantic model of a compiled pipeline's parameters: names, types, defaults and descriptions.

    `signature(...).model_json_schema()` is the schema of a parameter file.

    Raises:
        UserError: when the file is not a compiled pipeline.
    """
    try:
        document = first_document(pipeline, "pipeline file")
        inputs = document["root"].get("inputDefinitions", {}).get("parameters", {})
        name, about = document["pipelineInfo"]["name"], document["pipelineInfo"].get("description", "")
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"'{pipeline}' is not a compiled pipeline; compile it with 'python compile.py'") from error
    fields: dict[str, Any] = {}
    for parameter, definition in inputs.items():
        if definition["parameterType"] not in _TYPES:
            raise UserError(
                f"'{pipeline}' cannot be run by itself: its input '{parameter}' is filled in by a pipeline's exit "
                "handler; give a pipeline"
            )
        kind, _, _ = _TYPES[definition["parameterType"]]
        default = definition.get("defaultValue") if definition.get("isOptional") else ...
        description = definition.get("description", "")
        fields[parameter] = (kind, Field(_whole(default, kind), description=description))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a parameter may have the name of a Pydantic method
        return create_model(name, __config__=ConfigDict(extra="forbid", strict=True), __doc__=about or None, **fields)


def _whole(default: Any, kind: Any) -> Any:
    """A default as it was written: the YAML holds every number as a float."""
    if kind is not float and isinstance(default, float) and default.is_integer():
        return int(default)
    if isinstance(default, dict):
        return {key: _whole(value, dict) for key, value in default.items()}
    return default


def kind_of(model: type[BaseModel], parameter: str) -> str:
    """What a parameter takes, as a list of parameters calls it."""
    return next(short for kind, _, short in _TYPES.values() if kind is model.model_fields[parameter].annotation)


def groups(model: type[BaseModel]) -> dict[str, dict[str, Any]]:
    """The parameters that are groups of fields, with the fields' defaults: mappings whose default has fields."""
    defaults = {name: field.default for name, field in model.model_fields.items()}
    return {name: default for name, default in defaults.items() if isinstance(default, dict) and default}


def read_parameters(file: Path | None, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The parameter file's values with `overrides` put over them.

    Raises:
        UserError: when the file is missing or is not a YAML mapping.
    """
    if file is None:
        return dict(overrides)
    return {**read_mapping(file, "parameter file", "parameter names to values"), **overrides}


def assigned(pipeline: Path, values: Mapping[str, Any], pairs: Sequence[str]) -> dict[str, Any]:
    """`values`, and over them pairs such as ``seed=1`` and ``training.folds=3``; fields are put into their groups.

    A field's name alone stands for it where one group has it (``folds``, ``split_column`` for ``split.column``). The
    text of a pair is taken as it is for a text, and read as YAML for everything else. A mapping is laid over the one
    that is there, an empty one replaces it.

    Raises:
        UserError: when a pair has no ``=``, or its value cannot be read.
    """
    model = signature(pipeline)
    taken: dict[str, Any] = {}
    for name, value in values.items():
        _put(taken, _place(model, str(name)), value)
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise UserError(f"--set takes NAME=VALUE, but '{pair}' was given")
        place = _place(model, name.strip())
        _put(taken, place, _value(_default_type(model, place), text, name.strip()))
    return taken


def _place(model: type[BaseModel], name: str) -> list[str]:
    """Where a value belongs: the name of a parameter, and below it those of fields."""
    if name in model.model_fields:
        return [name]
    first, dot, rest = name.partition(".")
    if dot and model.model_fields.get(first) is not None and model.model_fields[first].annotation is dict:
        return [first, *rest.split(".")]
    homes = [[group, field] for group, fields in groups(model).items() for field in fields]
    homes = [home for home in homes if name in (home[1], "_".join(home))]
    return homes[0] if len(homes) == 1 else [name]


def _put(values: dict[str, Any], place: Sequence[str], value: Any) -> None:
    for name in place[:-1]:
        inner = values.get(name)
        values[name] = dict(inner) if isinstance(inner, Mapping) else {}
        values = values[name]
    there = values.get(place[-1])
    both = isinstance(there, Mapping) and isinstance(value, Mapping)
    values[place[-1]] = {**there, **value} if both and there is not None and value else value  # {} takes all away


def _default_type(model: type[BaseModel], place: Sequence[str]) -> Any:
    """The type of a parameter, or of a field by its default; None where none can be inferred."""
    field = model.model_fields.get(place[0])
    if field is None:
        return None
    if len(place) == 1:
        return field.annotation
    default = groups(model).get(place[0], {}).get(place[1])
    if default is None or len(place) > 2:
        return None
    return float if isinstance(default, int | float) and not isinstance(default, bool) else type(default)


def _value(kind: Any, text: str, name: str) -> Any:
    if kind is str:
        quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
        return _unquoted(text) if quoted else text
    if kind in (int, float):
        try:
            return int(text)
        except ValueError:
            pass
    return parse(text, f"--set {name}")


def _unquoted(text: str) -> str:
    """A text in quotes, as YAML reads it; as it is, where the quotes are its own: ``'a' = 'b'``."""
    try:
        inner = parse(text, "")
    except UserError:
        return text
    return inner if isinstance(inner, str) else text


def check(pipeline: Path, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments, each of its parameter's type, when the pipeline can take them.

    Raises:
        UserError: naming the first parameter that is unknown, missing, of the wrong type, or holds a null, a date or
            an infinite number; or an artifact that the pipeline needs.
    """
    model = signature(pipeline)
    _refuse_artifacts(pipeline, model.__name__, arguments)
    try:
        taken = model(**arguments).model_dump(include=set(arguments))
    except ValidationError as error:
        raise UserError(_sentence(model, error)) from error
    for name, value in taken.items():
        if place := next(_unfit(value, name), None):
            raise UserError(f"parameter '{name}' of pipeline {model.__name__} holds {place}")
        if fields := groups(model).get(name):
            _check_fields(name, value, fields | (AFTER_EVALUATION if GATE.keys() <= fields.keys() else {}))
    return taken


def _check_fields(group: str, given: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if name not in fields:
            raise UserError(f"'{name}' is not a field of '{group}'; {suggestion(name, fields, 'it has')}")
        default = fields[name]
        numbers = isinstance(default, int | float) and not isinstance(default, bool)
        right = (int, float) if numbers else type(default)
        if not isinstance(value, right) or (numbers and isinstance(value, bool)):
            expected = next(words for kind, words, _ in _TYPES.values() if kind is (float if numbers else right))
            raise UserError(f"field '{name}' of '{group}' is {_as_yaml(value)}, but {expected} is expected")


def _refuse_artifacts(pipeline: Path, name: str, arguments: Mapping[str, Any]) -> None:
    document = first_document(pipeline, "pipeline file")
    artifacts = document["root"].get("inputDefinitions", {}).get("artifacts", {})
    for artifact, definition in artifacts.items():
        if artifact in arguments or not definition.get("isOptional"):
            raise UserError(
                f"'{artifact}' of pipeline {name} is an artifact, and a run can be given parameters only; begin the "
                "pipeline with dsl.importer, whose URI is a parameter"
            )


def _unfit(value: Any, place: str) -> Iterator[str]:
    """What in a value no pipeline can pass on, and where: ``null at plan.rules.max_p99_seconds, which …``."""
    if value is None:
        yield (
            f"null at {place}, which no pipeline can pass on; leave it out to have the default (a check of a plan is "
            'switched off by "off")'
        )
    elif isinstance(value, str):
        if not is_text(value):
            yield f"half of a surrogate pair at {place}, which is no character; write the character itself"
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from (*_unfit(str(key), f"the names of {place}"), *_unfit(item, f"{place}.{key}"))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _unfit(item, f"{place}[{number}]")
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{value} at {place}, which no pipeline can pass on; give a finite number"
    elif not isinstance(value, int | float):
        yield f"{_as_yaml(value)} at {place}, which no pipeline can pass on; put a date in quotes"


def _sentence(model: type[BaseModel], error: ValidationError) -> str:
    problem = error.errors()[0]
    parameter = str(problem["loc"][0])
    where = f"pipeline {model.__name__}"
    if problem["type"] == "extra_forbidden":
        known = [*model.model_fields, *(field for fields in groups(model).values() for field in fields)]
        return f"'{parameter}' is not a parameter of {where}; {suggestion(parameter, known, 'it has')}"
    if problem["type"] == "missing":
        meaning = model.model_fields[parameter].description
        return f"parameter '{parameter}' of {where} is missing" + (f": {meaning}" if meaning else "")
    expected = next(words for kind, words, _ in _TYPES.values() if kind is model.model_fields[parameter].annotation)
    return f"parameter '{parameter}' of {where} is {_as_yaml(problem['input'])}, but {expected} is expected"


def _as_yaml(value: Any) -> str:
    """A value as it was written, short: null, true and 2013-10-01, not None, True and datetime.date(2013, 10, 1)."""
    names = {None: "null", True: "true", False: "false"}
    if isinstance(value, datetime.date):
        return value.isoformat()
    words = names[value] if value is None or isinstance(value, bool) else repr(value)
    return words if len(words) <= _SHOWN else f"{words[:_SHOWN]}…"
