"""Make a model package of a fitted pipeline that was trained elsewhere."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from kubeline.artifacts import Artifact, describe, publish, step
from kubeline.data.dataset import fingerprint as content_of
from kubeline.data.dataset import open_dataset, to_frame
from kubeline.errors import UserError, listed
from kubeline.model_package import signing
from kubeline.model_package.agreement import differences
from kubeline.model_package.encoding import labels
from kubeline.model_package.package import ModelPackage
from kubeline.model_package.predictor import Predictions
from kubeline.model_package.signature import Feature, Signature
from kubeline.options import require_names
from kubeline.reports import Report, facts, table, text, verdict
from kubeline.roles import Roles
from kubeline.training import model_file, preprocessing
from kubeline.training.examine import examine, scale_of
from kubeline.training.fitting import predict
from kubeline.training.package_files import write_made
from kubeline.training.table import TrainingTable, check
from kubeline.training.trained import Trained

logger = logging.getLogger(__name__)

_CATEGORIES = 254  # that are named in the signature; any other is answered as well
_DISTRIBUTIONS = {"sklearn": "scikit-learn", "xgboost": "xgboost-cpu"}


@step
def run(
    dataset: Artifact,
    held_out: Artifact,
    model: Artifact,
    report: Artifact,
    *,
    source: str,
    target: str,
    sha256: str = "",
    features: Sequence[str] = (),
    task: str = "auto",
    positive_class: str = "",
    metric: str = "",
    tolerance: float = 1e-5,
) -> None:
    """Open, check, compare and write; see the component `import_model`.

    Raises:
        UserError: one sentence about what in the file, the tables or the parameters is wrong; nothing is written then.
        PlatformError: when the storage of the file cannot be used.
    """
    if not tolerance > 0:
        raise UserError(f"tolerance is {tolerance:g}; expected more than 0")
    require_names("features", features)
    signing.check()
    roles = Roles(target)
    raw, seen = _rows(dataset, held_out, roles)  # a wrong table is reported before a file that may be large is read
    content = model_file.read(source, sha256)
    pipeline, notes = model_file.load(source, content)
    given = check(raw, roles, task, positive_class)
    imported = _imported(pipeline, given, features, target)
    trained = _compared(imported, np.arange(seen, raw.num_rows), metric, tolerance, notes)
    fingerprint = str(dataset.metadata.get("fingerprint") or content_of(dataset.path))
    with publish(model.path) as folder:
        package = write_made(folder, trained, roles, imported.name, imported.library, 0, fingerprint)
    _page(trained, package, imported.name, source).write(report.path)
    describe(model, package.metadata())
    logger.info("imported %s as package %s", imported.name, package.digest[:12])


@dataclass(frozen=True)
class _Imported:
    """The pipeline, and the table and the signature as it has them."""

    pipeline: Any
    table: TrainingTable
    signature: Signature
    name: str
    library: str


def _rows(dataset: Artifact, held_out: Artifact, roles: Roles) -> tuple[pa.Table, int]:
    """The rows of both tables, and how many of them are of the first."""
    tables = []
    for one in (dataset, held_out):
        opened = open_dataset(one.path)
        roles.require(opened)
        tables.append(opened.to_table())
    seen, unseen = tables
    if not unseen.num_rows or not seen.num_rows:
        raise UserError(
            f"dataset has {seen.num_rows:,} rows and held_out has {unseen.num_rows:,}; expected some in both"
        )
    for name in seen.schema.names:
        if name not in unseen.schema.names or unseen.schema.field(name).type != seen.schema.field(name).type:
            there = unseen.schema.field(name).type if name in unseen.schema.names else "absent"
            raise UserError(
                f"column '{name}' is {seen.schema.field(name).type} in dataset and {there} in held_out; give two parts "
                "of one table, as split makes them"
            )
    unseen = unseen.select(seen.schema.names).cast(seen.schema)
    return pa.concat_tables([seen, unseen]).replace_schema_metadata(), seen.num_rows


def _imported(pipeline: Any, given: TrainingTable, features: Sequence[str], target: str) -> _Imported:
    """Check that the pipeline is a fitted one for this table, and restrict the table to what it reads."""
    last = pipeline[-1] if hasattr(pipeline, "steps") else pipeline
    name = type(last).__name__
    needed = "predict" if given.classes is None else "predict_proba"
    if not hasattr(pipeline, needed):
        raise UserError(
            f"the file holds {type(pipeline).__name__}, which has no {needed}; expected a fitted scikit-learn "
            f"{'regressor' if given.classes is None else 'classifier that answers probabilities'} or a Pipeline of one"
        )
    names = _names(pipeline, features)
    absent = [one for one in names if one not in given.kinds]
    if absent:
        raise UserError(
            f"the model reads column '{absent[0]}', which is no feature of the tables; they have "
            f"{listed(given.kinds, 40)}"
        )
    encoded = pd.DataFrame({one: _float32(given.encoded[one], given.kinds[one]) for one in names})
    kinds = {one: given.kinds[one] for one in names}
    classes, y = _classes(pipeline, given)
    read = replace(given, encoded=encoded, given=kinds, kinds=kinds, classes=classes, y=y)
    signature = Signature(
        features=[
            Feature(
                name=one,
                kind=kind,
                categories=preprocessing.frequent(encoded[one], _CATEGORIES) if kind == "category" else None,
            )
            for one, kind in kinds.items()
        ],
        target=target,
        task=given.task,
        classes=classes,
        positive_class=given.positive_class,
    )
    library = type(last).__module__.partition(".")[0]
    return _Imported(pipeline, read, signature, name, _DISTRIBUTIONS.get(library, library))


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


def _float32(values: pd.Series, kind: str) -> Any:
    return values.astype(np.float32) if kind == "number" else values


def _classes(pipeline: Any, given: TrainingTable) -> tuple[list[str] | None, Any]:
    """The classes in the model's order, and each row's position among them."""
    if given.classes is None:
        return None, given.y
    own = list(labels(pd.Series(np.asarray(pipeline.classes_).tolist(), dtype=object)))
    strange = [one for one in given.classes if one not in own]
    if strange:
        raise UserError(
            f"the target has the class '{strange[0]}', which the model does not know; it answers {listed(own)}"
        )
    if given.task == "binary" and len(own) != 2:
        raise UserError(f"the target has two classes, but the model answers {listed(own)}; give task multiclass")
    return own, np.array([own.index(one) for one in given.classes])[given.y]


def _compared(imported: _Imported, held: Any, metric: str, tolerance: float, notes: list[str]) -> Trained:
    """Export the pipeline, hold the forms against it on the held-out rows, and measure."""
    from kubeline.training.export import to_onnx

    table, signature = imported.table, imported.signature
    expected = _answers(
        imported, held, scale_of(table), tolerance
    )  # first: it says best what is no model of this table
    return examine(
        table,
        imported.pipeline,
        signature,
        to_onnx(imported.pipeline, signature, table.transform, signature.names),
        expected,
        held,
        metric=metric,
        tolerance=tolerance,
        rows=int(held[0]),
        notes=[*table.notes, *notes],
    )


def _answers(imported: _Imported, held: Any, scale: float, tolerance: float) -> Predictions:
    """What the pipeline answers for the held-out rows, as they are served: missing categories are empty text there.

    Raises:
        UserError: when it answers otherwise for the rows as they came.
    """
    given, names = imported.table, imported.signature.names
    served = _predicted(imported, given.encoded.iloc[held])
    frame = to_frame(given.raw.select(names).take(pa.array(held)))
    by_row = differences(_predicted(imported, frame), served, scale)
    worst = int(by_row.argmax())
    if not by_row[worst] <= tolerance:
        raise UserError(
            f"the pipeline answers otherwise ({by_row[worst]:.3g}) for row {worst} of held_out as it came than as it "
            f"is served, {frame.iloc[worst].to_dict()}: there a missing category is empty text, and numbers and "
            "booleans are float32; let its preprocessing treat both alike, or raise tolerance"
        )
    return served


def _predicted(imported: _Imported, rows: pd.DataFrame) -> Predictions:
    named = hasattr(imported.pipeline, "feature_names_in_")
    try:
        return predict(imported.pipeline, rows if named else rows.to_numpy(), imported.signature.classes)
    except Exception as error:  # whatever the steps of a stranger's pipeline raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise UserError(
            f"the pipeline cannot predict the rows of held_out ({reason}); it must read the columns as the table has "
            "them, categories as text and the rest as numbers"
        ) from error


def _page(trained: Trained, package: ModelPackage, name: str, source: str) -> Report:
    parity = trained.parity
    page = Report(f"Import of {trained.signature.target}", f"{trained.signature.task}, {name}")
    page.add(
        "Agreement of ONNX and scikit-learn",
        verdict(
            f"both forms of ONNX answer as the pipeline on all {parity.rows:,} held-out rows",
            "good",
            [f"they differ by at most {parity.max_difference:.2g}; the tolerance is {parity.tolerance:g}"],
        ),
    )
    page.add(
        "Held-out rows",
        text("Measured on the rows that were given as held out; that the model did not see them is not known here."),
        table(["metric", "value"], sorted(trained.metrics.items())),
    )
    features = [[one.name, one.kind] for one in trained.signature.features]
    notes = [text(note[0].upper() + note[1:] + ".") for note in trained.notes]
    page.add("Features", table(["column", "kind"], features), *notes)
    origin = {"source": source, "package digest": package.digest, **package.manifest.versions}
    page.add("Package", facts(origin))
    return page
