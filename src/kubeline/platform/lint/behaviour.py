"""What the platforms do otherwise than one expects."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from kubeline.errors import listed
from kubeline.platform.lint.findings import Level, LintFinding, Place
from kubeline.platform.lint.pipeline import Json, Path, Pipeline
from kubeline.platform.lint.size import LIMIT, Workflow
from kubeline.platform.lint.source import texts

_PLACEHOLDER = re.compile(r"\{\{\s*(\$[^{}]*?|(?:workflow|pod|inputs|steps|tasks|item|retries)(?:\.[^{}]*?)?)\s*\}\}")
# What all platforms resolve. {{$.inputs…}} and {{$.outputs…}} are checked with the definitions.
_EVERYWHERE = re.compile(
    r"\$(?:\.inputs\..*|\.outputs\..*|\.json_escape\[\d\].*|\.pipeline_job_name|\.pipeline_job_uuid"
    r"|\.pipeline_job_(?:create|schedule)_time_utc|\.pipeline_task_name|\.pipeline_task_uuid|\.pipeline_root|\.outputMetadataUri)?"
)
_NOT_HERE = {"$.pipeline_job_resource_name"}
_VERTEX_ONLY = {"$.pipeline_google_cloud_project_id", "$.pipeline_google_cloud_location"}
_WORKSPACE = "$.workspace_path"
_EXECUTOR_MODULE = "kfp.dsl.executor_main"
_CONTAINERIZED = ["python3", "-m", _EXECUTOR_MODULE]
_OURS = "use one of kfp.dsl, or take the value as a parameter"


def placeholders(pipeline: Pipeline) -> Iterator[LintFinding]:
    """Placeholders that a platform leaves as they are, or fails of."""
    whole: list[tuple[Path, Any]] = [(path, container) for _, container, path in pipeline.containers()]
    whole += [(path, task.get("inputs", {})) for _, _, task, path in pipeline.tasks()]
    for path, value in whole:
        for inner, text in texts(value):
            for found in _PLACEHOLDER.finditer(text):
                yield from _of_placeholder(pipeline, found[1], (*path, *inner))


def _of_placeholder(pipeline: Pipeline, name: str, path: Path) -> Iterator[LintFinding]:
    shown = "{{" + name + "}}"
    level: Level = "error"
    places: tuple[Place, ...] = ()
    if name in _NOT_HERE:
        words = f"a local run fails of {shown}, which the SDK cannot resolve there; take such a value as a parameter"
        places = ("here",)
    elif name in _VERTEX_ONLY:
        words, places = f"only Vertex knows {shown}; take the value as a parameter", ("kubeflow", "here")
    elif name == _WORKSPACE:
        words, places = f"Vertex has no workspace, which {shown} is the path of", ("vertex",)
    elif not name.startswith("$"):
        words = f"{shown} is a placeholder of Argo, which a pipeline of the KFP SDK 2 cannot count on; {_OURS}"
        level = "warning"
    elif not _EVERYWHERE.fullmatch(name):
        words = f"no platform knows {shown}; use one of kfp.dsl"
    else:
        return
    yield pipeline.finding("placeholder", words, path, level=level, places=places)


def container_components(pipeline: Pipeline) -> Iterator[LintFinding]:
    """A local run starts no containers."""
    for label, container, path in pipeline.containers():
        command = [*container.get("command", []), *container.get("args", [])]
        if command[: len(_CONTAINERIZED)] == _CONTAINERIZED:
            kind = "a containerized Python component"
        elif not any(isinstance(part, str) and _EXECUTOR_MODULE in part for part in command):
            kind = "a container component"
        else:
            continue
        words = f"{label} is {kind}, and a local run executes lightweight Python components only"
        yield pipeline.finding("container-component", words, path)


def importers(pipeline: Pipeline) -> Iterator[LintFinding]:
    """An importer whose address another task of its graph makes."""
    for _, name, task, path in pipeline.tasks():
        executor = pipeline.executors.get(pipeline.component_of(task).get("executorLabel", ""), {})
        given = task.get("inputs", {}).get("parameters", {})
        uri = executor.get("importer", {}).get("artifactUri", {}).get("runtimeParameter", "uri")
        if "importer" in executor and "taskOutputParameter" in given.get(uri, {}):
            producer = given[uri]["taskOutputParameter"].get("producerTask", "")
            words = (
                f"importer '{name}' takes its address from task '{producer}' of the same graph: Kubeflow fails "
                '("parent DAG does not have input parameter"); put the importer into a nested pipeline that is given '
                "the address"
            )
            yield pipeline.finding("importer-beside-producer", words, path)


def whole_items(pipeline: Pipeline) -> Iterator[LintFinding]:
    """A loop that hands an item, a dict, on as a whole."""
    for _, name, task, _ in pipeline.tasks():
        iterator = task.get("parameterIterator", {})
        if "inputParameter" not in iterator.get("items", {}):
            continue  # items that stand in the YAML are handed on well
        for inner, body in pipeline.component_of(task).get("dag", {}).get("tasks", {}).items():
            definitions = pipeline.component_of(body).get("inputDefinitions", {}).get("parameters", {})
            for key, given in body.get("inputs", {}).get("parameters", {}).items():
                whole = given.get("componentInputParameter") == iterator.get("itemInput")
                is_dict = definitions.get(key, {}).get("parameterType") == "STRUCT"
                if whole and is_dict and "parameterExpressionSelector" not in given:
                    place = ("components", task["componentRef"]["name"], "dag", "tasks", inner)
                    words = (
                        f"task '{inner}' in the loop '{name}' is given a whole item, a dict: Kubeflow's driver "
                        'fails ("expect STRUCT, got string"); hand on its fields (item.field)'
                    )
                    yield pipeline.finding("whole-item", words, place)


def workspaces(pipeline: Pipeline) -> Iterator[LintFinding]:
    """A workspace without access modes is refused, unless the installation has a default."""
    config = pipeline.kubernetes.get("pipelineConfig", {}).get("workspace")
    if config is not None and not config.get("kubernetes", {}).get("pvcSpecPatch", {}).get("accessModes"):
        words = (
            "the workspace has no accessModes, without which Kubeflow refuses the run unless the installation has a "
            'default; give pvcSpecPatch={"accessModes": ["ReadWriteOnce"]}'
        )
        yield pipeline.finding("workspace", words, ("platforms", "kubernetes", "pipelineConfig", "workspace"), 1)


def kubernetes_secrets(pipeline: Pipeline, values: Mapping[str, Any]) -> Iterator[LintFinding]:
    """Secrets whose name is empty, or that a step waits for."""
    executors = pipeline.kubernetes.get("deploymentSpec", {}).get("executors", {})
    for label, section in executors.items():
        for kind in ("secretAsEnv", "secretAsVolume"):
            for number, secret in enumerate(section.get(kind, [])):
                path = ("platforms", "kubernetes", "deploymentSpec", "executors", label, kind, number)
                name = _name_of_secret(pipeline, secret, values)
                if name == "":
                    words = (
                        f"the name of a secret of {label} is empty, and the step fails before it starts; give the "
                        "parameter a name, which may be one that does not exist"
                    )
                    yield pipeline.finding("secret-name", words, path, 1)
                if not secret.get("optional"):
                    words = (
                        f"{label} needs the secret '{name or '(given at the run)'}': where it is missing, the pod "
                        "waits for ever and the run stays RUNNING; make sure of it, or give optional=True"
                    )
                    yield pipeline.finding("secret-required", words, path, 1)


def _name_of_secret(pipeline: Pipeline, secret: Json, values: Mapping[str, Any]) -> str | None:
    """None when only the run knows."""
    if "secretName" in secret and "secretNameParameter" not in secret:
        return str(secret["secretName"])
    given = secret.get("secretNameParameter", {})
    constant = given.get("runtimeValue", {}).get("constant")
    if constant is not None:
        return str(constant)
    found = pipeline.default_of(given.get("componentInputParameter", ""))
    if found is None:
        return None
    name, default = found
    value = values.get(name, default)
    return None if value is None else str(value)


def retries(pipeline: Pipeline) -> Iterator[LintFinding]:
    """The default of KFP's workflow controller (retryPolicy OnError) is merged into every step's own retries."""
    retried = [name for _, name, task, _ in pipeline.tasks() if task.get("retryPolicy", {}).get("maxRetryCount")]
    if retried:
        first = next(path for _, name, _, path in pipeline.tasks() if name == retried[0])
        words = (
            f"retries ({listed(retried)}): with Kubeflow's defaults only a pod that was deleted or evicted runs again, "
            "never a step that failed, whatever its exit code; a step that must repeat does so itself, or an "
            "administrator sets retryPolicy: Always in the workflow controller's defaults"
        )
        yield pipeline.finding("retries", words, (*first, "retryPolicy"))


def workflow_size(pipeline: Pipeline, values: Mapping[str, Any]) -> Iterator[LintFinding]:
    """Above 1 MiB Argo compresses the nodes, and the run's task details stay incomplete for ever."""
    executors = pipeline.kubernetes.get("deploymentSpec", {}).get("executors", {})
    size = Workflow(pipeline.specification, dict(values), executors).size()
    if size > LIMIT:
        words = (
            f"the workflow of a run has about {size:,} bytes, above the {LIMIT:,} at which Argo compresses it: the run "
            "does its work, but the API never shows how its steps ended; shorten interfaces, docstrings and "
            "descriptions, and loop over less"
        )
        yield pipeline.finding("workflow-size", words)
