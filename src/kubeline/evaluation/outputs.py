"""The artifacts of `evaluate` except the report, written from an evaluation."""

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from kubeline.addresses import redact
from kubeline.artifacts import Artifact, describe, publish
from kubeline.data.dataset import to_frame, write_dataset
from kubeline.evaluation.bootstrap import Interval
from kubeline.evaluation.calibration import reliability
from kubeline.evaluation.changes import changes
from kubeline.evaluation.classes import confusions
from kubeline.evaluation.curves import roc
from kubeline.evaluation.explained import ExplainedRow
from kubeline.evaluation.fairness.checks import Fairness
from kubeline.evaluation.findings import Contender, Evaluation
from kubeline.evaluation.reliance import Reliance
from kubeline.evaluation.slices import Slice, worst
from kubeline.model_package.blessing import Blessing
from kubeline.model_package.signature import Signature
from kubeline.model_package.training_record import TrainingRecord
from kubeline.typing import Array

_CLASSES_IN_METRICS = 50  # of a confusion matrix in metadata, the last of them the sum of all others
_IMPORTANCES = 100  # of the columns that matter most, in the evidence


def prediction_chunks(evaluation: Evaluation) -> Iterator[pa.RecordBatch]:
    """One row for each test row, in their order, the unlabelled ones included; a chunk of them at a time.

    Columns: ``row`` (position in the test table), ``judged`` (whether the metrics are of it), ``target`` (missing
    where unknown), ``prediction``,
    ``probability.<class>``, and the champion's as ``champion.prediction``, ``champion.probability.<class>``.
    """
    signature = evaluation.model.package.signature
    kind = pa.float64() if signature.classes is None else pa.string()
    start = 0
    for batch in evaluation.test.batches([signature.target]):
        chunk = slice(start, start + batch.num_rows)
        columns = {
            "row": pa.array(np.arange(chunk.start, chunk.stop, dtype=np.int64)),
            "judged": pa.array(evaluation.rows.judged[chunk]),
            "target": pa.array(_truth(to_frame(batch), signature), kind),
            **_answers(evaluation.model, "", kind, chunk),
            **({} if evaluation.champion is None else _answers(evaluation.champion, "champion.", kind, chunk)),
        }
        yield pa.RecordBatch.from_pydict(columns)
        start = chunk.stop


def _truth(frame: pd.DataFrame, signature: Signature) -> Array:
    """(n,) the target, None where it is missing."""
    known = frame[signature.target].notna().to_numpy()
    target = np.full(len(frame), None, dtype=object)
    if known.any():
        target[known] = signature.truth(frame[known])
    return target


def _answers(contender: Contender, prefix: str, kind: pa.DataType, chunk: slice) -> dict[str, pa.Array]:
    answers, classes = contender.predictions, contender.package.signature.classes
    values = answers.values[chunk]
    found = {f"{prefix}prediction": pa.array(values if classes is None else np.array(classes, object)[values], kind)}
    if answers.probabilities is not None:
        probabilities = answers.probabilities[chunk]
        for position, name in enumerate(classes or ()):
            found[f"{prefix}probability.{name}"] = pa.array(probabilities[:, position])
    return found


def write_predictions(artifact: Artifact, evaluation: Evaluation) -> None:
    """Write the prediction table as a dataset."""
    chunks = prediction_chunks(evaluation)
    first = next(chunks)
    source = f"predictions of package {evaluation.model.package.digest[:12]}"
    with publish(artifact.path) as folder:
        write_dataset(artifact, first.schema, chain([first], chunks), folder, source)


def summary(evaluation: Evaluation) -> dict[str, float]:
    """The figures of the evaluation as flat names: ``roc_auc``, ``roc_auc_lower``, ``champion_roc_auc``, …"""
    found: dict[str, float] = {"rows": float(len(evaluation.model.scored))}
    for name, interval in evaluation.metrics.items():
        found |= {f"{name}{end}": value for end, value in _flat(interval).items()}
    for name, comparison in (evaluation.comparisons or {}).items():
        found[f"champion_{name}"] = comparison.other
    for one in evaluation.fairness:
        found |= {f"{one.asked.key}{end}": value for end, value in _flat(one.found).items()}
    found["parity_max_difference"] = evaluation.agreement.trained.max_difference
    return found


def log_metrics(artifact: Artifact, evaluation: Evaluation) -> None:
    """Put the finite figures into the metadata of a `Metrics` artifact, which the UI shows."""
    describe(artifact, summary(evaluation))


def log_classification(artifact: Any, evaluation: Evaluation) -> None:
    """Put the confusion matrix and, for a binary task, the ROC curve into a `ClassificationMetrics` artifact."""
    scored = evaluation.model.scored
    if scored.classes:
        found = confusions(scored, _CLASSES_IN_METRICS)
        artifact.log_confusion_matrix(list(found.names), found.counts.tolist())
    if "roc_auc" in evaluation.metrics:
        fpr, tpr, threshold = (points.tolist() for points in roc(scored))
        artifact.log_roc_curve(fpr, tpr, threshold)


