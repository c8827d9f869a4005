"""Shadow traffic: what users asked the stable model, asked of the candidate, and the answers compared."""

import math
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa

from kubeline.artifacts import finite
from kubeline.errors import KubelineError, PlatformError, UserError
from kubeline.masking import words_of
from kubeline.model_client.golden import GoldenRows
from kubeline.model_client.protocols import Client, RequestFailedError
from kubeline.model_package import ModelPackage, Predictions, Signature
from kubeline.model_package.plain_values import plain_values
from kubeline.rollout.analysis.judge import CheckOutcome, CheckResult, LabelEvidence
from kubeline.rollout.analysis.judge.checks import Check
from kubeline.rollout.analysis.judge.outcomes import label_loss
from kubeline.rollout.probes import smoke
from kubeline.rollout.probes.outcomes import (
    ID,
    ROW,
    TIME,
    VERSION,
    Outcomes,
    answers_of,
    by_request,
    logged_predictions,
)
from kubeline.rollout.probes.requests import requests_of, sampled
from kubeline.rollout.spec import RolloutSpec, ShadowSpec
from kubeline.rollout.status import ShadowResult

_ROWS_PER_REQUEST = 100


def compare(client: Client, package: ModelPackage, spec: RolloutSpec, stable: str) -> ShadowResult:
    """Ask the candidate for logged rows, and compare.

    Args:
        client: of the candidate.
        package: its own.
        spec: which rows, when two answers are the same, and where the labels are.
        stable: version of the stable model in the log, by whose rows the labels compare; empty: all rows.

    Returns:
        How the answers compare, and by labels who was right. No rows are never a pass.

    Raises:
        UserError: when there is no log, or it does not have the columns of this model.
        PlatformError: when it cannot be read.
    """
    shadow = spec.shadow
    log = _rows(package.signature, shadow, labelled=spec.outcomes is not None)
    if not len(log):
        return ShadowResult(passed=False, sentence=f"the payload log '{shadow.payload_log}' has no rows to compare")
    logged = _logged(package, log)
    differences, wrong, answers, refused = [], [], [], 0
    for begin in range(0, len(logged.records), _ROWS_PER_REQUEST):
        part = logged.part(slice(begin, begin + _ROWS_PER_REQUEST))
        try:
            answer = client.read(client.send(client.prepare(part, range(len(part.records)))), part)
        except (RequestFailedError, ValueError, KeyError, TypeError):
            refused += len(part.records)
            continue
        comparison = part.compare(answer)
        differences.append(comparison.differences)
        wrong.append(comparison.wrong_labels | (comparison.differences > shadow.tolerance))
        answers.append((begin, answer))
    rows = len(logged.records)
    alike = int(sum((~part).sum() for part in wrong))
    largest = float(max((part.max() for part in differences), default=np.inf))
    sentence = f"{alike:,} of {rows:,} logged requests are answered alike ({alike / rows:.2%})"
    sentence += f", {refused:,} not at all" if refused else ""
    passed = not refused and alike / rows >= shadow.min_agreement
    needed = "" if passed else f"; at least {shadow.min_agreement:.2%} and no refusal are asked for"
    result = ShadowResult(
        passed=passed,
        sentence=sentence + needed,
        rows=rows,
        alike=alike,
        agreement=alike / rows,
        max_difference=largest if math.isfinite(largest) else None,
        refused=refused,
    )
    if spec.outcomes is None or not passed or spec.rules.max_label_loss is None:
        return result
    return _by_labels(result, _paired(package, spec, log, answers, stable), spec)


