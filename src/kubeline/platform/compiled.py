"""A compiled pipeline as it is handed to a platform: its documents, and the version that its content is."""

import copy
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kubeline.errors import UserError
from kubeline.yaml_files import documents

Json = dict[str, Any]
_LENGTH = 16  # hexadecimal digits of a version's name: 64 bits


@dataclass(frozen=True)
class Compiled:
    """The documents of a compiled pipeline; the second, where there is one, is its Kubernetes section."""

    documents: tuple[Json, ...]

    @classmethod
    def read(cls, file: Path, caching: bool | None = None) -> "Compiled":
        """A pipeline's file.

        Args:
            file: the YAML.
            caching: whether tasks may take outputs from the cache, for all of them; None: as compiled.

        Raises:
            UserError: when it is no compiled pipeline.
        """
        try:
            found = documents(file, "pipeline file")
            first = found[0]
            first["pipelineInfo"]["name"], first["root"]["dag"]["tasks"]  # that they are there
        except (UserError, LookupError, TypeError) as error:
            raise UserError(f"'{file}' is not a compiled pipeline; `kubeline lint {file}` says why") from error
        if caching is not None:
            found[0] = _with_caching(first, caching)
        return cls(tuple(found))

    @property
    def name(self) -> str:
        """Of the pipeline."""
        return str(self.documents[0]["pipelineInfo"]["name"])

    @property
    def version(self) -> str:
        """What the content is called: equal pipelines are equal versions, however their YAML is written."""
        text = json.dumps(self.documents, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8")).hexdigest()[:_LENGTH]

    def text(self) -> str:
        """The YAML."""
        return yaml.safe_dump_all(self.documents, sort_keys=False, allow_unicode=True, width=10_000)


def graphs(specification: Mapping[str, Any]) -> Iterator[Json]:
    """The root and every component with tasks in it."""
    yield specification["root"]
    yield from (one for one in specification.get("components", {}).values() if "dag" in one)


def _with_caching(specification: Json, caching: bool) -> Json:
    changed = copy.deepcopy(specification)
    for graph in graphs(changed):
        for task in graph["dag"]["tasks"].values():
            task["cachingOptions"] = {"enableCache": True} if caching else {}
    return changed
