"""The interface of a component, and what changes of it break a pipeline that loads it.

An interface is what a pipeline of someone else relies on: names, types and which inputs may be left out.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypedDict

import yaml


class Interface(TypedDict):
    """Of one component: its inputs and outputs by name, each as its type; `required` are inputs without a default."""

    inputs: dict[str, str]
    outputs: dict[str, str]
    required: list[str]


def interface_of(component: Any) -> Interface:
    """The interface of a component.

    Args:
        component: of the KFP SDK, or the path of its compiled YAML.
    """
    if isinstance(component, str | Path):
        document = yaml.safe_load(Path(component).read_text(encoding="utf-8"))
    else:
        from kubeline.compiling import compiled_text

        document = yaml.safe_load(compiled_text(component))
    root = document["root"]
    inputs, outputs = root.get("inputDefinitions", {}), root.get("outputDefinitions", {})
    every = [(name, one) for kind in inputs.values() for name, one in kind.items()]
    needed = [name for name, one in every if not one.get("isOptional")]
    return {"inputs": _types(inputs), "outputs": _types(outputs), "required": sorted(needed)}


def read_interfaces(file: str | Path) -> dict[str, Interface]:
    """Interfaces by component, as :func:`write_interfaces` wrote them."""
    found: dict[str, Interface] = json.loads(Path(file).read_text(encoding="utf-8"))
    return found


def write_interfaces(file: str | Path, interfaces: Mapping[str, Interface]) -> None:
    """Write interfaces for later comparison, at a release."""
    Path(file).write_text(json.dumps(interfaces, indent=1) + "\n", encoding="utf-8")


def breaking_changes(before: Mapping[str, Interface], after: Mapping[str, Interface]) -> Iterator[str]:
    """What a pipeline that was made for the interfaces `before` meets with those `after`, a sentence for each."""
    for name, then in before.items():
        if name not in after:
            yield f"the component `{name}` is gone"
            continue
        now = after[name]
        yield from _changed(name, "input", then["inputs"], now["inputs"])
        yield from _changed(name, "output", then["outputs"], now["outputs"])
        for one in sorted({*now["required"]} - {*then["required"]}):
            how = "may not be left out any more" if one in then["inputs"] else "is new and has no default"
            yield f"the input `{name}.{one}` {how}"


def _changed(component: str, kind: str, then: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for name, of in then.items():
        if name not in now:
            yield f"the {kind} `{component}.{name}` is gone"
        elif now[name] != of:
            yield f"the {kind} `{component}.{name}` was of type {of} and is of type {now[name]}"


def _types(definitions: Mapping[str, Any]) -> dict[str, str]:
    found = {name: one["parameterType"] for name, one in definitions.get("parameters", {}).items()}
    for name, one in definitions.get("artifacts", {}).items():
        title = one["artifactType"]["schemaTitle"]
        found[name] = f"list of {title}" if one.get("isArtifactList") else title
    return dict(sorted(found.items()))
