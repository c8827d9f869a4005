"""Shadow traffic: what users asked the stable model, asked of the candidate, and the answers compared."""
# ruff: noqa: S608 - names in queries are quoted

import math
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from kubeline.addresses import file_system
from kubeline.artifacts import finite
from kubeline.data.engine import connect, identifier
from kubeline.data.sources import SourceFile, stage
from kubeline.errors import KubelineError, PlatformError, UserError
from kubeline.masking import words_of
from kubeline.model_client.golden import GoldenRows
from kubeline.model_client.protocols import Client, RequestFailedError
from kubeline.model_package import ModelPackage, Predictions
from kubeline.rollout.analysis.judge import CheckOutcome, CheckResult, LabelEvidence
from kubeline.rollout.analysis.judge.checks import Check
from kubeline.rollout.analysis.judge.outcomes import label_loss
from kubeline.rollout.probes import smoke
from kubeline.rollout.probes.outcomes import Known, Outcomes, answers_of, by_request, logged_predictions
from kubeline.rollout.probes.tables import (
    ID,
    ROW,
    TIME,
    VERSION,
    arrays,
    drawn,
    hold,
    keep,
    opened,
    plain_rows,
    whole,
)
from kubeline.rollout.spec import RolloutSpec, ShadowSpec
from kubeline.rollout.status import ShadowResult
from kubeline.typing import Array

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
    logged, log = _logged(package, shadow)
    if not logged.records:
        return ShadowResult(passed=False, sentence=f"the payload log '{shadow.payload_log}' has no rows to compare")
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
    package: ModelPackage,
    spec: RolloutSpec,
    log: dict[str, Array],
    answers: list[tuple[int, Predictions]],
    stable: str,
) -> LabelEvidence:
    """Both models on the same labelled requests: the logged answers beside the candidate's."""
    if spec.outcomes is None:
        raise ValueError("the plan names no outcomes")
    outcomes = Outcomes(spec.outcomes, package.signature)
    asked = [np.arange(begin, begin + len(answer.values)) for begin, answer in answers]
    places = np.concatenate(asked) if asked else np.arange(0)
    mine = smoke.joined([answer for _, answer in answers])
    if stable and VERSION in log:
        by_stable = log[VERSION][places] == stable
        places, mine = places[by_stable], mine.part(by_stable)
    log = {name: values[places] for name, values in log.items()}
    asked_of = len(np.unique(log["request"]))
    try:
        known = _known(outcomes, log, spec.outcomes.label or package.signature.target)
        theirs = outcomes.losses(logged_predictions(package.signature, log).part(known.rows), known.values)
        ours = outcomes.losses(mine.part(known.rows), known.values)
    except KubelineError as error:
        return LabelEvidence(outcomes.metric, problem=f"The outcomes are not known: {error}.")
    of = log["request"][known.rows]
    return LabelEvidence(
        outcomes.metric,
        by_request(of, ours),
        by_request(of, theirs),
        (asked_of, asked_of),
        known.differing,
        by_request(of, ours - theirs),
    )


def _known(outcomes: Outcomes, log: dict[str, Array], label: str) -> Known:
    with TemporaryDirectory(prefix="kubeline-outcomes-") as scratch:
        _, files = outcomes.staged(Path(scratch))
        with closing(connect(Path(scratch), [file.path for file in files])) as connection:
            hold(connection, {name: log[name] for name in (ID, ROW) if name in log})
            return outcomes.known(connection, opened(connection, files, "table of outcomes"), label)


def _logged(package: ModelPackage, spec: ShadowSpec) -> tuple[GoldenRows, dict[str, Array]]:
    """The newest logged requests, each chosen by a hash of its id, with their answers; and the columns of the log."""
    signature = package.signature
    with TemporaryDirectory(prefix="kubeline-shadow-") as folder:
        files = _staged(spec, Path(folder) / "log")
        with closing(connect(Path(folder), [file.path for file in files])) as connection:
            table = opened(connection, whole(connection, files), f"payload log '{spec.payload_log}'")
            table.require([*signature.names, *answers_of(signature), ID, TIME])
            more = [name for name in (ROW, VERSION) if name in table.types]
            columns = [*signature.names, *answers_of(signature), ID, TIME, *more]
            names, time = ", ".join(map(identifier, columns)), identifier(TIME)
            newest = (
                f"SELECT {names} FROM {table.source} WHERE {drawn(spec.share)} ORDER BY {time} DESC LIMIT {spec.rows}"
            )
            keep(connection, newest, f"ORDER BY {time}")
            log = arrays(connection, [ID, *more, *answers_of(signature)])
            records = plain_rows(connection, {feature.name: feature.kind for feature in signature.features})
    return GoldenRows(signature, records, logged_predictions(signature, log), package.manifest.parity.scale), log


def _staged(spec: ShadowSpec, folder: Path) -> list[SourceFile]:
    folder.mkdir()
    try:
        filesystem, path = file_system(spec.payload_log)
        there = filesystem.exists(path)
    except (OSError, ValueError, ImportError) as error:
        raise PlatformError(f"cannot read the payload log '{spec.payload_log}' ({words_of(error)})") from error
    if not there:
        raise UserError(f"there is no payload log at '{spec.payload_log}'; give the server's --payload_log")
    return stage(spec.payload_log, "parquet", folder)
