"""``kubeline list``: the pipelines and components; and the parameters of a pipeline, for help and completion."""

import argparse
import shutil
import sys
import textwrap
from pathlib import Path
from typing import Any

from kubeline.cli.parser import add_command
from kubeline.errors import KubelineError
from kubeline.printable import shown
from kubeline.resources import Room, component_file, names, pipeline_file
from kubeline.yaml_files import first_document


def add_parser(commands: Any) -> None:
    """Add the command."""
    add_command(commands, "list", "list the pipelines and components that there are", show)


def add_pipeline(parser: argparse.ArgumentParser) -> None:
    """Add the argument that names a pipeline, which the shell completes by their names and by files."""
    argument = parser.add_argument(
        "pipeline", help="name of a pipeline (kubeline list has them), or path of a compiled YAML file"
    )
    argument.completer = complete_pipeline  # type: ignore[attr-defined]


def add_values(parser: argparse.ArgumentParser) -> None:
    """Add the options that give values to the parameters of a pipeline."""
    parser.add_argument("--params", type=Path, metavar="FILE", help="YAML file of parameter values")
    pairs = parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="one parameter, or a field of one (training.folds=3); read as YAML where it is no text",
    )
    pairs.completer = complete_assignment  # type: ignore[attr-defined]


def show(_: argparse.Namespace) -> None:
    """Print both lists, a line each."""
    hints: dict[Room, str] = {"pipelines": " (kubeline run NAME --help has the parameters)", "components": ""}
    for room, hint in hints.items():
        print(f"{room}{hint}")
        found = names(room)
        width = max(map(len, found), default=0)
        for name in found:
            file = pipeline_file(name) if room == "pipelines" else component_file(name)
            print(_line(f"  {name:<{width}}  {_description(file)}"))


def _description(file: Path) -> str:
    """Its first sentence, from the comment at the head of the compiled file."""
    head = file.read_text(encoding="utf-8").partition("\n# Description: ")[2]
    return _first_sentence(head.partition("\n# Inputs:")[0].replace("\n#", "\n"))


def parameters_of(pipeline: Path) -> str:
    """The parameters, one line each: first those that must be given, then the others in the pipeline's order."""
    from kubeline.local.parameters import groups, kind_of, signature

    model = signature(pipeline)
    grouped = groups(model)
    rows: list[tuple[str, str, str]] = []
    for name, field in sorted(model.model_fields.items(), key=lambda item: not item[1].is_required()):
        meaning = _first_sentence(field.description or "")
        default = "must be given" if field.is_required() else kind_of(model, name) if name in grouped else ""
        rows.append((name, default or f"{_shown(field.default)}", meaning))
        meanings = _meanings(pipeline, name) if name in grouped else {}
        rows += [
            (f"{name}.{key}", _shown(value), meanings.get(key, "")) for key, value in grouped.get(name, {}).items()
        ]
    wide, wider = (min(max(len(row[column]) for row in rows), 28) for column in (0, 1))
    lines = [_line(f"  {name:<{wide}}  {default:<{wider}}  {meaning}".rstrip()) for name, default, meaning in rows]
    head = f"parameters of {model.__name__}, with their defaults (--set NAME=VALUE, or --params FILE):"
    return "\n".join([head, *lines])


def _meanings(pipeline: Path, group: str) -> dict[str, str]:
    """What the fields of a group mean: the inputs of the component that takes it as its options."""
    document = first_document(pipeline, "pipeline file")
    for graph in [document["root"], *document["components"].values()]:
        for task in graph.get("dag", {}).get("tasks", {}).values():
            options = task.get("inputs", {}).get("parameters", {}).get("options", {})
            if options.get("componentInputParameter", "").removeprefix("pipelinechannel--") == group:
                name = task["componentRef"]["name"].removeprefix("comp-").replace("-", "_")
                if name in names("components"):
                    inputs = first_document(component_file(name), "component file")["root"]["inputDefinitions"]
                    return {key: _first_sentence(one["description"]) for key, one in inputs["parameters"].items()}
    return {}


def _shown(value: Any) -> str:
    return shown(value) or '""'


def _first_sentence(text: str) -> str:
    words = " ".join(text.split())
    return words.partition(". ")[0].removesuffix(".")


def _line(text: str) -> str:
    """The text within the width of a terminal; whole where it goes to a file or a pipe."""
    if not sys.stdout.isatty():
        return text
    width = shutil.get_terminal_size().columns
    return text if len(text) <= width else f"{textwrap.wrap(text, width - 1, drop_whitespace=False)[0].rstrip()}…"


def complete_pipeline(prefix: str, **_: Any) -> list[str]:
    """For the shell: names of pipelines, and YAML files."""
    from argcomplete.completers import FilesCompleter

    return [*names("pipelines"), *FilesCompleter(("yaml", "yml"))(prefix)]


def complete_assignment(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """For the shell: ``NAME=`` of every parameter, and ``GROUP.FIELD=``; after it the values that a type has."""
    from kubeline.local.parameters import groups, signature

    name, equals, _value = prefix.partition("=")
    try:
        model = signature(pipeline_file(parsed_args.pipeline))
    except (KubelineError, OSError, TypeError):  # nothing is printed while the shell completes
        return []
    fields = groups(model)
    if equals:
        group, _dot, field = name.partition(".")
        known = model.model_fields.get(name)
        switch = known is not None and known.annotation is bool
        switch = switch or isinstance(fields.get(group, {}).get(field), bool)
        return [f"{name}=true", f"{name}=false"] if switch else []
    inner = [f"{group}.{field}=" for group, every in fields.items() for field in every]
    return [*(f"{parameter}=" for parameter in model.model_fields), *inner]
