"""What `kubeline lint` finds in a component or pipeline."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kubeline.platform.lint import LintOptions, check
from kubeline.platform.lint.findings import UNSAFE, Place

_OF_PIPELINES = ("artifact-input", "pipeline-root", "job-name")  # rules that say nothing about a component


def lint_findings(thing: Any, targets: Sequence[Place] = ("kubeflow",)) -> list[str]:
    """What is wrong, or may be, with the compiled YAML: a sentence for each, with its rule in brackets; empty is good.

    A component is checked as if it were run alone, but for what only a pipeline can say (artifacts as its inputs).

    Args:
        thing: a component or pipeline of the KFP SDK, or the path of compiled YAML.
        targets: the platforms that it must run on.
    """
    if isinstance(thing, str | Path):
        return list(_found(Path(thing), targets, ()))
    from kubeline.compiling import compiled_text

    is_pipeline = thing.component_spec.implementation.graph is not None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "compiled.yaml"
        file.write_text(compiled_text(thing), encoding="utf-8")
        return list(_found(file, targets, () if is_pipeline else _OF_PIPELINES))


def _found(file: Path, targets: Sequence[Place], ignored: Sequence[str]) -> Iterator[str]:
    for one in check(file, LintOptions(targets=targets)).findings:
        if one.rule not in ignored and (one.rule in UNSAFE or {*targets} & {*one.places}):
            yield f"[{one.rule}] {one.sentence}"
