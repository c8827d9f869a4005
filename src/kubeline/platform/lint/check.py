"""Checks a file by every rule, and says where it will run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubeline.platform.lint import behaviour, containers, shape
from kubeline.platform.lint.findings import CLUSTERS, PLACES, UNSAFE, LintFinding, Place
from kubeline.platform.lint.pipeline import Pipeline
from kubeline.platform.lint.source import Source


@dataclass(frozen=True)
class LintOptions:
    """What else is known of the run.

    Attributes:
        values: parameters, over their defaults.
        node: the size of a node, by resource; empty: nodes are not checked.
        targets: the platforms that the pipeline must run on; empty: one of the clusters is enough.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    node: Mapping[str, str] = field(default_factory=dict)
    targets: Sequence[Place] = ()


@dataclass(frozen=True)
class LintResult:
    """What was found in a file."""

    file: Path
    findings: Sequence[LintFinding]
    targets: Sequence[Place] = ()

    def runs_on(self, place: Place) -> bool:
        """Whether nothing that was found prevents it from running there."""
        return not any(place in finding.places for finding in self._errors if finding.rule not in UNSAFE)

    @property
    def shown(self) -> list[LintFinding]:
        """The findings without warnings that are only about platforms on which it need not run."""
        wanted = {*(self.targets or PLACES)}
        return [one for one in self.findings if one.level == "error" or wanted & {*one.places}]

    @property
    def passed(self) -> bool:
        """Whether it will run where it must, and may: no secret stands in it."""
        if any(finding.rule in UNSAFE for finding in self._errors):
            return False
        runs = [self.runs_on(place) for place in self.targets or CLUSTERS]
        return all(runs) if self.targets else any(runs)

    @property
    def _errors(self) -> list[LintFinding]:
        return [finding for finding in self.findings if finding.level == "error"]


def check(file: Path, options: LintOptions) -> LintResult:
    """Check one file.

    Raises:
        UserError: when it cannot be read.
    """
    return LintResult(file, tuple(_findings(Source.read(file), options)), options.targets)


def _findings(source: Source, options: LintOptions) -> list[LintFinding]:
    wrong = shape.not_a_pipeline(source)
    if wrong is not None:
        return [wrong]
    pipeline = Pipeline(source)
    values = options.values
    found = [
        *shape.several_documents(pipeline),
        *shape.missing_definitions(pipeline),
        *shape.artifact_inputs(pipeline),
        *shape.job_name(pipeline),
        *shape.pipeline_root(pipeline),
        *containers.mutable_tags(pipeline),
        *containers.runtime_installs(pipeline),
        *containers.secrets_in_clear(pipeline),
        *containers.quantities(pipeline, values),
        *containers.nodes_too_small(pipeline, values, options.node),
        *containers.accelerators(pipeline),
        *behaviour.placeholders(pipeline),
        *behaviour.container_components(pipeline),
        *behaviour.importers(pipeline),
        *behaviour.whole_items(pipeline),
        *behaviour.workspaces(pipeline),
        *behaviour.kubernetes_secrets(pipeline, values),
        *behaviour.retries(pipeline),
    ]
    if not any(finding.rule == "missing-definition" for finding in found):  # else there is nothing to reckon with
        found += behaviour.workflow_size(pipeline, values)
    unique = list(dict.fromkeys(found))
    return sorted(unique, key=lambda finding: (finding.level != "error", finding.document, finding.line))
