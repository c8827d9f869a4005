"""A pipeline run as a tree of runs that people compare: each candidate below it, and each trial below its candidate."""

from collections.abc import Iterator, Mapping
from typing import Any

from kubeline.addresses import redact
from kubeline.model_package.blessing import Blessing
from kubeline.model_package.package import ModelPackage
from kubeline.model_package.training_record import Candidate, TrainingRecord
from kubeline.registry import facts
from kubeline.registry.interface import DataInput, RunRecord, parse_reference
from kubeline.registry.opening import open_tracker


def track(
    pipeline_run: str,
    champion: str,
    tracking_uri: str,
    package: ModelPackage,
    record: TrainingRecord | None,
    evaluation: Blessing,
    test: Mapping[str, Any],
) -> None:
    """File the run of a pipeline, also one whose model is held, so that it stands beside the others.

    Args:
        pipeline_run: its name; empty files nothing.
        champion: the reference that the model is compared with; one that is not in a registry files nothing.
        tracking_uri: of the tracker.
        package: the model.
        record: how it was chosen, if that is known.
        evaluation: its verdict.
        test: metadata of the table that it was judged on.

    Raises:
        PlatformError: when the tracker cannot be used.
    """
    if pipeline_run and champion.startswith("models:"):
        name, _, _ = parse_reference(champion)
        open_tracker(tracking_uri).track(name, pipeline_run, tree(pipeline_run, package, record, evaluation, test))


def tree(
    pipeline_run: str,
    package: ModelPackage,
    record: TrainingRecord | None,
    evaluation: Blessing,
    test: Mapping[str, Any],
) -> RunRecord:
    """The run of the pipeline with those below it; see :func:`track`. The package's run is that of its candidate."""
    learned = _input(
        "training", {"fingerprint": package.manifest.dataset_fingerprint, **(record.table if record else {})}
    )
    judged = _input("evaluation", test)
    verdict = facts.lineage_tags(package, [evaluation], {"git_revision": package.manifest.git_revision})
    verdict = {name: value for name, value in verdict.items() if name != "package_digest"}
    chosen = RunRecord(
        name=f"{package.manifest.estimator} (chosen)",
        params=facts.parameters(package),
        metrics=facts.metrics(package, [evaluation]),
        tags={**verdict, "chosen": "true", "package_digest": package.digest},
        inputs=(learned, judged),
    )
    return RunRecord(
        name=pipeline_run,
        params={
            "target": package.signature.target,
            "seed": str(package.manifest.seed),
            "chosen": package.manifest.estimator,
        },
        metrics=chosen.metrics,
        tags={**verdict, "chosen_package": package.digest},
        inputs=(learned, judged),
        children=tuple(_candidates(record, chosen, learned)) if record else (chosen,),
    )


def _candidates(record: TrainingRecord, chosen: RunRecord, learned: DataInput) -> Iterator[RunRecord]:
    for number, candidate in enumerate(record.candidates, start=1):
        name = f"candidate {number}: {candidate.estimator}"
        trials = tuple(_trials(candidate, record.score_name))
        if candidate.chosen:
            yield RunRecord(name, chosen.params, chosen.metrics, chosen.tags, chosen.inputs, trials)
        else:
            shared = {key: chosen.params[key] for key in ("seed", "target")}
            params = {**facts.as_text(candidate.params), "estimator": candidate.estimator, **shared}
            yield RunRecord(name, params, _measured(candidate), {"chosen": "false"}, (learned,), trials)


def _measured(candidate: Candidate) -> dict[str, float]:
    """Under the names that the metrics of the chosen one have."""
    found = {f"validation.{name}": value for name, value in candidate.metrics.items()}
    found |= {"parity.max_difference": candidate.parity}
    return facts.with_keys(found if candidate.score is None else {**found, "score": candidate.score})


def _trials(candidate: Candidate, score_name: str) -> Iterator[RunRecord]:
    for number, trial in enumerate(candidate.trials, start=1):
        scored = {} if trial.score is None else {"score": trial.score}
        tags = {"score_name": score_name, "trial": "whole" if scored else "stopped"}
        yield RunRecord(
            f"trial {number}", {**facts.as_text(trial.params), "estimator": candidate.estimator}, scored, tags
        )


def _input(context: str, table: Mapping[str, Any]) -> DataInput:
    facts = {key: table[key] for key in ("rows", "columns", "bytes", "parent_fingerprint", "split_by") if key in table}
    return DataInput(context, str(table.get("fingerprint", "")), redact(str(table.get("source", ""))), facts)
