"""Make a model package of a model that was trained elsewhere: a fitted scikit-learn pipeline, or an ONNX file."""

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from kubeline.artifacts import Artifact, describe, publish, step
from kubeline.data.dataset import fingerprint as content_of
from kubeline.data.dataset import open_dataset
from kubeline.errors import UserError
from kubeline.model_package import signing
from kubeline.model_package.package import ModelPackage
from kubeline.options import require_names
from kubeline.reports import Report, facts, table, text, verdict
from kubeline.roles import Roles
from kubeline.training import import_sklearn, model_file
from kubeline.training.examine import examine
from kubeline.training.package_files import write
from kubeline.training.table import check
from kubeline.training.table_facts import Background
from kubeline.training.trained import Trained

logger = logging.getLogger(__name__)


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
    classes: Sequence[str] = (),
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
    if len(set(classes)) != len(classes) or not all(isinstance(one, str) for one in classes):
        raise UserError(f"classes is {list(classes)}; expected texts, each once")
    if classes and not model_file.is_onnx(source):
        raise UserError("classes belongs to an ONNX file; a scikit-learn pipeline knows its own: leave it empty")
    signing.check()
    roles = Roles(target)
    raw, seen = _rows(dataset, held_out, roles)  # a wrong table is reported before a file that may be large is read
    content = model_file.read(source, sha256)
    held = np.arange(seen, raw.num_rows)
    notes: list[str] = []
    if model_file.is_onnx(source):
        from kubeline.training import import_onnx

        given = check(raw, roles, task, positive_class)
        imported = import_onnx.imported(source, content, given, target, features, classes, held, tolerance)
    else:
        pipeline, notes = model_file.load(source, content)
        given = check(raw, roles, task, positive_class)
        imported = import_sklearn.imported(pipeline, given, target, features, held, tolerance)
    imported = replace(imported, notes=[*imported.table.notes, *notes, *imported.notes])
    trained = examine(imported, metric=metric, tolerance=tolerance, rows=seen)
    fingerprint = str(dataset.metadata.get("fingerprint") or content_of(dataset.path))
    with Background(roles) as background, publish(model.path) as folder:
        package = write(folder, trained, roles, 0, fingerprint, background)
    _page(trained, package, source).write(report.path)
    describe(model, package.metadata())
    logger.info("imported %s as package %s", trained.name, package.digest[:12])


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


def _page(trained: Trained, package: ModelPackage, source: str) -> Report:
    parity, reference = trained.parity, trained.reference
    page = Report(f"Import of {trained.signature.target}", f"{trained.signature.task}, {trained.name}")
    page.add(
        f"Agreement of ONNX and {reference}",
        verdict(
            f"both forms of ONNX answer as {reference} on all {parity.rows:,} held-out rows",
            "good",
            [f"they differ by at most {parity.max_difference:.2g}; the tolerance is {parity.tolerance:g}"],
        ),
        *([text(trained.unchecked)] if trained.unchecked else []),
    )
    page.add(
        "Held-out rows",
        text("Measured on the rows that were given as held out; that the model did not see them is not known here."),
        table(["metric", "value"], sorted(trained.metrics.items())),
    )
    features = [[one.name, one.kind] for one in trained.signature.features]
    notes = [text(note[0].upper() + note[1:] + ".") for note in trained.notes]
    page.add("Features", table(["column", "kind"], features), *notes)
    origin = {
        "source": source,
        **{key: str(value) for key, value in trained.params.items()},
        "package digest": package.digest,
        **package.manifest.versions,
    }
    page.add("Package", facts(origin))
    return page
