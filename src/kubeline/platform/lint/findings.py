"""What is found in a pipeline's YAML."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning"]
Place = Literal["kubeflow", "vertex", "here"]

PLACES: tuple[Place, ...] = ("kubeflow", "vertex", "here")
CLUSTERS: tuple[Place, ...] = ("kubeflow", "vertex")
NAMES: Mapping[Place, str] = {"kubeflow": "Kubeflow", "vertex": "Vertex", "here": "here"}

# What each rule is about, for readers of SARIF.
RULES: Mapping[str, str] = {
    "unreadable": "The file is YAML that can be read.",
    "not-a-pipeline": "The file is a pipeline compiled by the KFP SDK 2.",
    "unknown-field": "Every field is one of the pipeline specification.",
    "several-documents": "Vertex AI Pipelines takes one YAML document.",
    "missing-definition": "Every task has a component, every component an executor or a graph, every input a source.",
    "artifact-input": "A run can be given parameters only.",
    "placeholder": "The platform knows every placeholder.",
    "container-component": "A local run executes lightweight Python components.",
    "importer-beside-producer": "An importer's address comes from outside its own graph.",
    "whole-item": "A loop over a parameter hands on fields of its items.",
    "workspace": "A workspace states its access modes.",
    "secret-name": "The name of a secret is never empty.",
    "secret-required": "A step does not wait for ever for a secret that is not there.",
    "quantity": "CPU and memory are Kubernetes quantities.",
    "accelerator": "Accelerators bear the platform's names.",
    "pipeline-root": "Vertex AI Pipelines has a pipeline root, in Cloud Storage.",
    "job-name": "Vertex AI Pipelines can make a job name of the pipeline's name.",
    "secret-in-clear": "No secret stands in the YAML.",
    "mutable-tag": "An image is pinned by a version or a digest.",
    "runtime-install": "Nothing is installed when a step starts.",
    "node-too-small": "A node of the given size can hold every step.",
    "retries": "Retries do what they promise.",
    "workflow-size": "Argo can store the workflow without compressing it.",
}

# Errors of pipelines that would run all the same.
UNSAFE = frozenset({"secret-in-clear"})


@dataclass(frozen=True)
class LintFinding:
    """One thing that is wrong, or may be.

    Attributes:
        rule: its identifier, a key of `RULES`.
        level: ``error`` where the pipeline will not run or must not, ``warning`` where it may not do what is expected.
        places: the platforms it is about.
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
