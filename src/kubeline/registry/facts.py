"""What a registry stores of a package: parameters, metrics and tags, in the words that every registry takes."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from kubeline.model_package.blessing import Blessing
from kubeline.model_package.package import ModelPackage
from kubeline.model_package.signature import Signature
from kubeline.printable import markdown

_REASONS = 1_000  # characters of a verdict's reasons that are kept as a tag


def description(estimator: str, signature: Signature) -> str:
    """What a version is, as registries show it: as Markdown, in which the name of the target is no more than words."""
    return f"{estimator} for {markdown(signature.target)} ({signature.task})"


def parameters(package: ModelPackage) -> dict[str, str]:
    """The parameters of the training, as text."""
    manifest, signature = package.manifest, package.signature
    params = {**manifest.params, "estimator": manifest.estimator, "seed": manifest.seed, "target": signature.target}
    return as_text(params)


def as_text(params: Mapping[str, Any]) -> dict[str, str]:
    """Parameters as text, under names that every registry takes."""
    return {_key(name): value if isinstance(value, str) else json.dumps(value) for name, value in params.items()}


def with_keys(metrics: Mapping[str, float]) -> dict[str, float]:
    """The finite ones of metrics, under names that every registry takes."""
    return {_key(name): value for name, value in metrics.items() if math.isfinite(value)}


def metrics(package: ModelPackage, blessings: list[Blessing]) -> dict[str, float]:
    """The finite numbers of the manifest (``validation.…``) and of the evidence (``evaluation.…``)."""
    manifest = package.manifest
    found = dict(_numbers(manifest.metrics, "validation"))
    found |= {"parity.max_difference": manifest.parity.max_difference, "score": manifest.score}
    for blessing in blessings:
        found |= dict(_numbers(blessing.evidence, blessing.check))
    return with_keys(found)


def lineage_tags(package: ModelPackage, blessings: list[Blessing], lineage: Mapping[str, str]) -> dict[str, str]:
    """Where the package comes from and what the checks said; what is not known is left out."""
    found = {
        **lineage,
        "dataset_fingerprint": package.manifest.dataset_fingerprint,
        "package_digest": package.digest,
        "task": package.signature.task,
    }
    for blessing in blessings:
        found[blessing.check] = blessing.verdict
        found[f"{blessing.check}.reasons"] = "; ".join(blessing.reasons)[:_REASONS]
    return {key: value for key, value in found.items() if value}


def _numbers(value: Any, name: str) -> Iterator[tuple[str, float]]:
    """The numbers in nested mappings, under the dotted path to each."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _numbers(item, f"{name}.{key}")
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield name, float(value)


def _key(name: str) -> str:
    """A name that every registry takes: other characters become '_'."""
    return re.sub(r"[^A-Za-z0-9_. -]", "_", name)[:250]
