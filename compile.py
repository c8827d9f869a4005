"""Sources in, YAML out: every component and every pipeline, the latter for both targets.

    python compile.py            writes component.yaml, metadata.yaml, OWNERS, kubeflow.yaml, vertex.yaml and README.md
                                 beside their sources, and the schema of model cards into docs
    python compile.py --check    writes nothing, and fails when a committed file differs from a fresh one

KUBELINE_REGISTRY and KUBELINE_VERSION change the images that the YAML names (see components/images.py).
"""

import argparse
import difflib
import importlib
import inspect
import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import yaml
from jinja2 import Environment
from kfp import dsl

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT))

from components import catalog  # noqa: E402
from kubeline.compiling import compact, compiled_text  # noqa: E402
from kubeline.model_card.card import ModelCard  # noqa: E402
from kubeline.resources import Platform  # noqa: E402
from pipelines.platform import compiling_for, unprivileged  # noqa: E402

COMPONENT_README = """\
# {{ name }}

{{ description }}

```python
from kubeline.components import {{ name }}
```

or, without installing anything, `kfp.components.load_component_from_file("component.yaml")`.
{% for title, rows in sections if rows %}

## {{ title }}

| name | type | default | meaning |
|---|---|---|---|
{% for row in rows %}
| `{{ row.name }}` | {{ row.type }} | {{ row.default }} | {{ row.description }} |
{% endfor %}
{% endfor %}

Image: `{{ image }}`. This page is generated from `component.py` by `python compile.py`.
"""
PIPELINE_README = """\
# {{ name }}

{{ description }}

```console
$ kubeline run {{ name }} --help
$ kubeline run {{ name }}{% for row in rows if not row.default %} --set {{ row.name }}=…{% endfor %}

```

## Parameters

The most important ones first; the UI of Kubeflow Pipelines shows them by name. A group is a mapping: what is left out
of it has its default, here and in the UI. `kubeline run` takes a field as `--set GROUP.FIELD=VALUE`.

| name | type | default | meaning |
|---|---|---|---|
{% for row in rows %}
| `{{ row.name }}` | {{ row.type }} | {{ row.default }} | {{ row.description }} |
{% endfor %}
{% for group, step, fields in groups %}

## {{ group }}

Inputs of [{{ step }}](../../components/{{ step }}), which has more of them.

| field | default | meaning |
|---|---|---|
{% for row in fields %}
| `{{ group }}.{{ row.name }}` | {{ row.default }} | {{ row.description }} |
{% endfor %}
{% endfor %}

This page is generated from `pipeline.py` by `python compile.py`.
"""
TYPES = {
    "STRING": "str",
    "NUMBER_INTEGER": "int",
    "NUMBER_DOUBLE": "float",
    "BOOLEAN": "bool",
    "LIST": "list",
    "STRUCT": "dict",
    "TASK_FINAL_STATUS": "PipelineTaskFinalStatus",
}


def fresh_files() -> Iterator[tuple[Path, str]]:
    """Every generated file of the repository with what it should hold, as (path, text)."""
    for source in sorted(ROOT.glob("components/*/component.py")):
        name = source.parent.name
        component = getattr(importlib.import_module(f"components.{name}.component"), name)
        compiled = compiled_text(component)
        yield source.parent / "component.yaml", compiled
        if name in catalog.ENTRIES:
            yield source.parent / "metadata.yaml", catalog.metadata(name)
            yield source.parent / "OWNERS", catalog.owners()
        yield source.parent / "README.md", _readme(name, component.description or "", compiled)
    for source in sorted(ROOT.glob("pipelines/*/pipeline.py")):
        name = source.parent.name
        recipe = getattr(importlib.import_module(f"pipelines.{name}.pipeline"), name)
        for target in get_args(Platform):
            with compiling_for(target):
                pipeline = dsl.pipeline(name=name.replace("_", "-"))(recipe)
                unprivileged(pipeline)
            compact(pipeline, drop_unused=True)
            compiled = compiled_text(pipeline)
            yield source.parent / f"{target}.yaml", compiled
            if target == "kubeflow":
                yield source.parent / "README.md", _pipeline_readme(name, recipe, compiled)
    yield ROOT / "docs" / "model-card.schema.json", json.dumps(ModelCard.model_json_schema(), indent=2) + "\n"


