"""The files of the model package that a training writes."""

import hashlib
import io
import os
import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from kubeline import __version__
from kubeline.data.dataset import to_frame
from kubeline.model_package import formats
from kubeline.model_package.manifest import ManifestRoles
from kubeline.model_package.package import ModelPackage, write_package
from kubeline.model_package.predictor import Predictions
from kubeline.model_package.raw_table import RawTable
from kubeline.model_package.signature import Signature
from kubeline.model_package.training_rows import TrainingRows
from kubeline.roles import Roles
from kubeline.training import estimators
from kubeline.training.deriving import Deriving
from kubeline.training.golden import golden_rows
from kubeline.training.settings import TrainingSettings
from kubeline.training.trained import Trained

if TYPE_CHECKING:
    from kubeline.drift.profile import Profile, ReferenceColumn


def write(folder: Path, trained: Trained, roles: Roles, settings: TrainingSettings, fingerprint: str) -> ModelPackage:
    """Write the package into a new `folder`.

    Args:
        folder: as :func:`kubeline.artifacts.publish` yields.
        trained: what came of the training.
        roles: of the table's columns.
        settings: of the training.
        fingerprint: of the table.
    """
    library = estimators.find(settings.estimator).library
    return write_made(folder, trained, roles, settings.estimator, library, settings.seed, fingerprint)


def write_made(
    folder: Path, trained: Trained, roles: Roles, estimator: str, library: str, seed: int, fingerprint: str
) -> ModelPackage:
    """Write the package of a model that may have been made elsewhere.

    Args:
        folder: as :func:`kubeline.artifacts.publish` yields.
        trained: what is known of the model.
        roles: of the table's columns.
        estimator: what it is called.
        library: the distribution that made it, whose version is noted.
        seed: of its training; 0 where nobody knows.
        fingerprint: of the table.
    """
    content = {
        formats.ONNX: trained.onnx,
        formats.SERVING: trained.serving,
        formats.SIGNATURE: trained.signature.model_dump_json(indent=2).encode(),
        formats.GOLDEN: golden_rows(trained.table, trained.signature, trained.held, trained.predictions),
        formats.REFERENCE: _reference(trained, _manifest_roles(roles)),
        formats.TRAINING_ROWS: _training_rows(trained, roles),
    }
    if trained.model is not None:
        content[formats.SKLEARN] = _sklearn(trained)
    return write_package(
        folder,
        content,
        versions=_versions(library),
        dataset_fingerprint=fingerprint,
        estimator=estimator,
        params=trained.params,
        metrics=trained.metrics,
        score_name=trained.score_name,
        score=trained.score,
        held_out=_held_out(trained),
        parity=trained.parity,
        git_revision=_git_revision(),
        seed=seed,
        roles=_manifest_roles(roles),
    )


def _sklearn(trained: Trained) -> bytes:
    import joblib

    stream = io.BytesIO()
    transform = trained.table.transform
    model = Deriving(trained.model, transform) if transform else trained.model
    joblib.dump(RawTable(model, trained.signature), stream)
    return stream.getvalue()


def _manifest_roles(roles: Roles) -> ManifestRoles:
    return ManifestRoles(
        weight=roles.weight,
        group=roles.group,
        time=roles.time,
        exclude=sorted(set(roles.exclude)),
        personal=sorted(set(roles.personal)),
    )


def _training_rows(trained: Trained, roles: Roles) -> bytes:
    """All rows of the table: those held out have chosen the model, so it is not judged on them either."""
    needed = [*trained.signature.names, roles.target]
    group = roles.group or (roles.split_column if roles.split_by == "group" else "")
    return TrainingRows.of(trained.table.raw, needed, group, trained.table.hashes).to_bytes()


def _held_out(trained: Trained) -> str:
    digest = hashlib.sha256(trained.held.astype("<i8").tobytes())
    if trained.table.weights is not None:
        digest.update(trained.table.weights[trained.held].astype("<f8").tobytes())
    return digest.hexdigest()


def _reference(trained: Trained, roles: ManifestRoles) -> bytes:
    """The profile of all features, and of the predictions for rows the model did not learn from."""
    import json

    from kubeline.drift import profile
    from kubeline.training.expectations import of_held_out

    names = trained.signature.names
    kinds: dict[str, str] = {feature.name: feature.kind for feature in trained.signature.features}
    frame = to_frame(trained.table.raw.select(names))
    predicted = prediction_columns(trained.predictions, trained.signature)
    reference = profile.build(
        frame,
        kinds,
        predicted,
        **of_held_out(trained),
        clusters=_clusters(trained, roles),
        labels=_labels(trained),
    )
    reference["sample"] = _sample(trained, frame, profile.Profile.read(reference), roles.group or roles.time)
    return json.dumps(reference, indent=1, ensure_ascii=False).encode()


def _clusters(trained: Trained, roles: ManifestRoles) -> int | None:
    """How many groups or days the rows are of, where a column says so."""
    from kubeline.evaluation.rows import clusters_of

    column = roles.group or roles.time
    if not column:
        return None
    return clusters_of(to_frame(trained.table.raw.select([column])), roles, asked=True).number


def _sample(trained: Trained, frame: pd.DataFrame, reference: "Profile", together: str) -> dict[str, Any]:
    """Some rows as the bins of their values."""
    from kubeline.drift.coded_rows import CodedRows

    if together and together not in frame:
        frame = frame.assign(**{together: to_frame(trained.table.raw.select([together]))[together]})
    return CodedRows.of(frame, reference.columns, together).sample().kept().model_dump(mode="json")


def _labels(trained: Trained) -> "ReferenceColumn":
    from kubeline.drift.profile import column

    table = trained.table
    if table.classes is None:
        return column(pd.Series(table.y), "number")
    return column(pd.Series(pd.Categorical.from_codes(table.y, table.classes).astype(object)), "category")


def prediction_columns(found: Predictions, signature: Signature) -> pd.DataFrame:
    """Predictions as columns: ``probability.<class>``, or ``prediction`` for a regression."""
    if found.probabilities is None:
        return pd.DataFrame({"prediction": found.values})
    columns = [f"probability.{label}" for label in signature.classes or ()]
    return pd.DataFrame(found.probabilities, columns=columns)


def _versions(library: str) -> dict[str, str]:
    names = {"scikit-learn", "numpy", "pandas", "onnx", "onnxruntime", "skl2onnx", library}
    own = {"python": platform.python_version(), "kubeline": __version__}
    return {**own, **{name: version(name) for name in sorted(names)}}


def _git_revision() -> str:
    """``KUBELINE_GIT_REVISION``, or the commit of the working directory, or empty."""
    given = os.environ.get("KUBELINE_GIT_REVISION")
    git = shutil.which("git")
    if given is not None or git is None:
        return given or ""
    done = subprocess.run([git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip() if done.returncode == 0 else ""
