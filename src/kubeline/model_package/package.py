"""The model package: a folder whose every file is named with its digest in the manifest."""

import hashlib
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import ValidationError

from kubeline.errors import UserError, listed
from kubeline.model_package.manifest import Manifest
from kubeline.model_package.predictor import Predictor
from kubeline.model_package.raw_table import RawTable
from kubeline.model_package.signature import Signature

if TYPE_CHECKING:  # the model server opens packages without pandas
    import pandas as pd

    from kubeline.model_package.training_rows import TrainingRows

MANIFEST = "manifest.json"
ONNX = "model.onnx"
SKLEARN = "model.joblib"
SIGNATURE = "schema.json"
GOLDEN = "golden.parquet"
REFERENCE = "reference.json"
TRAINING_ROWS = "training_rows.parquet"
FILES = (ONNX, SKLEARN, SIGNATURE, GOLDEN, REFERENCE)
OPTIONAL = (TRAINING_ROWS,)  # packages of earlier versions have none

EXPECTED_PREDICTION = "expected.prediction"
EXPECTED_PROBABILITY = "expected.probability."  # followed by the class


def version_of(digest: str) -> str:
    """What a model server, its metrics and its payload log call the package of this digest: its first 12 digits."""
    return digest[:12]


@dataclass(frozen=True)
class ModelPackage:
    """A verified package.

    Every file is verified when the package is opened and again on the very bytes that are then parsed, so that a
    file changed in between is refused too.
    """

    path: Path
    manifest: Manifest
    signature: Signature
    digest: str

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Verify the package at `path`; nothing but the manifest is parsed before every digest is right.

        Raises:
            UserError: names the file that is missing, was changed, or does not belong there.
        """
        folder = Path(path)
        if not (folder / MANIFEST).is_file():
            raise UserError(
                f"there is no model package at '{path}'; expected a folder with {MANIFEST}, as train writes"
            )
        content = (folder / MANIFEST).read_bytes()
        try:
            manifest = Manifest.model_validate_json(content)
        except ValidationError as error:
            raise UserError(f"the manifest of the model package at '{path}' is damaged; train it again") from error
        _verify(folder, manifest)
        try:
            signature = Signature.model_validate_json(_read(folder, manifest, SIGNATURE))
        except ValidationError as error:
            raise UserError(f"{SIGNATURE} of the model package at '{path}' is not valid; train it again") from error
        return cls(folder, manifest, signature, hashlib.sha256(content).hexdigest())

    def golden(self) -> "pd.DataFrame":
        """A few held-out rows: the feature columns as they came, and what ONNX answered.

        The answers stand in ``expected.prediction`` and, for classification, ``expected.probability.<class>``.
        """
        import pandas as pd

        return pd.read_parquet(io.BytesIO(_read(self.path, self.manifest, GOLDEN)))

    def reference(self) -> dict[str, Any]:
        """The distribution of training data and predictions, as :mod:`kubeline.drift.profile` builds it."""
        reference: dict[str, Any] = json.loads(_read(self.path, self.manifest, REFERENCE))
        return reference

    def training_rows(self) -> "TrainingRows | None":
        """Which rows training had; None where the package does not say."""
        if TRAINING_ROWS not in self.manifest.files:
            return None
        from kubeline.model_package.training_rows import TrainingRows

        return TrainingRows.from_bytes(_read(self.path, self.manifest, TRAINING_ROWS))

    def sklearn(self) -> Any:
        """The scikit-learn pipeline; it reads ``signature.encoded_frame(frame)`` and answers class positions."""
        import joblib

        found = joblib.load(io.BytesIO(_read(self.path, self.manifest, SKLEARN)))
        return found.model if isinstance(found, RawTable) else found

    def onnx(self) -> bytes:
        """The ONNX model: one input of shape (rows, 1) for each column, by its name."""
        return _read(self.path, self.manifest, ONNX)

    def predictor(self, threads: int = 0) -> Predictor:
        """The model loaded in ONNX Runtime; `threads` 0 takes one for each core."""
        return Predictor(self.onnx(), self.signature, threads)

    def metadata(self) -> dict[str, Any]:
        """The metadata keys of a model artifact."""
        return {
            "framework": "onnx",
            "estimator": self.manifest.estimator,
            "task": self.signature.task,
            "features": len(self.signature.features),
            "positive_class": self.signature.positive_class or "",
            "package_digest": self.digest,
            "dataset_fingerprint": self.manifest.dataset_fingerprint,
            "score_name": self.manifest.score_name,
            "score": self.manifest.score,
        }


def write_package(folder: Path, files: dict[str, bytes], **facts: Any) -> ModelPackage:
    """Write the files of a package and their manifest into a new `folder`, and verify it.

    Args:
        folder: as :func:`kubeline.artifacts.publish` yields.
        files: the content of each of `FILES`, and of those of `OPTIONAL` that there are.
        facts: the other fields of :class:`Manifest`.
    """
    if set(files) - set(OPTIONAL) != set(FILES):
        raise ValueError(f"a package consists of {listed(FILES)}, not of {listed(files)}")
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    digests = {name: hashlib.sha256(files[name]).hexdigest() for name in (*FILES, *OPTIONAL) if name in files}
    manifest = Manifest(files=digests, **facts)
    # sorted: KFP hands over mappings in a random order, and the digest of these bytes names the package
    text = json.dumps(manifest.model_dump(mode="json"), indent=2, sort_keys=True, ensure_ascii=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
    return ModelPackage.open(folder)


def _verify(folder: Path, manifest: Manifest) -> None:
    present = {str(file.relative_to(folder)) for file in folder.rglob("*") if not file.is_dir()} - {MANIFEST}
    known = {*FILES, *(set(OPTIONAL) & set(manifest.files))}
    missing = sorted((known - present) | (set(FILES) - set(manifest.files)))
    if missing:
        raise UserError(
            f"the model package at '{folder}' lacks {missing[0]}; it is incomplete: train or fetch it again"
        )
    extra = sorted((present | set(manifest.files)) - known)
    if extra:
        raise UserError(
            f"the model package at '{folder}' holds {extra[0]}, which its manifest does not name; remove it"
        )
    for name in sorted(known):
        with (folder / name).open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        _same(folder, name, digest, manifest)


def _read(folder: Path, manifest: Manifest, name: str) -> bytes:
    content = (folder / name).read_bytes()
    _same(folder, name, hashlib.sha256(content).hexdigest(), manifest)
    return content


def _same(folder: Path, name: str, digest: str, manifest: Manifest) -> None:
    if digest != manifest.files[name]:
        raise UserError(
            f"{name} of the model package at '{folder}' was changed after training: its SHA-256 is {digest[:12]}, "
            f"the manifest says {manifest.files[name][:12]}; do not use it, train or fetch it again"
        )
