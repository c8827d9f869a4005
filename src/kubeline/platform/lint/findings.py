"""What is found in a pipeline's YAML."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

Level = Literal["error", "warning"]
Place = Literal["kubeflow", "vertex", "here"]

PLACES: tuple[Place, ...] = ("kubeflow", "vertex", "here")
CLUSTERS: tuple[Place, ...] = ("kubeflow", "vertex")
NAMES: Mapping[Place, str] = {"kubeflow": "Kubeflow", "vertex": "Vertex", "here": "here"}


class Rule(NamedTuple):
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
RULES: Mapping[str, Rule] = {
    "unreadable": Rule("The file is YAML that can be read."),
    "not-a-pipeline": Rule("The file is a pipeline compiled by the KFP SDK 2."),
    "unknown-field": Rule("Every field is one of the pipeline specification."),
    "several-documents": Rule("Vertex AI Pipelines takes one YAML document.", places=_VERTEX),
    "missing-definition": Rule(
        "Every task has a component, every component an executor or a graph, every input a source."
    ),
    "artifact-input": Rule("A run can be given parameters only.", places=("kubeflow", "here")),
    "placeholder": Rule("The platform knows every placeholder."),
    "container-component": Rule("A local run executes lightweight Python components.", places=("here",)),
    "importer-beside-producer": Rule("An importer's address comes from outside its own graph.", places=_KUBEFLOW),
    "whole-item": Rule("A loop over a parameter hands on fields of its items.", places=_KUBEFLOW),
    "workspace": Rule("A workspace states its access modes.", "warning", _KUBEFLOW),
    "secret-name": Rule("The name of a secret is never empty.", places=_KUBEFLOW),
    "secret-required": Rule("A step does not wait for ever for a secret that is not there.", "warning", _KUBEFLOW),
    "quantity": Rule("CPU and memory are Kubernetes quantities.", places=CLUSTERS),
    "accelerator": Rule("Accelerators bear the platform's names."),
    "pipeline-root": Rule("Vertex AI Pipelines has a pipeline root, in Cloud Storage.", places=_VERTEX),
    "job-name": Rule("Vertex AI Pipelines can make a job name of the pipeline's name.", places=_VERTEX),
    "secret-in-clear": Rule("No secret stands in the YAML."),
    "mutable-tag": Rule("An image is pinned by a version or a digest.", "warning"),
    "runtime-install": Rule("Nothing is installed when a step starts.", "warning"),
    "node-too-small": Rule("A node of the given size can hold every step.", places=_KUBEFLOW),
    "retries": Rule("Retries do what they promise.", "warning", _KUBEFLOW),
    "workflow-size": Rule("Argo can store the workflow without compressing it.", "warning", _KUBEFLOW),
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
