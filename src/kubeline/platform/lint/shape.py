"""Whether the file is a compiled pipeline at all, and hangs together."""

from collections.abc import Iterator, Mapping
from typing import Any

from kubeline.platform.lint.findings import PLACES, LintFinding
from kubeline.platform.lint.pipeline import Json, Pipeline, PipelineGraph, canonical
from kubeline.platform.lint.source import Source

_HINTS = (
    ("kind", "it is a workflow of Argo, as the KFP SDK 1 compiles; compile the pipeline with the SDK 2"),
    ("implementation", "it is a component of the KFP SDK 1; give a compiled pipeline"),
    ("pipelineSpec", "it is a job of the KFP SDK 1.8; give the value of its pipelineSpec, compiled with the SDK 2"),
    ("platforms", "its first document is a Kubernetes section; put the pipeline specification first"),
)


def not_a_pipeline(source: Source) -> LintFinding | None:
    """Why nothing more can be said of a file."""
    if source.problem:
        words = (
            f"the file is not valid YAML: {source.problem}; compile it again (a default of several lines breaks the "
            "comment on top of what the KFP SDK writes)"
        )
        return LintFinding("unreadable", "error", PLACES, words, line=source.line)
    document = source.documents[0] if source.documents else None
    if document is None:
        return _no_pipeline("the file is empty; give a compiled pipeline")
    if not isinstance(document, dict):
        return _no_pipeline("the file holds no mapping; give a compiled pipeline")
    named = isinstance(document.get("pipelineInfo"), dict) and document["pipelineInfo"].get("name")
    if not named or not isinstance(document.get("root"), dict) or "dag" not in document["root"]:
        hint = next((words for key, words in _HINTS if key in document), "compile it with kfp.compiler.Compiler")
        return _no_pipeline(f"the file is no compiled pipeline (pipelineInfo.name and root.dag): {hint}")
    return _unknown_field(source)


def _no_pipeline(words: str) -> LintFinding:
    return LintFinding("not-a-pipeline", "error", PLACES, words)


def _unknown_field(source: Source) -> LintFinding | None:
    from google.protobuf import json_format
    from kfp.pipeline_spec import pipeline_spec_pb2

    def platform(document: Json) -> object:
        return json_format.ParseDict(document, pipeline_spec_pb2.PlatformSpec())

    for number, document in enumerate(source.documents):
        try:
            (platform if number else canonical)(document)
        except (json_format.ParseError, TypeError, ValueError, AttributeError) as error:
            words = (
                f"the pipeline specification does not know this: {' '.join(str(error).split())}; compile the pipeline "
                "with a KFP SDK that the platform knows, and do not edit the YAML"
            )
            return LintFinding("unknown-field", "error", PLACES, words, number)
    return None


def several_documents(pipeline: Pipeline) -> Iterator[LintFinding]:
    """Vertex takes one document only."""
    count = len(pipeline.source.documents)
    if count > 1:
        words = (
            f"the file has {count} YAML documents, and Vertex takes one; compile it without kfp-kubernetes and without "
            "a workspace"
        )
        yield pipeline.finding("several-documents", words, document=1)


def artifact_inputs(pipeline: Pipeline) -> Iterator[LintFinding]:
    """A run is given parameters, never artifacts."""
    definitions = pipeline.specification["root"].get("inputDefinitions", {}).get("artifacts", {})
    for name, definition in definitions.items():
        if not definition.get("isOptional"):
            words = (
                f"the pipeline needs the artifact '{name}', and a run can be given parameters only; begin with "
                "dsl.importer, whose URI is a parameter"
            )
            yield pipeline.finding("artifact-input", words, ("root", "inputDefinitions", "artifacts", name))


def missing_definitions(pipeline: Pipeline) -> Iterator[LintFinding]:
    """What a task refers to and is not there. The API servers take such a pipeline; its run fails."""
    for graph, name, task, path in pipeline.tasks():
        for sentence in _missing(pipeline, graph, task):
            yield pipeline.finding("missing-definition", f"task '{name}' {sentence}; compile the pipeline again", path)


