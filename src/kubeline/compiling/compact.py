"""What a compiled pipeline leaves out of its components: nothing that a run needs, all that makes its workflow big.

Argo keeps a workflow as one object of at most 1 MiB, in which each step's component, code and inputs stand eight times.
The pipeline's own parameters keep their descriptions, which the UI shows; `component.yaml` keeps everything.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

_FILLED_IN = 7  # TASK_FINAL_STATUS of ParameterType: by the back end, which knows it by its definition


def compact(pipeline: Any, *, drop_unused: bool = False) -> None:
    """Take out of the specification of a pipeline of the KFP SDK, in place:

    - descriptions of the components' inputs and outputs, and docstrings in their code;
    - inputs that no task gives, whose default is in the code, and the defaults of those that every task gives.

    Only lightweight Python components have their defaults in the code; others keep theirs.

    Args:
        pipeline: what ``dsl.pipeline`` made of a function.
        drop_unused: whether parameters of the pipeline go that nothing uses, as those for another target.
    """
    specification = pipeline.pipeline_spec
    given = defaultdict(list)  # by component, of each of its tasks: the inputs that it gives
    for graph in [specification.root, *specification.components.values()]:
        for task in graph.dag.tasks.values():
            given[task.component_ref.name].append({*task.inputs.parameters})
    if drop_unused:
        _keep_what_is_used(specification.root)
    executors = {name: one for name, one in specification.deployment_spec["executors"].items() if _is_python(one)}
    for name, component in specification.components.items():
        for definition in _definitions(component):
            definition.ClearField("description")
        if component.executor_label in executors:
            _reduce_inputs(component.input_definitions.parameters, given[name])
    for executor in executors.values():
        command = executor["container"]["command"]
        for position, word in enumerate(command):
            command[position] = _without_docstring(word) if "\ndef " in word else _without_indentation(word)


def _is_python(executor: Any) -> bool:
    """Whether it runs the code of a function, as against a container's own program, or an importer."""
    return "container" in executor and "--function_to_execute" in list(executor["container"]["args"])


def _keep_what_is_used(root: Any) -> None:
    used = str(root.dag)
    for name in [*root.input_definitions.parameters]:
        if f'"{name}"' not in used and f"'{name}'" not in used:
            del root.input_definitions.parameters[name]


def _definitions(component: Any) -> Iterator[Any]:
    for side in (component.input_definitions, component.output_definitions):
        yield from side.parameters.values()
        yield from side.artifacts.values()


def _reduce_inputs(parameters: Any, given: list[set[str]]) -> None:
    for name, definition in [*parameters.items()]:
        if not definition.is_optional or definition.parameter_type == _FILLED_IN:
            continue
        if not any(name in inputs for inputs in given):
            del parameters[name]
        elif all(name in inputs for inputs in given):
            definition.ClearField("default_value")
            definition.ClearField("is_optional")


def _without_docstring(code: str) -> str:
    """The module of a component without docstring and comments, a statement a line."""
    module = ast.parse(code)
    for node in module.body:
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body[0:1] = [] if len(node.body) > 1 else [ast.Pass()]
    return f"\n{ast.unparse(module)}\n"


def _without_indentation(word: str) -> str:
    """The compiler writes a line of shell with runs of blanks, for people who read its source."""
    return "\n".join(" ".join(line.split()) for line in word.split("\n"))
