"""The files of the model package that a training writes."""

import hashlib
import io
import os
import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from kubeline import __version__
from kubeline.model_package import formats
from kubeline.model_package.package import ModelPackage, write_package
from kubeline.model_package.predictor import Predictions, prediction_names
from kubeline.model_package.raw_table import RawTable
from kubeline.model_package.signature import Signature
from kubeline.roles import Roles
from kubeline.training.deriving import Deriving
from kubeline.training.golden import golden_rows
from kubeline.training.table_facts import Background, TableFacts, manifest_roles
from kubeline.training.trained import Trained


def write(
    folder: Path, trained: Trained, roles: Roles, seed: int, fingerprint: str, background: Background
) -> ModelPackage:
    """Write the package into a new `folder`.

    Args:
        folder: as :func:`kubeline.artifacts.publish` yields.
        trained: the model.
        roles: of the table's columns.
        seed: of its training; 0 where nobody knows.
        fingerprint: of the table.
        background: what has found out about it, or does so now.
    """
    facts = background.facts(trained.table, {feature.name: feature.kind for feature in trained.signature.features})
    content = {
        formats.ONNX: trained.onnx,
        formats.SERVING: trained.serving,
        formats.SIGNATURE: trained.signature.model_dump_json(indent=2).encode(),
        formats.GOLDEN: golden_rows(trained.table, trained.signature, trained.held, trained.predictions),
        formats.REFERENCE: _reference(trained, facts),
        formats.TRAINING_ROWS: facts.training_rows,
    }
    if trained.model is not None:
        content[formats.SKLEARN] = _sklearn(trained)
    return write_package(
        folder,
        content,
        versions=_versions(trained.library),
        dataset_fingerprint=fingerprint,
        estimator=trained.name,
        params=trained.params,
        metrics=trained.metrics,
        score_name=trained.score_name,
        score=trained.score,
        held_out=_held_out(trained),
        parity=trained.parity,
        git_revision=_git_revision(),
        seed=seed,
        roles=manifest_roles(roles),
    )


def _sklearn(trained: Trained) -> bytes:
    import joblib

    stream = io.BytesIO()
    transform = trained.table.transform
    model = Deriving(trained.model, transform) if transform else trained.model
    joblib.dump(RawTable(model, trained.signature), stream)
    return stream.getvalue()


def _held_out(trained: Trained) -> str:
    digest = hashlib.sha256(trained.held.astype("<i8").tobytes())
    if trained.table.weights is not None:
        digest.update(trained.table.weights[trained.held].astype("<f8").tobytes())
    return digest.hexdigest()


def _reference(trained: Trained, facts: TableFacts) -> bytes:
    """The profile of all features, and of the predictions for rows the model did not learn from."""
    import json

    from kubeline.drift import profile
    from kubeline.training.expectations import of_held_out

    predicted = prediction_columns(trained.predictions, trained.signature)
    found = profile.Profile(
        rows=len(trained.table.y),
        columns=facts.columns,
        predictions={name: profile.column(predicted[name], "number") for name in predicted},
        clusters=facts.clusters,
        labels=facts.labels,
        **of_held_out(trained),
    )
    reference = {**profile.document(found), "sample": facts.sample}
    return json.dumps(reference, indent=1, ensure_ascii=False).encode()


def prediction_columns(found: Predictions, signature: Signature) -> pd.DataFrame:
    """Predictions as columns: ``probability.<class>``, or ``prediction`` for a regression."""
    if found.probabilities is None:
        return pd.DataFrame({"prediction": found.values})
    return pd.DataFrame(found.probabilities, columns=prediction_names(signature)[1:])


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
