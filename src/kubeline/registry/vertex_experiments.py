"""Vertex Experiments as the tracker: contexts of Vertex ML Metadata, in the form that Google's own library gives them.

An experiment holds runs side by side; each names the one that it was part of. Identifiers follow from the names, so
that what is repeated is found there and left as it is.
"""

import hashlib
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from kubeline.http.json_api import JsonApi
from kubeline.http.operations import finished
from kubeline.http.requests import MissingError, TakenError
from kubeline.registry.interface import RunRecord

_SECONDS = 300.0  # for the store of metadata, which a project makes once
_VERSION = "0.0.1"  # of the schemas
_MOST = 128  # characters of a name


class VertexExperiments:
    """The experiments of a project and region.

    Args:
        api: of the services of Vertex AI.
        parent: full name of the project and region.
    """

    def __init__(self, api: JsonApi, parent: str) -> None:
        self._api = api
        self._parent = parent
        self._store = f"{parent}/metadataStores/default"

    def track(self, model: str, group: str, tree: RunRecord) -> str:
        """File a run with those below it in the experiment of a model, and return the run's id.

        Args:
            model: registered model.
            group: what the names in `tree` belong to, such as the pipeline run.
            tree: runs; one that is there already stays as it is.

        Raises:
            UserError: when this account may not.
            PlatformError: when the service cannot be used.
        """
        self._make_store()
        experiment = model.replace("_", "-")
        self._make(experiment, "system.Experiment", model, {"experiment_deleted": False})
        made = [self._make_run(experiment, group, part, above, record) for part, above, record in tree.parts(" / ")]
        names = [f"{self._store}/contexts/{identifier}" for identifier in made]
        for start in range(0, len(names), 100):
            path = f"/v1/{self._store}/contexts/{experiment}:addContextChildren"
            self._api.write("POST", path, {"childContexts": names[start : start + 100]})
        return made[0]

    def _make_run(self, experiment: str, group: str, part: str, above: str, record: RunRecord) -> str:
        digest = hashlib.sha256(f"{group}\n{part}".encode()).hexdigest()[:16]
        tables = {f"{one.context}_table": one.fingerprint for one in record.inputs}
        known = {"part_of": above, "pipeline_run": group, **tables, **record.tags, **record.params}
        metadata = {
            "_params": {name: text for name, text in known.items() if text},
            "_metrics": dict(record.metrics),
            "_state": "COMPLETE",
        }
        identifier = f"{experiment[: _MOST - 17]}-{digest}"
        self._make(identifier, "system.ExperimentRun", part, metadata)
        return identifier

    def _make(self, identifier: str, schema: str, name: str, metadata: Mapping[str, Any]) -> None:
        context = {
            "displayName": re.sub(r"\s+", " ", name)[-_MOST:],
            "schemaTitle": schema,
            "schemaVersion": _VERSION,
            "metadata": metadata,
        }
        with suppress(TakenError):
            self._api.write("POST", f"/v1/{self._store}/contexts?contextId={identifier}", context)

    def _make_store(self) -> None:
        with suppress(MissingError):
            self._api.read(f"/v1/{self._store}")
            return
        with suppress(TakenError):  # by another, just now
            operation = self._api.write("POST", f"/v1/{self._parent}/metadataStores?metadataStoreId=default", {})
            finished(self._api, operation, f"the store of metadata of {self._parent}", _SECONDS)
