"""The interfaces of the components as the last release has them, and what has changed since.

    python -m components.interfaces            prints each change that breaks a pipeline which loads a component
    python -m components.interfaces --write    makes those of today the ones to compare with, at a release

An interface is what a pipeline of someone else relies on: names, types and which inputs may be left out.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict

import yaml

ROOT = Path(__file__).parents[1]
RELEASED = ROOT / "docs" / "interfaces.json"


class Interface(TypedDict):
    """Of one component: its inputs and outputs by name, each as its type; `required` are inputs without a default."""

    inputs: dict[str, str]
    outputs: dict[str, str]
    required: list[str]


Interfaces = dict[str, Interface]


def of_today() -> Interfaces:
    """Of every component, by its compiled YAML."""
    return {file.parent.name: _of(file) for file in sorted(ROOT.glob("components/*/component.yaml"))}


def released() -> Interfaces:
    """Of the last release."""
    found: Interfaces = json.loads(RELEASED.read_text(encoding="utf-8"))
    return found


def breaking(before: Interfaces, after: Interfaces) -> Iterator[str]:
    """What a pipeline that was made for the interfaces `before` meets with those `after`, a sentence for each."""
    for name, then in before.items():
        if name not in after:
            yield f"the component `{name}` is gone"
            continue
        now = after[name]
        for kind in ("inputs", "outputs"):
            yield from _changed(name, kind.removesuffix("s"), then[kind], now[kind])
        for one in sorted({*now["required"]} - {*then["required"]}):
            how = "may not be left out any more" if one in then["inputs"] else "is new and has no default"
            yield f"the input `{name}.{one}` {how}"


def _changed(component: str, kind: str, then: dict[str, str], now: dict[str, str]) -> Iterator[str]:
    for name, of in then.items():
        if name not in now:
            yield f"the {kind} `{component}.{name}` is gone"
        elif now[name] != of:
            yield f"the {kind} `{component}.{name}` was of type {of} and is of type {now[name]}"


def _of(file: Path) -> Interface:
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    component = document["components"][f"comp-{file.parent.name.replace('_', '-')}"]
    inputs = component.get("inputDefinitions", {})
    every = [(name, one) for kind in inputs.values() for name, one in kind.items()]
    return {
        "inputs": _types(inputs),
        "outputs": _types(component.get("outputDefinitions", {})),
        "required": sorted(name for name, one in every if not one.get("isOptional")),
    }


def _types(definitions: dict[str, Any]) -> dict[str, str]:
    found = {name: one["parameterType"] for name, one in definitions.get("parameters", {}).items()}
    for name, one in definitions.get("artifacts", {}).items():
        title = one["artifactType"]["schemaTitle"]
        found[name] = f"list of {title}" if one.get("isArtifactList") else title
    return dict(sorted(found.items()))


def main() -> int:
    """Compare, or write."""
    if sys.argv[1:] == ["--write"]:
        RELEASED.write_text(json.dumps(of_today(), indent=1) + "\n", encoding="utf-8")
        return 0
    found = list(breaking(released(), of_today()))
    print("\n".join(found) or "nothing that breaks a pipeline")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
