"""What is found in a pipeline's YAML."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

Level = Literal["error", "warning"]
Place = Literal["kubeflow", "vertex", "here"]

PLACES: tuple[Place, ...] = ("kubeflow", "vertex", "here")
CLUSTERS: tuple[Place, ...] = ("kubeflow", "vertex")
NAMES: Mapping[Place, str] = {"kubeflow": "Kubeflow", "vertex": "Vertex", "here": "here"}


class LintRule(NamedTuple):
    """What a rule is about, and what its findings mean unless they say otherwise.

    Attributes:
        about: in a sentence, for readers of SARIF.
        level: ``error`` where the pipeline will not run or must not, ``warning`` where it may not do what is expected.
        places: the platforms it is about.
    """

    about: str
    level: Level = "error"
    places: tuple[Place, ...] = PLACES


_KUBEFLOW: tuple[Place, ...] = ("kubeflow",)
_VERTEX: tuple[Place, ...] = ("vertex",)
RULES: Mapping[str, LintRule] = {
    "unreadable": LintRule("The file is YAML that can be read."),
    "not-a-pipeline": LintRule("The file is a pipeline compiled by the KFP SDK 2."),
    "unknown-field": LintRule("Every field is one of the pipeline specification."),
    "several-documents": LintRule("Vertex AI Pipelines takes one YAML document.", places=_VERTEX),
    "missing-definition": LintRule(
        "Every task has a component, every component an executor or a graph, every input a source."
    ),
    "artifact-input": LintRule("A run can be given parameters only.", places=("kubeflow", "here")),
    "placeholder": LintRule("The platform knows every placeholder."),
    "container-component": LintRule("A local run executes lightweight Python components.", places=("here",)),
    "importer-beside-producer": LintRule("An importer's address comes from outside its own graph.", places=_KUBEFLOW),
    "whole-item": LintRule("A loop over a parameter hands on fields of its items.", places=_KUBEFLOW),
    "workspace": LintRule("A workspace states its access modes.", "warning", _KUBEFLOW),
    "secret-name": LintRule("The name of a secret is never empty.", places=_KUBEFLOW),
    "secret-required": LintRule("A step does not wait for ever for a secret that is not there.", "warning", _KUBEFLOW),
    "quantity": LintRule("CPU and memory are Kubernetes quantities.", places=CLUSTERS),
    "accelerator": LintRule("Accelerators bear the platform's names."),
    "pipeline-root": LintRule("Vertex AI Pipelines has a pipeline root, in Cloud Storage.", places=_VERTEX),
    "job-name": LintRule("Vertex AI Pipelines can make a job name of the pipeline's name.", places=_VERTEX),
    "secret-in-clear": LintRule("No secret stands in the YAML."),
    "mutable-tag": LintRule("An image is pinned by a version or a digest.", "warning"),
    "runtime-install": LintRule("Nothing is installed when a step starts.", "warning"),
    "node-too-small": LintRule("A node of the given size can hold every step.", places=_KUBEFLOW),
    "retries": LintRule("Retries do what they promise.", "warning", _KUBEFLOW),
    "workflow-size": LintRule("Argo can store the workflow without compressing it.", "warning", _KUBEFLOW),
}

# Errors of pipelines that would run all the same.
UNSAFE = frozenset({"secret-in-clear"})


@dataclass(frozen=True)
class LintFinding:
    """One thing that is wrong, or may be.

    Attributes:
        rule: its identifier, a key of `RULES`.
        level: as its rule has it, or says otherwise.
        places: likewise.
        sentence: what is there, what is expected, what to do.
        document: which of the file's YAML documents.
        path: keys that lead there.
        line: of the file, from 1.
    """

    rule: str
    level: Level
    places: tuple[Place, ...]
    sentence: str
    document: int = 0
    path: tuple[str | int, ...] = ()
    line: int = 1