def _pipeline_readme(name: str, recipe: Any, compiled: str) -> str:
    """The page of a pipeline: its parameters in the order of its source, and the fields of each group."""
    document = next(yaml.safe_load_all(compiled))
    known = {row["name"]: row for row in _rows(document["root"]["inputDefinitions"], "parameters")}
    rows = [known[parameter] for parameter in inspect.signature(recipe).parameters]
    groups = []
    for group, step in _groups(document).items():
        component = yaml.safe_load((ROOT / "components" / step / "component.yaml").read_text(encoding="utf-8"))
        inputs = {row["name"]: row for row in _rows(component["root"]["inputDefinitions"], "parameters")}
        fields = inspect.signature(recipe).parameters[group].default
        groups.append((group, step, [inputs[field] for field in fields]))
        known[group]["default"] = "[below](#" + group + ")"
    environment = Environment(trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, autoescape=False)  # noqa: S701 (Markdown)
    description = document["pipelineInfo"]["description"]
    return environment.from_string(PIPELINE_README).render(name=name, description=description, rows=rows, groups=groups)


def _groups(document: dict[str, Any]) -> dict[str, str]:
    """The parameters that a step takes as its options: group -> name of the component, in the order of the steps."""
    found = {}
    for graph in [document["root"], *document["components"].values()]:
        for task in graph.get("dag", {}).get("tasks", {}).values():
            options = task.get("inputs", {}).get("parameters", {}).get("options", {})
            if group := options.get("componentInputParameter", "").removeprefix("pipelinechannel--"):
                found[group] = task["componentRef"]["name"].removeprefix("comp-").replace("-", "_")
    return found


def _readme(name: str, description: str, compiled: str) -> str:
    document = yaml.safe_load(compiled)
    component = document["components"][f"comp-{name.replace('_', '-')}"]
    inputs, outputs = component.get("inputDefinitions", {}), component.get("outputDefinitions", {})
    executor = document["deploymentSpec"]["executors"][component["executorLabel"]]
    environment = Environment(trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, autoescape=False)  # noqa: S701 (Markdown)
    return environment.from_string(COMPONENT_README).render(
        name=name,
        description=description,
        sections=[
            ("Inputs", [*_rows(inputs, "artifacts"), *_rows(inputs, "parameters")]),
            ("Outputs", [*_rows(outputs, "artifacts"), *_rows(outputs, "parameters")]),
        ],
        image=executor["container"]["image"],
    )


def _rows(definitions: dict[str, Any], kind: str) -> Iterator[dict[str, str]]:
    for name, definition in definitions.get(kind, {}).items():
        if kind == "artifacts":
            of = definition["artifactType"]["schemaTitle"].removeprefix("system.")
            of = f"list of {of}" if definition.get("isArtifactList") else of
        else:
            of = TYPES[definition["parameterType"]]
        description = " ".join(definition.get("description", "").split()).replace("|", "\\|")
        yield {"name": name, "type": of, "default": _default(definition), "description": description}


def _default(definition: dict[str, Any]) -> str:
    if not definition.get("isOptional"):
        return ""
    if "defaultValue" not in definition:
        return "none"
    value = definition["defaultValue"]
    if definition["parameterType"] == "NUMBER_INTEGER":
        value = int(value)  # the YAML holds every number as a float
    return f"`{value!r}`"


def main() -> int:
    """Write the generated files, or check them."""
    parser = argparse.ArgumentParser(description="Compile every component and pipeline.")
    parser.add_argument("--check", action="store_true", help="compare with the committed files, write nothing")
    check = parser.parse_args().check
    warnings.simplefilter("ignore", FutureWarning)
    stale = 0
    for path, text in fresh_files():
        name = str(path.relative_to(ROOT))
        committed = path.read_text(encoding="utf-8") if path.exists() else ""
        if committed == text:
            continue
        stale += 1
        if check:
            difference = difflib.unified_diff(committed.splitlines(), text.splitlines(), name, f"fresh {name}", n=1)
            print("\n".join([*difference][:20]))
        else:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {name}")
    if check and stale:
        print(f"{stale} generated files differ from their sources; run 'make compile' and commit the result")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
