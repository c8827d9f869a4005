"""Shadow traffic: what users asked the stable model, asked of the candidate, and the answers compared."""

import math

import numpy as np
import pandas as pd

from kubeline.data.dataset import to_frame
from kubeline.errors import PlatformError, UserError
from kubeline.model_client.golden import GoldenRows, json_values
from kubeline.model_client.protocols import Client, RequestFailedError
from kubeline.model_package import ModelPackage, Predictions, Signature
from kubeline.rollout.spec import ShadowSpec
from kubeline.rollout.status import ShadowResult

_ROWS_PER_REQUEST = 100
_ALL = 2**32


def compare(client: Client, package: ModelPackage, spec: ShadowSpec) -> ShadowResult:
    """Ask the candidate for logged rows, and compare.

    Args:
        client: of the candidate.
        package: its own.
        spec: which rows, and when two answers are the same.

    Returns:
        How the answers compare. No rows are never a pass.

    Raises:
        UserError: when there is no log, or it does not have the columns of this model.
        PlatformError: when it cannot be read.
    """
    signature = package.signature
    frame = _rows(signature, spec)
    if frame.empty:
        return ShadowResult(passed=False, sentence=f"the payload log '{spec.payload_log}' has no rows to compare")
    logged = _logged(package, frame)
    differences, wrong, refused = [], [], 0
    for begin in range(0, len(logged.records), _ROWS_PER_REQUEST):
        part = _part(logged, begin, begin + _ROWS_PER_REQUEST)
        try:
            answer = client.read(client.send(client.prepare(part, range(len(part.records)))), part)
        except (RequestFailedError, ValueError, KeyError, TypeError):
            refused += len(part.records)
            continue
        comparison = part.compare(answer)
        differences.append(comparison.differences)
        wrong.append(comparison.wrong_labels | (comparison.differences > spec.tolerance))
    rows = len(logged.records)
    alike = int(sum((~part).sum() for part in wrong))
    largest = float(max((part.max() for part in differences), default=np.inf))
    sentence = f"{alike:,} of {rows:,} logged requests are answered alike ({alike / rows:.2%}), {refused:,} not at all"
    passed = not refused and alike / rows >= spec.min_agreement
    needed = "" if passed else f"; at least {spec.min_agreement:.2%} and no refusal are asked for"
    return ShadowResult(
        passed=passed,
        sentence=sentence + needed,
        rows=rows,
        alike=alike,
        agreement=alike / rows,
        max_difference=largest if math.isfinite(largest) else None,
        refused=refused,
    )


def _rows(signature: Signature, spec: ShadowSpec) -> pd.DataFrame:
    """The newest rows at most, each chosen by a hash of its request."""
    import pyarrow.dataset as ds
    from fsspec.core import url_to_fs

    try:
        filesystem, path = url_to_fs(spec.payload_log)
        if not filesystem.exists(path):
            raise UserError(f"there is no payload log at '{spec.payload_log}'; give the server's --payload_log")
        dataset = ds.dataset(path, format="parquet", filesystem=filesystem, exclude_invalid_files=True)
    except (OSError, ValueError, ImportError) as error:
        raise PlatformError(f"cannot read the payload log '{spec.payload_log}' ({error})") from error
    columns = [*signature.names, *_answers(signature), "request.id", "request.time"]
    if missing := [name for name in columns if name not in dataset.schema.names]:
        raise UserError(
            f"the payload log '{spec.payload_log}' has no column {', '.join(missing)}; is it of this model?"
        )
    frame = to_frame(dataset.to_table(columns=columns))
    chosen = pd.util.hash_array(frame["request.id"].to_numpy(object)) % _ALL < spec.share * _ALL
    return frame[chosen].sort_values("request.time", kind="stable").tail(spec.rows)


def _answers(signature: Signature) -> list[str]:
    return ["output.prediction", *(f"output.probability.{label}" for label in signature.classes or ())]


def _logged(package: ModelPackage, frame: pd.DataFrame) -> GoldenRows:
    """The logged requests with their logged answers."""
    signature = package.signature
    for feature in signature.features:
        if feature.kind == "datetime" and getattr(frame[feature.name].dtype, "tz", None) is not None:
            frame = frame.assign(**{feature.name: frame[feature.name].dt.tz_convert("UTC").dt.tz_localize(None)})
    columns = [json_values(frame[feature.name], feature.kind) for feature in signature.features]
    records = [dict(zip(signature.names, row, strict=True)) for row in zip(*columns, strict=True)]
    probabilities = None
    if signature.classes is not None:
        probabilities = frame[_answers(signature)[1:]].to_numpy(np.float64)
    answers = Predictions(frame["output.prediction"].to_numpy(), probabilities)
    return GoldenRows(signature, records, answers, package.manifest.parity.scale)


def _part(rows: GoldenRows, begin: int, end: int) -> GoldenRows:
    expected = rows.expected
    probabilities = None if expected.probabilities is None else expected.probabilities[begin:end]
    answers = Predictions(expected.values[begin:end], probabilities)
    return GoldenRows(rows.signature, rows.records[begin:end], answers, rows.scale)
