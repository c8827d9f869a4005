"""A compiled pipeline as its rules read it: graphs, tasks, executors, and what leads there."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from kubeline.platform.lint.findings import RULES, Level, LintFinding, Place
from kubeline.platform.lint.source import Source

Json = dict[str, Any]
Path = tuple[str | int, ...]


def canonical(document: Json) -> Json:
    """A pipeline specification as its message says it.

    Raises:
        ParseError: of google.protobuf.json_format, when it has a field that the specification does not know.
    """
    from google.protobuf import json_format
    from kfp.pipeline_spec import pipeline_spec_pb2

    message = json_format.ParseDict(document, pipeline_spec_pb2.PipelineSpec())
    specification: Json = json_format.MessageToDict(message)
    # in the message it is a mapping of anything
    deployment = specification.get("deploymentSpec", {})
    executors = json_format.ParseDict(deployment, pipeline_spec_pb2.PipelineDeploymentConfig())
    return {**specification, "deploymentSpec": json_format.MessageToDict(executors)}


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value if inner is not None] if isinstance(value, list) else value


@dataclass(frozen=True)
class PipelineGraph:
    """The root, or a component with tasks in it."""

    name: str
    body: Json
    path: Path

    @property
    def tasks(self) -> Json:
        """Of the graph, by name."""
        tasks: Json = self.body["dag"].get("tasks", {})
        return tasks


@dataclass(frozen=True)
class Pipeline:
    """The documents of a file that was found to hold a pipeline specification of the right shape."""

    source: Source

    @cached_property
    def specification(self) -> Json:
        """The first document, in the names that the specification's JSON has, without nulls."""
        return canonical(self.source.documents[0])

    @cached_property
    def kubernetes(self) -> Json:
        """What the second document says of Kubernetes; empty where there is none."""
        for document in self.source.documents[1:]:
            if isinstance(document, dict):
                return _without_nulls(document).get("platforms", {}).get("kubernetes") or {}
        return {}

    @property
    def name(self) -> str:
        """Of the pipeline."""
        return str(self.specification["pipelineInfo"]["name"])

    @property
    def components(self) -> Json:
        """By name."""
        components: Json = self.specification.get("components", {})
        return components

    @property
    def executors(self) -> Json:
        """By label."""
        executors: Json = self.specification["deploymentSpec"].get("executors", {})
        return executors

    @property
    def parameters(self) -> Json:
        """The definitions of the pipeline's own parameters, by name."""
        parameters: Json = self.specification["root"].get("inputDefinitions", {}).get("parameters", {})
        return parameters

    @cached_property
    def graphs(self) -> list[PipelineGraph]:
        """The root first."""
        inner = [
            PipelineGraph(name, component, ("components", name))
            for name, component in self.components.items()
            if "dag" in component
        ]
        return [PipelineGraph("root", self.specification["root"], ("root",)), *inner]

    def tasks(self) -> Iterator[tuple[PipelineGraph, str, Json, Path]]:
        """Every task of every graph, with its name and place."""
        for graph in self.graphs:
            for name, task in graph.tasks.items():
                yield graph, name, task, (*graph.path, "dag", "tasks", name)

    def containers(self) -> Iterator[tuple[str, Json, Path]]:
        """Every executor that starts a container, by its label."""
        for label, executor in self.executors.items():
            if isinstance(executor.get("container"), dict):
                yield label, executor["container"], ("deploymentSpec", "executors", label, "container")

    def component_of(self, task: Json) -> Json:
        """The component of a task; empty where it names none that exists."""
        component: Json = self.components.get(task.get("componentRef", {}).get("name", ""), {})
        return component

    def default_of(self, reference: str) -> tuple[str, Any] | None:
        """The pipeline's parameter, with its default, that an input of an inner graph stands for.

        The compiler names such inputs ``pipelinechannel--NAME``, in every graph alike.
        """
        name = reference.removeprefix("pipelinechannel--")
        definition = self.parameters.get(name)
        return None if definition is None else (name, definition.get("defaultValue"))

    def finding(
        self,
        name: str,
        sentence: str,
        path: Path = (),
        document: int = 0,
        level: Level | None = None,
        places: tuple[Place, ...] = (),
    ) -> LintFinding:
        """A finding with its line; level and places are those of its rule where none are given."""
        rule, line = RULES[name], self.source.line_of(document, path)
        return LintFinding(name, level or rule.level, places or rule.places, sentence, document, path, line)
