"""What two packages differ in: the one that is judged beside the champion."""

from typing import Any

from kubeline.model_package.package import ModelPackage


def changes(before: ModelPackage, now: ModelPackage) -> dict[str, Any]:
    """The features that came and went, and every fact of the training that is another, as [before, now]."""
    old, new = _facts(before), _facts(now)
    return {
        "features_added": sorted(set(now.signature.names) - set(before.signature.names)),
        "features_removed": sorted(set(before.signature.names) - set(now.signature.names)),
        "changed": {
            name: [old.get(name), new.get(name)] for name in sorted({*old, *new}) if old.get(name) != new.get(name)
        },
    }


def _facts(package: ModelPackage) -> dict[str, Any]:
    manifest = package.manifest
    return {
        **{f"params.{name}": value for name, value in manifest.params.items()},
        "dataset_fingerprint": manifest.dataset_fingerprint,
        "estimator": manifest.estimator,
        "git_revision": manifest.git_revision,
        "kubeline": manifest.versions.get("kubeline"),
        "seed": manifest.seed,
    }