def _missing(pipeline: Pipeline, graph: PipelineGraph, task: Json) -> Iterator[str]:
    reference = task.get("componentRef", {}).get("name", "")
    if reference not in pipeline.components:
        yield f"names the component '{reference}', which the file does not have"
        return
    component = pipeline.components[reference]
    if "dag" not in component and component.get("executorLabel") not in pipeline.executors:
        yield f"has a component without an executor ('{component.get('executorLabel', '')}')"
    for other in task.get("dependentTasks", []):
        if other not in graph.tasks:
            yield f"comes after '{other}', which its graph does not have"
    yield from _sources(pipeline, graph, task)
    yield from _not_given(component, task)


def _sources(pipeline: Pipeline, graph: PipelineGraph, task: Json) -> Iterator[str]:
    inputs = task.get("inputs", {})
    for kind, component_key, output in (
        ("parameters", "componentInputParameter", ("taskOutputParameter", "outputParameterKey")),
        ("artifacts", "componentInputArtifact", ("taskOutputArtifact", "outputArtifactKey")),
    ):
        known = graph.body.get("inputDefinitions", {}).get(kind, {})
        for name, given in inputs.get(kind, {}).items():
            if component_key in given and given[component_key] not in known:
                yield f"takes '{name}' from '{given[component_key]}', which its graph is not given"
            if output[0] in given:
                producer, key = given[output[0]].get("producerTask", ""), given[output[0]].get(output[1], "")
                if producer not in graph.tasks:
                    yield f"takes '{name}' from task '{producer}', which its graph does not have"
                elif key not in _outputs(pipeline.component_of(graph.tasks[producer]), kind):
                    yield f"takes '{name}' from output '{key}' of task '{producer}', which has no such output"


def _outputs(component: Json, kind: str) -> Mapping[str, Any]:
    outputs: Mapping[str, Any] = component.get("outputDefinitions", {}).get(kind, {})
    return outputs


def _not_given(component: Json, task: Json) -> Iterator[str]:
    looped = {
        task[iterator].get("itemInput") for iterator in ("parameterIterator", "artifactIterator") if iterator in task
    }
    for kind in ("parameters", "artifacts"):
        given = set(task.get("inputs", {}).get(kind, {})) | looped
        for name, definition in component.get("inputDefinitions", {}).get(kind, {}).items():
            needed = not definition.get("isOptional") and "defaultValue" not in definition
            if needed and name not in given and definition.get("parameterType") != "TASK_FINAL_STATUS":
                yield f"is not given '{name}', which its component needs"


def job_name(pipeline: Pipeline) -> Iterator[LintFinding]:
    """Vertex makes the job's name of the pipeline's."""
    name = pipeline.name
    if not name[:1].isascii() or not name[:1].isalpha():
        words = (
            f"the pipeline is called '{name}', and the name of a job on Vertex begins with a letter; rename it, or "
            "give --name"
        )
        yield pipeline.finding("job-name", words, ("pipelineInfo", "name"))


def pipeline_root(pipeline: Pipeline) -> Iterator[LintFinding]:
    """Where Vertex keeps artifacts."""
    root = pipeline.specification.get("defaultPipelineRoot", "")
    if not root and len(pipeline.source.documents) == 1:
        words = (
            "the pipeline has no root, without which Vertex keeps nothing; give --pipeline-root gs://BUCKET/FOLDER "
            "when it is submitted, or @dsl.pipeline(pipeline_root=…)"
        )
        yield pipeline.finding("pipeline-root", words, level="warning")
    elif root and not root.startswith("gs://"):
        words = (
            f"the pipeline's root is '{root}', and Vertex reads and writes gs:// only; give --pipeline-root "
            "gs://BUCKET/FOLDER"
        )
        yield pipeline.finding("pipeline-root", words, ("defaultPipelineRoot",))
