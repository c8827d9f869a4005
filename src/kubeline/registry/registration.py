"""The output of the steps that write to the registry: a version as it is now."""

import json

from kubeline.addresses import redact
from kubeline.artifacts import Artifact, describe, publish
from kubeline.registry.interface import ModelVersion


def write(registration: Artifact, version: ModelVersion, digest: str, page: str) -> None:
    """Write the document, and what of it is metadata.

    Args:
        registration: the output.
        version: the version.
        digest: of its package.
        page: address of the registry's own page about it; empty where there is none.
    """
    document = {
        "name": version.name,
        "version": version.version,
        "uri": version.uri,
        "aliases": list(version.aliases),
        "package_digest": digest,
        "source": redact(version.source),
        "run_id": version.run_id,
        "tags": version.tags,
    }
    with publish(registration.path) as path:
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    kept = ("name", "version", "uri", "aliases", "package_digest")
    describe(registration, {key: document[key] for key in kept} | ({"page": page} if page else {}))
