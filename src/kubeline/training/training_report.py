"""The page about one training."""

import math
from collections.abc import Sequence

from markupsafe import Markup

from kubeline.errors import counted
from kubeline.evaluation.metrics import METRICS
from kubeline.model_package.package import ModelPackage
from kubeline.model_package.training_record import TrainingRecord
from kubeline.printable import rounded
from kubeline.reports import Report, facts, figure, table, text, verdict
from kubeline.training.settings import TrainingSettings
from kubeline.training.trained import Trained
from kubeline.training.tuning import Tuning
from kubeline.transform.transform import Transform


def render(
    trained: Trained, package: ModelPackage, candidates: Sequence[TrainingSettings], record: TrainingRecord
) -> Report:
    """Candidates, validation metrics, parity, features, tuning, and what made the model."""
    signature = trained.signature
    page = Report(f"Training of {signature.target}", f"{signature.task}, {trained.name}")
    if len(candidates) > 1:
        page.add("Candidates", *_candidates(candidates, record))
    page.add("Validation", *_validation(trained))
    page.add("Agreement of ONNX and scikit-learn", _parity(trained))
    page.add("Features", *_features(trained))
    if trained.table.transform:
        page.add("Derived columns", *_derived(trained.table.transform))
    if trained.tuning is not None:
        page.add("Tuning", *_tuning(trained.tuning, trained.score_name))
    params = {name: _plain(value) for name, value in trained.params.items() if name != "derive"}
    page.add("Parameters", facts(params))
    page.add("Package", facts(_origin(package)))
    return page


def _candidates(asked: Sequence[TrainingSettings], record: TrainingRecord) -> list[Markup]:
    name = record.score_name
    words = (
        f"The best of {len(asked)} by {name} (greater is better) on the rows that were held out is what this page "
        "is about; the test set was not used."
    )
    pairs = zip(asked, record.candidates, strict=True)
    rows = [
        [
            "taken" if one.chosen else "",
            one.estimator,
            _plain(dict(settings.params)) or "defaults",
            one.score,
            ", ".join(f"{metric} {rounded(value)}" for metric, value in sorted(one.metrics.items())),
            one.parity,
        ]
        for settings, one in sorted(pairs, key=lambda pair: math.inf if pair[1].score is None else -pair[1].score)
    ]
    return [text(words), table(["choice", "estimator", "parameters", name, "metrics", "parity"], rows)]


def _validation(trained: Trained) -> list[Markup]:
    how = "the last rows by time" if trained.table.times is not None else "random rows"
    if trained.table.groups is not None:
        how = "whole groups"
    rest = len(trained.table.y) - trained.rows - len(trained.held)
    words = (
        f"The model learned from {counted(trained.rows, 'row')} and was scored on {len(trained.held):,} it did not see "
        f"({how}). It was not fitted again on these afterwards, so the figures below are of the very model in the "
        "package."
    )
    if rest:
        words += f" {rest:,} further rows calibrated its probabilities."
    signature, positive = trained.signature, trained.signature.positive_class
    named = {
        f"{name} of '{positive}'" if positive is not None and METRICS[signature.task][name].of_class else name: value
        for name, value in trained.metrics.items()
    }
    return [text(words), table(["metric", "value"], sorted(named.items()))]


def _parity(trained: Trained) -> Markup:
    parity = trained.parity
    kind = "probabilities" if trained.signature.classes is not None else "predictions, in deviations of the target,"
    return verdict(
        f"ONNX and scikit-learn agree on all {parity.rows:,} held-out rows",
        "good",
        [f"their {kind} differ by at most {parity.max_difference:.2g}; the tolerance is {parity.tolerance:g}"],
    )


def _features(trained: Trained) -> list[Markup]:
    rows = []
    for feature in trained.signature.features:
        missing = trained.table.missing(feature.name) / max(len(trained.table.y), 1)
        known = f"{len(feature.categories):,} distinguished" if feature.categories is not None else ""
        rows.append([feature.name, feature.kind, known, f"{missing:.1%}"])
    blocks = [table(["column", "kind", "categories", "missing"], rows)]
    return blocks + [text(note[0].upper() + note[1:] + ".") for note in trained.notes]


def _derived(transform: Transform) -> list[Markup]:
    words = "Computed inside the model from the columns above, in training as wherever it predicts."
    rows = [[each.name, each.kind, each.expression] for each in transform.derived]
    only = [f"Read by expressions alone: {', '.join(sorted(transform.only_read))}."] if transform.only_read else []
    return [text(words), table(["column", "kind", "expression"], rows), *map(text, only)]


def _tuning(tuning: Tuning, score_name: str) -> list[Markup]:
    from kubeline.reports.plots import axes

    drawing, axis = axes(width=5.0)
    done = [(number, trial.score) for number, trial in enumerate(tuning.trials) if trial.score is not None]
    best = [max(score for _, score in done[: index + 1]) for index in range(len(done))]
    axis.plot([number for number, _ in done], [score for _, score in done], "o", label="trial")
    axis.step([number for number, _ in done], best, where="post", label="best so far")
    axis.set(xlabel="trial (0: the defaults)", ylabel=f"{score_name}, mean of the folds")
    axis.legend()
    rows = [
        [number, "stopped early" if trial.score is None else trial.score, _plain(trial.params) or "defaults"]
        for number, trial in enumerate(tuning.trials)
    ]
    rows.sort(key=lambda row: row[1] if isinstance(row[1], float) else float("-inf"), reverse=True)
    caption = f"Score of {counted(len(tuning.trials), 'trial')}; {len(tuning.trials) - len(done)} were stopped early."
    return [figure(drawing, caption), table(["trial", score_name, "parameters"], rows[:10], "The ten best trials.")]


def _origin(package: ModelPackage) -> dict[str, object]:
    manifest = package.manifest
    return {
        "package digest": package.digest,
        "dataset fingerprint": manifest.dataset_fingerprint,
        "git revision": manifest.git_revision or "unknown",
        "seed": str(manifest.seed),
        **manifest.versions,
    }


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={_plain(item)}" for name, item in value.items())
    if isinstance(value, list):
        return ", ".join(_plain(item) for item in value)
    return rounded(value) if isinstance(value, float) else str(value)