def write_blessing(
    artifact: Artifact, evaluation: Evaluation, test: dict[str, Any], record: TrainingRecord | None = None
) -> None:
    """Write the verdict on this package with the evidence for it.

    Args:
        artifact: of the blessing.
        evaluation: what was found.
        test: metadata of the table.
        record: how the package was chosen, if that is known.
    """
    decision = evaluation.decision
    found = worst(evaluation.slices, evaluation.metric)
    rows = evaluation.rows
    evidence = {
        "metric": evaluation.metric.name,
        "confidence": evaluation.settings.confidence,
        "metrics": {name: vars(value) for name, value in evaluation.metrics.items()},
        "undefined": evaluation.undefined,
        "checks": [vars(check) for check in decision.checks],
        "positive_class": evaluation.model.package.signature.positive_class,
        "rows": {
            "judged": len(evaluation.model.scored),
            "labelled": len(rows.judged) - rows.left_out.get("no label", 0),
            "unlabelled": rows.left_out.get("no label", 0),
            "left_out": rows.left_out,
        },
        "roles": evaluation.roles.model_dump(),
        "assumed": rows.clusters.assumed,
        "clusters": rows.clusters.number,
        "test_fingerprint": test.get("fingerprint"),
        "test_table": _table(test),
        "training": record and _training(record),
        "champion": _champion(evaluation),
        "comparison": {
            name: {
                "model": comparison.model,
                "champion": comparison.other,
                "difference": vars(comparison.difference),
                "p_value": comparison.p_value,
                "method": comparison.method,
            }
            for name, comparison in (evaluation.comparisons or {}).items()
        },
        "slices": [_slice(part) for part in evaluation.slices],
        "fairness": {one.asked.key: _fairness(one) for one in evaluation.fairness},
        "calibration": _calibration(evaluation),
        **_reliance(evaluation.reliance),
        "explained": [_explained(one) for one in evaluation.explained.rows],
        "worst_slice": found and {"slice": found.name, "rows": found.rows, **vars(found.estimate)},
        "parity": evaluation.agreement.trained.model_dump(),
        "golden": {name: value for name, value in vars(evaluation.agreement).items() if name != "trained"},
    }
    Blessing(
        check="evaluation",
        verdict=decision.verdict,
        package_digest=evaluation.model.package.digest,
        reasons=decision.reasons,
        evidence=evidence,
    ).write(artifact)


def _champion(evaluation: Evaluation) -> dict[str, Any] | None:
    champion = evaluation.champion
    if champion is None:
        return None
    return {
        "reference": evaluation.champion_reference,
        "package_digest": champion.package.digest,
        "not_compared": evaluation.rows.unfair,
        "changes": changes(champion.package, evaluation.model.package),
    }


def _table(metadata: Mapping[str, Any]) -> dict[str, Any]:
    known = {key: metadata[key] for key in ("fingerprint", "rows", "columns") if key in metadata}
    return {**known, "source": redact(str(metadata.get("source", "")))}


def _training(record: TrainingRecord) -> dict[str, Any]:
    trials = sum(len(candidate.trials) for candidate in record.candidates)
    return {"table": _table(record.table), "candidates": len(record.candidates), "trials": trials}


def _calibration(evaluation: Evaluation) -> dict[str, Any] | None:
    scored = evaluation.model.scored
    if not scored.classes or not len(scored):
        return None
    found = reliability(scored)
    bins = zip(found.predicted.tolist(), found.observed.tolist(), found.rows.tolist(), strict=True)
    return {"event": found.event, "error": found.error, "bins": [list(each) for each in bins]}


def _slice(part: Slice) -> dict[str, Any]:
    if part.undefined:
        return {"slice": part.name, "rows": part.rows, "undefined": part.undefined}
    return {
        "slice": part.name,
        "rows": part.rows,
        **vars(part.estimate),
        "weak": part.weak,
        "champion": part.champion,
        "gain": part.gain and vars(part.gain),
        "regression": part.regression,
    }


def _flat(interval: Interval | None) -> dict[str, float]:
    """The value and the ends of an interval that are known, by what follows its name."""
    ends = {} if interval is None else {"": interval.value, "_lower": interval.lower, "_upper": interval.upper}
    return {end: value for end, value in ends.items() if value is not None}


def _fairness(one: Fairness) -> dict[str, Any]:
    asked = one.asked
    return {
        "metric": asked.metric,
        "column": asked.column,
        "class": asked.asked.label,
        "allowed": None if asked.limit is None else f"{'at least' if asked.is_ratio else 'at most'} {asked.limit:g}",
        "outcome": None if asked.limit is None else one.outcome,
        "sentence": one.sentence,
        **(vars(one.found) if one.found else {}),
        "groups": [
            {
                "group": group.value,
                "rows": group.rows,
                "rates": {name: vars(rate) for name, rate in group.rates.items()},
            }
            for group in one.groups
        ],
    }


def _reliance(found: Reliance) -> dict[str, Any]:
    return {
        "importances": [
            {"feature": one.features[0], **{name: value for name, value in vars(one).items() if name != "features"}}
            for one in found.alone[:_IMPORTANCES]
        ],
        "importances_together": [vars(one) for one in found.together],
        "dependence": [vars(one) for one in found.curves or ()],
    }


def _explained(one: ExplainedRow) -> dict[str, Any]:
    """Without the row's values, which are no one's business who only wants to know the model."""
    named = [{"column": each.column, "by": each.by, "error": each.error} for each in one.contributions]
    return {**vars(one), "contributions": named}