def _by_labels(result: ShadowResult, evidence: LabelEvidence, spec: RolloutSpec) -> ShadowResult:
    """The result with the verdict by labels: one look, so that it has all of alpha."""
    check = label_loss(evidence, spec.rules)
    finding: CheckResult = check.decided(spec.rules.alpha) if isinstance(check, Check) else check
    tolerated = finding.outcome is CheckOutcome.NOT_POSSIBLE and finding.name in spec.rules.optional
    undecided = finding.outcome in {CheckOutcome.INCONCLUSIVE, CheckOutcome.NOT_POSSIBLE, CheckOutcome.ERROR}
    return replace(
        result,
        passed=finding.outcome is CheckOutcome.PASS or tolerated,
        sentence=f"{result.sentence}. {finding.sentence}",
        undecided=undecided and not tolerated,
        label_loss=finite(asdict(finding)),
    )


def _paired(
    package: ModelPackage, spec: RolloutSpec, log: pa.Table, answers: list[tuple[int, Predictions]], stable: str
) -> LabelEvidence:
    """Both models on the same labelled requests: the logged answers beside the candidate's."""
    if spec.outcomes is None:
        raise ValueError("the plan names no outcomes")
    outcomes = Outcomes(spec.outcomes, package.signature)
    asked = [np.arange(begin, begin + len(answer.values)) for begin, answer in answers]
    places = np.concatenate(asked) if asked else np.arange(0)
    mine = smoke.joined([answer for _, answer in answers])
    by_stable = np.ones(len(places), bool)
    if stable and VERSION in log.column_names:
        by_stable = log[VERSION].to_numpy()[places] == stable
    log = log.take(places[by_stable])
    requests = requests_of(log[ID])
    asked_of = len(np.unique(requests))
    try:
        with TemporaryDirectory(prefix="kubeline-outcomes-") as scratch:
            known = outcomes.known(log, spec.outcomes.label or package.signature.target, Path(scratch) / "labels")
        theirs = outcomes.losses(logged_predictions(package.signature, log.take(known.rows)), known.values)
        ours = outcomes.losses(mine.part(np.flatnonzero(by_stable)[known.rows]), known.values)
    except KubelineError as error:
        return LabelEvidence(outcomes.metric, problem=f"The outcomes are not known: {error}.")
    of = requests[known.rows]
    return LabelEvidence(
        outcomes.metric,
        by_request(of, ours),
        by_request(of, theirs),
        (asked_of, asked_of),
        known.differing,
        by_request(of, ours - theirs),
    )


def _rows(signature: Signature, spec: ShadowSpec, *, labelled: bool) -> pa.Table:
    """The newest rows at most, each chosen by a hash of its request."""
    import pyarrow.dataset as ds
    from fsspec.core import url_to_fs

    try:
        filesystem, path = url_to_fs(spec.payload_log)
        if not filesystem.exists(path):
            raise UserError(f"there is no payload log at '{spec.payload_log}'; give the server's --payload_log")
        dataset = ds.dataset(path, format="parquet", filesystem=filesystem, exclude_invalid_files=True)
    except (OSError, ValueError, ImportError) as error:
        raise PlatformError(f"cannot read the payload log '{spec.payload_log}' ({words_of(error)})") from error
    columns = [*signature.names, *answers_of(signature), ID, TIME]
    if missing := [name for name in columns if name not in dataset.schema.names]:
        raise UserError(
            f"the payload log '{spec.payload_log}' has no column {', '.join(missing)}; is it of this model?"
        )
    columns += [name for name in (ROW, VERSION) if labelled and name in dataset.schema.names]
    table = dataset.to_table(columns=columns)
    chosen = table.filter(pa.array(sampled(table[ID], spec.share))).sort_by(TIME)
    return chosen.slice(max(0, len(chosen) - spec.rows))


def _logged(package: ModelPackage, log: pa.Table) -> GoldenRows:
    """The logged requests with their logged answers."""
    signature = package.signature
    columns = [plain_values(log[feature.name], feature.kind) for feature in signature.features]
    records = [dict(zip(signature.names, row, strict=True)) for row in zip(*columns, strict=True)]
    return GoldenRows(signature, records, logged_predictions(signature, log), package.manifest.parity.scale)
