"""A fitted scikit-learn pipeline of someone else: is it one for this table, and what does it answer?"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from kubeline.data.dataset import to_frame
from kubeline.errors import UserError, listed
from kubeline.masking import words_of
from kubeline.model_package.agreement import differences
from kubeline.model_package.encoding import labels
from kubeline.model_package.predictor import Predictions
from kubeline.model_package.signature import Feature, Signature
from kubeline.training.categories import frequent
from kubeline.training.encoded import Encoded
from kubeline.training.examine import scale_of
from kubeline.training.fitting import predict
from kubeline.training.table import TrainingTable
from kubeline.training.trained import Exported
from kubeline.typing import Array

CATEGORIES = 254  # that are named in the signature; any other is answered as well
_DISTRIBUTIONS = {"sklearn": "scikit-learn", "xgboost": "xgboost-cpu"}


def imported(
    pipeline: Any, given: TrainingTable, target: str, features: Sequence[str], held: Array, tolerance: float
) -> Exported:
    """The pipeline with its ONNX form, and the table restricted to what it reads.

    Args:
        pipeline: what the file holds.
        given: the table.
        target: what is predicted.
        features: the columns that it reads, in its order; empty takes the names that it was fitted with.
        held: positions of the held-out rows.
        tolerance: the greatest difference that passes.

    Raises:
        UserError: when it is no fitted pipeline of this table, or cannot be exported.
    """
    from kubeline.training.export import to_onnx

    last = pipeline[-1] if hasattr(pipeline, "steps") else pipeline
    needed = "predict" if given.classes is None else "predict_proba"
    if not hasattr(pipeline, needed):
        raise UserError(
            f"the file holds {type(pipeline).__name__}, which has no {needed}; expected a fitted scikit-learn "
            f"{'regressor' if given.classes is None else 'classifier that answers probabilities'} or a Pipeline of one"
        )
    table, signature = _restricted(pipeline, given, target, _names(pipeline, features))
    # first: it says best what is no model of this table
    expected = _answers(pipeline, table, signature, held, tolerance)
    library = type(last).__module__.partition(".")[0]
    return Exported(
        table=table,
        signature=signature,
        name=type(last).__name__,
        library=_DISTRIBUTIONS.get(library, library),
        model=pipeline,
        onnx=to_onnx(pipeline, signature, table.transform, signature.names),
        held=held,
        expected=expected,
    )


def require_features(names: Sequence[str], given: TrainingTable) -> None:
    """Refuse columns that the table has not, or that are none of its features."""
    absent = [one for one in names if one not in given.kinds]
    if absent:
        raise UserError(
            f"the model reads column '{absent[0]}', which is no feature of the tables; they have "
            f"{listed(given.kinds, 40)}"
        )


def in_order(own: Sequence[str], given: TrainingTable) -> Array:
    """Each row's position among the model's classes.

    Raises:
        UserError: when the target has another class, or two where the model has more.
    """
    found = given.classes or []
    strange = [one for one in found if one not in own]
    if strange:
        raise UserError(
            f"the target has the class '{strange[0]}', which the model does not know; it answers {listed(own)}"
        )
    if given.task == "binary" and len(own) != 2:
        raise UserError(f"the target has two classes, but the model answers {listed(own)}; give task multiclass")
    return np.array([own.index(one) for one in found])[given.y]


def _restricted(pipeline: Any, given: TrainingTable, target: str, names: list[str]) -> tuple[TrainingTable, Signature]:
    require_features(names, given)
    columns = {one: _float32(given.encoded.column(one), given.kinds[one]) for one in names}
    kinds = {one: given.kinds[one] for one in names}
    classes, y = _classes(pipeline, given)
    table = replace(given, encoded=Encoded(columns), given=kinds, kinds=kinds, classes=classes, y=y)
    features = [
        Feature(
            name=one,
            kind=kind,
            categories=frequent(pd.Series(columns[one]), CATEGORIES) if kind == "category" else None,
        )
        for one, kind in kinds.items()
    ]
    return table, table.signature(features, target)


def _names(pipeline: Any, features: Sequence[str]) -> list[str]:
    own = getattr(pipeline, "feature_names_in_", None)
    if features:
        expected = getattr(pipeline, "n_features_in_", len(features))
        if expected != len(features):
            raise UserError(f"features names {len(features)} columns, but the model reads {expected}; name all of them")
        return list(features)
    if own is None:
        raise UserError(
            "the model does not know the names of its columns, as it was not fitted on a DataFrame; give them by "
            "features, in its order"
        )
    return [str(name) for name in own]


def _float32(values: Array, kind: str) -> Array:
    return values.astype(np.float32) if kind == "number" else values


def _classes(pipeline: Any, given: TrainingTable) -> tuple[list[str] | None, Array]:
    """The classes in the model's order, and each row's position among them."""
    if given.classes is None:
        return None, given.y
    own = list(labels(pd.Series(np.asarray(pipeline.classes_).tolist(), dtype=object)))
    return own, in_order(own, given)


def _answers(pipeline: Any, given: TrainingTable, signature: Signature, held: Array, tolerance: float) -> Predictions:
    """What the pipeline answers for the held-out rows, as they are served: missing categories are empty text there.

    Raises:
        UserError: when it answers otherwise for the rows as they came.
    """
    served = _predicted(pipeline, signature, given.encoded.rows(held))
    frame = to_frame(given.raw.select(signature.names).take(pa.array(held)))
    by_row = differences(_predicted(pipeline, signature, frame), served, scale_of(given))
    worst = int(by_row.argmax())
    if not by_row[worst] <= tolerance:
        raise UserError(
            f"the pipeline answers otherwise ({by_row[worst]:.3g}) for row {worst} of held_out as it came than as it "
            f"is served: there a missing category is empty text, and numbers and "
            "booleans are float32; let its preprocessing treat both alike, or raise tolerance"
        )
    return served


def _predicted(pipeline: Any, signature: Signature, rows: pd.DataFrame) -> Predictions:
    named = hasattr(pipeline, "feature_names_in_")
    try:
        return predict(pipeline, rows if named else rows.to_numpy(), signature.classes)
    except Exception as error:  # whatever the steps of a stranger's pipeline raise
        reason = " ".join(f"{type(error).__name__}: {words_of(error)}".split())[:300]
        raise UserError(
            f"the pipeline cannot predict the rows of held_out ({reason}); it must read the columns as the table has "
            "them, categories as text and the rest as numbers"
        ) from error
