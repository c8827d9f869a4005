"""Pick the best of several trained packages by the score in their manifests."""

import math
import shutil
from collections.abc import Sequence

from kubeline.artifacts import Artifact, describe, publish, step
from kubeline.errors import UserError, counted
from kubeline.model_package.package import ModelPackage
from kubeline.printable import markdown, rounded


@step
def run(models: Sequence[Artifact], model: Artifact, report: Artifact) -> None:
    """Copy the package with the best score to `model` and write a Markdown table of all; see the component `select`.

    Raises:
        UserError: when there is no candidate, one is damaged, or two cannot be compared.
    """
    if not models:
        raise UserError("there is no candidate to select from; give the models of at least one train step")
    candidates = [ModelPackage.of(candidate) for candidate in models]
    for candidate in candidates[1:]:
        _require_comparable(candidates[0], candidate)
    best = max(candidates, key=lambda candidate: candidate.manifest.score)  # the first of equals
    with publish(model.path) as folder:
        shutil.copytree(best.path, folder)
        copied = ModelPackage.open(folder, best.digest)
    with publish(report.path) as path:
        path.write_text(table(candidates, best), encoding="utf-8")
    describe(model, copied.metadata())


def table(candidates: Sequence[ModelPackage], best: ModelPackage) -> str:
    """The candidates as a Markdown table, best first."""
    name = markdown(best.manifest.score_name)
    lines = [
        f"# {markdown(best.manifest.estimator)} is the best of {counted(len(candidates), 'candidate')} for "
        f"{markdown(best.signature.target)}",
        "",
        f"Compared by {name} (greater is better) on the rows that training held out; the test set was not used.",
        "",
        f"| | estimator | {name} | other metrics | parity | package |",
        "|---|---|---:|---|---:|---|",
    ]
    for candidate in sorted(candidates, key=lambda candidate: -candidate.manifest.score):
        manifest = candidate.manifest
        metrics = ", ".join(
            f"{markdown(metric)} {rounded(value)}" for metric, value in sorted(manifest.metrics.items())
        )
        chosen = "**chosen**" if candidate is best else ""
        lines.append(
            f"| {chosen} | {markdown(manifest.estimator)} | {rounded(manifest.score, 5)} | {metrics} | "
            f"{manifest.parity.max_difference:.2g} | `{candidate.digest[:12]}` |"
        )
    return "\n".join(lines) + "\n"


def _require_comparable(one: ModelPackage, other: ModelPackage) -> None:
    facts = {
        "task": (one.signature.task, other.signature.task),
        "target": (one.signature.target, other.signature.target),
        "classes": (one.signature.classes, other.signature.classes),
        "score": (one.manifest.score_name, other.manifest.score_name),
        "dataset": (one.manifest.dataset_fingerprint[:12], other.manifest.dataset_fingerprint[:12]),
        "set of held-out rows": (one.manifest.held_out[:12], other.manifest.held_out[:12]),
    }
    for name, (here, there) in facts.items():
        if here != there:
            raise UserError(
                f"the candidates cannot be compared: the {name} of '{one.path}' is {here}, of '{other.path}' {there}; "
                f"train all candidates on the same table and target with the same way of holding out rows"
            )
    if not (math.isfinite(one.manifest.score) and math.isfinite(other.manifest.score)):
        raise UserError("the candidates cannot be compared: a score is not a finite number; train them again")
