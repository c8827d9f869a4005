"""What every model registry offers, and the words they share: names, versions, aliases, references."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from kubeline.errors import UserError, listed

CHALLENGER = "challenger"
CHAMPION = "champion"

# What all registries accept: no slash, colon or at sign (they delimit a reference), no quote (they delimit a query).
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_ALIAS = re.compile(r"(?!v?\d+$)(?!latest$)[a-z][a-z0-9_-]{0,62}")
_REFERENCE = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>[1-9]\d*))")


@dataclass(frozen=True)
class Submission:
    """A model package on its way into a registry.

    Attributes:
        name: registered model.
        package: folder of the model package.
        digest: digest of the package; a package is registered once, however often it is submitted.
        params: parameters of the training.
        metrics: metric name to value; finite numbers.
        tags: lineage and verdicts, as text.
        description: one line for people.
        experiment: where the run is filed; empty for the name of the model.
        documents: texts that lie beside the package, by file name; those that are there already stay.
    """

    name: str
    package: Path
    digest: str
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    description: str = ""
    experiment: str = ""
    documents: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DataInput:
    """A table that a run had.

    Attributes:
        context: what for, such as ``training`` or ``evaluation``.
        fingerprint: of its content.
        source: where it came from, without credentials.
        facts: such as its number of rows.
    """

    context: str
    fingerprint: str
    source: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunRecord:
    """A run that is over, and the runs below it, whose names differ from each other.

    Attributes:
        name: of the run.
        params: parameter name to text.
        metrics: metric name to value; finite numbers.
        tags: name to text.
        inputs: tables.
        children: runs that were part of it.
    """

    name: str
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    inputs: tuple[DataInput, ...] = ()
    children: tuple["RunRecord", ...] = ()

    def parts(self, between: str, above: str = "") -> Iterator[tuple[str, str, "RunRecord"]]:
        """Each run of the tree from the top: its path, that of the run it was part of, and itself.

        Args:
            between: what stands between the names of a path.
            above: the path of the run that this one was part of; empty for the top.
        """
        part = f"{above}{between}{self.name}" if above else self.name
        yield part, above, self
        for child in self.children:
            yield from child.parts(between, part)


@dataclass(frozen=True)
class ModelVersion:
    """One version of a registered model.

    Attributes:
        name: registered model.
        version: number of the version, as text.
        source: URI of the model package.
        run_id: run that logged the package; empty when there is none.
        aliases: aliases that point to this version.
        tags: lineage and verdicts.
    """

    name: str
    version: str
    source: str
    run_id: str = ""
    aliases: tuple[str, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        """Reference to this version that never moves: ``models:/NAME/VERSION``."""
        return f"models:/{self.name}/{self.version}"


def package_digest(version: ModelVersion) -> str:
    """The digest of the package that a version is.

    Raises:
        UserError: when it is none: another tool registered a model of its own under this name.
    """
    digest = version.tags.get("package_digest", "")
    if not digest:
        raise UserError(
            f"{version.uri} is no model package: something other than Kubeline registered it; give the model another "
            f"name, or take the aliases ({listed(version.aliases) or 'none'}) from that version"
        )
    return digest


class Tracker(Protocol):
    """Where runs are filed for people to compare. Every method raises PlatformError when it cannot be used."""

    @property
    def place(self) -> str:
        """Where it is, for messages: without credentials."""
        ...

    def track(self, name: str, pipeline_run: str, tree: RunRecord) -> str:
        """File a run of a pipeline for this model, with the runs below it; return the run's id.

        Repeated for the same run of the pipeline it completes what is there. The run of a package (by the tag
        ``package_digest``) is the one that :meth:`register` adds the package to.
        """
        ...

    def observe(self, name: str, digest: str, moment: datetime, figures: Mapping[str, float]) -> None:
        """File what a window that ended at `moment` showed of a package: a step of the one run for all its windows.

        Repeated with the same figures it changes nothing.
        """
        ...


class Registry(Tracker, Protocol):
    """A model registry, with a tracker of its own. Every method raises PlatformError when it cannot be used."""

    def probe(self, name: str) -> None:
        """Reach the registry and write what a first version of this model needs before it; harmless when repeated."""
        ...

    def register(self, submission: Submission) -> ModelVersion:
        """Return the version of this package, made when there is none; the same package gives the same version."""
        ...

    def find(self, name: str, *, alias: str = "", version: str = "", digest: str = "") -> ModelVersion | None:
        """Return the version that an alias points to, of a number, or of a package; None when there is none."""
        ...

    def point(self, alias: str, to: ModelVersion) -> ModelVersion:
        """Point an alias to a version, away from the one that had it; return the version as it is now."""
        ...

    def promote(self, version: ModelVersion) -> ModelVersion:
        """Make a version the champion; from then on it is no longer the challenger."""
        ...

    def read_document(self, version: ModelVersion, name: str) -> str:
        """The text that lies beside the package under this file name; empty where there is none."""
        ...

    def write_documents(self, version: ModelVersion, documents: dict[str, str]) -> None:
        """Put texts beside the package by file name, in the place of those that are there."""
        ...

    def page(self, version: ModelVersion) -> str:
        """Address of the registry's own page about a version, without credentials; empty where it has none."""
        ...

    def download(self, version: ModelVersion, into: Path) -> Path:
        """Return a local folder with the model package: in `into`, or its own place when that is local."""
        ...


def check_name(name: str) -> str:
    """Return the name of a registered model, or raise UserError when no registry would take it."""
    if not _NAME.fullmatch(name):
        raise UserError(
            f"'{name}' cannot name a registered model; use letters, digits, '.', '_' and '-', at most 128, "
            "and begin with a letter or a digit"
        )
    return name


def check_alias(alias: str) -> str:
    """Return the alias, or raise UserError when no registry would take it."""
    if not _ALIAS.fullmatch(alias):
        raise UserError(
            f"'{alias}' cannot be an alias; use lower-case letters, digits, '_' and '-', begin with a letter, "
            "and take neither 'latest' nor the look of a version such as 'v3'"
        )
    return alias


def parse_reference(reference: str) -> tuple[str, str, str]:
    """Split ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION`` into (name, alias, version), one of the latter empty.

    Raises:
        UserError: when it is neither.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise UserError(f"'{reference}' is no reference to a model; write models:/NAME@ALIAS or models:/NAME/VERSION")
    return check_name(match["name"]), match["alias"] or "", match["version"] or ""
