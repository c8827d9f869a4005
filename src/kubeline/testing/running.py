"""A component, run by KFP's own local runner with real artifacts."""

import contextlib
import io
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TextIO
from unittest.mock import patch

from kfp import dsl, local

from kubeline.decision import TERMINATION_LOG

_COLOURS = re.compile(r"\x1b\[\d*m")
_PYTHON = {
    "String": str,
    "Integer": int,
    "Float": float,
    "Boolean": bool,
    "List": list,
    "Dict": dict,
}


class ComponentFailedError(RuntimeError):
    """A component ended with a failure; its words are the sentence that the step left, or its last line."""


class _Copied(io.TextIOBase):
    """Standard output, of which a copy is made: KFP prints what a step prints, and does not say why it failed."""

    def __init__(self, output: TextIO):
        self._output = output
        self._copy: list[str] = []

    def write(self, text: str) -> int:
        self._copy.append(text)
        return self._output.write(text)

    def last_of_step(self) -> str:
        """The last line of a step, which KFP sets in between lines of its own."""
        lines = _COLOURS.sub("", "".join(self._copy)).splitlines()
        return next((line.strip() for line in reversed(lines) if line.startswith("    ") and line.strip()), "")


def run_component(component: Any, folder: str | Path, **inputs: Any) -> dict[str, Any]:
    """Run a component as a pipeline does, in a process of its own, and give its outputs by name.

    The step runs in this environment, whatever image the component names: install there what it imports. KFP installs
    kfp first where the component does not say ``install_kfp_package=False``.

    Args:
        component: of the KFP SDK, also one loaded from YAML.
        folder: where its outputs lie.
        **inputs: parameters, and artifacts as :func:`make_dataset` and its like make them.

    Returns:
        Parameters as they are, and artifacts with their ``path`` and ``metadata``.

    Raises:
        ComponentFailedError: when it fails.
    """
    task = _with_runner(Path(folder).absolute(), _pipeline_of(component, inputs))
    outputs: dict[str, Any] = {name: task.outputs[name] for name in component.component_spec.outputs or {}}
    return outputs


def _pipeline_of(component: Any, inputs: Mapping[str, Any]) -> Any:
    """A pipeline of the component alone: an artifact cannot be an argument of a component that is run directly."""
    types = {name: _type(output) for name, output in (component.component_spec.outputs or {}).items()}
    outputs = NamedTuple("Outputs", list(types.items()))  # type: ignore[misc]

    def recipe() -> Any:
        given = {name: _imported(value) if hasattr(value, "metadata") else value for name, value in inputs.items()}
        task = component(**given)
        return outputs(**{name: task.outputs[name] for name in types}) if types else None

    recipe.__annotations__ = {"return": outputs} if types else {}
    return dsl.pipeline(name="component-under-test")(recipe)


def _imported(artifact: Any) -> Any:
    task = dsl.importer(
        artifact_uri=artifact.path, artifact_class=type(artifact), reimport=False, metadata=dict(artifact.metadata)
    )
    return task.output


def _type(output: Any) -> Any:
    if output.type in _PYTHON:
        return _PYTHON[output.type]
    kind = getattr(dsl, output.type.partition("@")[0].partition(".")[2], dsl.Artifact)
    return list[kind] if output.is_artifact_list else kind  # type: ignore[valid-type]


def _with_runner(folder: Path, pipeline: Any) -> Any:
    before = local.config.LocalExecutionConfig.instance
    printed = _Copied(sys.stdout)
    modules = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}  # where this process finds them
    with (
        tempfile.NamedTemporaryFile() as sentence,
        patch.dict(os.environ, {TERMINATION_LOG: sentence.name, **modules}),
        contextlib.redirect_stdout(printed),
    ):
        local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(folder), raise_on_error=True)
        try:
            return pipeline()
        except RuntimeError as error:
            left = Path(sentence.name).read_text(encoding="utf-8").strip()
            raise ComponentFailedError(left or printed.last_of_step() or str(error)) from error
        finally:
            local.config.LocalExecutionConfig.instance = before
