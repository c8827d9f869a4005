"""The model package: a folder whose every file is named with its digest in the manifest."""

import hashlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import ValidationError

from kubeline.artifacts import Artifact
from kubeline.errors import UserError, listed
from kubeline.model_package import files, golden_rows, signing
from kubeline.model_package.formats import (
    FILES,
    FORMAT,
    GOLDEN,
    ONNX,
    OPTIONAL,
    REFERENCE,
    SERVING,
    SIGNATURE,
    SKLEARN,
    TRAINING_ROWS,
    require_known,
)
from kubeline.model_package.manifest import Manifest
from kubeline.model_package.predictor import Predictions, ServingPredictor, check_onnx, check_serving
from kubeline.model_package.raw_table import RawTable
from kubeline.model_package.signature import Signature

if TYPE_CHECKING:  # the model server opens packages without pandas
    import pandas as pd

    from kubeline.model_package.training_rows import TrainingRows

MANIFEST = "manifest.json"

# Bytes that are read at most. ONNX is a protocol buffer, which ends at 2 GiB; the last two are never in memory at once.
MANIFEST_BYTES = 4 * 2**20
_MAX_BYTES: Mapping[str, int] = {
    ONNX: 2 * 2**30,
    SERVING: 2 * 2**30,
    SIGNATURE: 64 * 2**20,
    GOLDEN: 64 * 2**20,
    REFERENCE: 256 * 2**20,
    SKLEARN: 64 * 2**30,
    TRAINING_ROWS: 64 * 2**30,
}
EXPECTED_PREDICTION = "expected.prediction"
EXPECTED_PROBABILITY = "expected.probability."  # followed by the class


def version_of(digest: str) -> str:
    """What a model server, its metrics and its payload log call the package of this digest: its first 12 digits."""
    return digest[:12]


@dataclass(frozen=True)
class ModelPackage:
    """A verified package.

    Every file is verified when the package is opened, and what is loaded later are bytes whose digest was taken from
    these bytes: a file changed in between is refused too.
    """

    path: Path
    manifest: Manifest
    signature: Signature
    digest: str

    @classmethod
    def of(cls, model: Artifact) -> Self:
        """The package of a model artifact: the one that the artifact's metadata names, where it names one.

        Raises:
            UserError: as :meth:`open`.
        """
        return cls.open(model.path, str(model.metadata.get("package_digest", "")), "the metadata of the model artifact")

    @classmethod
    def open(cls, path: str | os.PathLike[str], digest: str = "", named_by: str = "the blessing") -> Self:
        """Verify the package at `path`; nothing but the manifest is parsed before every digest is right.

        Args:
            path: of the folder.
            digest: of the only package that it may be; empty for any.
            named_by: who says so, for the sentence.

        Raises:
            UserError: names the file that is missing, was changed, is no regular file, or does not belong there, or
                a format that is not read; or says that it is another package than `digest` names, or, where
                ``KUBELINE_PUBLIC_KEY`` is set, that no trusted key has signed it, and then not even the manifest was
                parsed.
        """
        folder = Path(path)
        content = _manifest(folder)
        found = hashlib.sha256(content).hexdigest()
        if digest and found != digest:
            raise UserError(
                f"the model package at '{path}' is {version_of(found)}, but {named_by} says {version_of(digest)}; give "
                "the two that belong together"
            )
        signed = signing.require_signed(folder, content) if signing.required() else None
        require_known(content, path)
        try:
            manifest = Manifest.model_validate_json(content)
        except ValidationError as error:
            raise UserError(f"the manifest of the model package at '{path}' is damaged; train it again") from error
        if signed is not None:
            signing.require_same(folder, signed, manifest.files)
        _verify(folder, manifest)
        try:
            signature = Signature.model_validate_json(_read(folder, manifest, SIGNATURE))
        except ValidationError as error:
            raise UserError(f"{SIGNATURE} of the model package at '{path}' is not valid; train it again") from error
        return cls(folder, manifest, signature, found)

    def golden_rows(self) -> tuple[list[dict[str, Any]], Predictions]:
        """A few held-out rows as a client sends them, and what ONNX answered in training."""
        content = _read(self.path, self.manifest, GOLDEN)
        return golden_rows.from_bytes(content, self.signature, f"{GOLDEN} of the model package at '{self.path}'")

    def golden(self) -> "pd.DataFrame":
        """The same as a pandas frame: the features, as values of JSON.

        The answers stand in ``expected.prediction`` and, for classification, ``expected.probability.<class>``.
        """
        import pandas as pd

        records, answers = self.golden_rows()
        columns = {EXPECTED_PREDICTION: answers.values}
        if answers.probabilities is not None:
            names = [f"{EXPECTED_PROBABILITY}{label}" for label in self.signature.classes or ()]
            columns |= dict(zip(names, answers.probabilities.T, strict=True))
        features = pd.DataFrame.from_records(records, columns=self.signature.names)
        return pd.concat([features, pd.DataFrame(columns)], axis=1)

    def reference(self) -> dict[str, Any]:
        """The distribution of training data and predictions, as :mod:`kubeline.drift.profile` builds it."""
        try:
            reference = json.loads(_read(self.path, self.manifest, REFERENCE))
        except (ValueError, RecursionError) as error:
            raise UserError(
                f"{REFERENCE} of the model package at '{self.path}' is damaged ({error}); train it again"
            ) from error
        if not isinstance(reference, dict):
            raise UserError(f"{REFERENCE} of the model package at '{self.path}' is no profile; train it again")
        return reference

    def training_rows(self) -> "TrainingRows":
        """Which rows training had."""
        from kubeline.model_package.training_rows import TrainingRows

        content = _read(self.path, self.manifest, TRAINING_ROWS)
        return TrainingRows.from_bytes(content, f"{TRAINING_ROWS} of the model package at '{self.path}'")

    def sklearn(self) -> Any:
        """The scikit-learn pipeline; it reads ``signature.encoded_frame(frame)`` and answers class positions.

        To load it runs what is in it, as with every pickle, so no step does: call it for a package whose digest you,
        or a blessing, know. Its bytes are those that the manifest names.

        Raises:
            UserError: when the model came as ONNX, and there is none.
        """
        import joblib

        if SKLEARN not in self.manifest.files:
            raise UserError(
                f"the model package at '{self.path}' was imported from ONNX and has no scikit-learn form; call "
                "predictor() for its answers"
            )
        found = joblib.load(io.BytesIO(_read(self.path, self.manifest, SKLEARN)))
        return found.model if isinstance(found, RawTable) else found

    def onnx(self) -> bytes:
        """The portable form, ``model.onnx``: one input of shape (rows, 1) for each column, by its name.

        Raises:
            UserError: when it holds what :func:`kubeline.model_package.onnx_check.check` refuses.
        """
        content = _read(self.path, self.manifest, ONNX)
        check_onnx(content, self.signature)
        return content

    def predictor(self, threads: int = 0) -> ServingPredictor:
        """What a server answers with: ``serving.onnx``, loaded in ONNX Runtime.

        Args:
            threads: for one prediction; 0 takes one for each core.

        Raises:
            UserError: when it holds what :func:`kubeline.model_package.onnx_check.check` refuses.
        """
        content = _read(self.path, self.manifest, SERVING)
        check_serving(content, self.signature)
        return ServingPredictor(content, self.signature, threads)

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


def write_package(folder: Path, contents: dict[str, bytes], **facts: Any) -> ModelPackage:
    """Write the files of a package and their manifest into a new `folder`, sign it where there is a key, and verify it.

    Args:
        folder: as :func:`kubeline.artifacts.publish` yields.
        contents: of each of `FILES`, and of those of `OPTIONAL` that there are.
        facts: the other fields of :class:`Manifest`.
    """
    if set(contents) - set(OPTIONAL) != set(FILES):
        raise ValueError(f"a package consists of {listed(FILES)}, not of {listed(contents)}")
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    names = [name for name in (*FILES, *OPTIONAL) if name in contents]
    digests = {name: hashlib.sha256(contents[name]).hexdigest() for name in names}
    sizes = {name: len(contents[name]) for name in names}
    manifest = Manifest(format=FORMAT, files=digests, sizes=sizes, **facts)
    # sorted: KFP hands over mappings in a random order, and the digest of these bytes names the package
    text = json.dumps(manifest.model_dump(mode="json"), indent=2, sort_keys=True, ensure_ascii=False)
    content = f"{text}\n".encode()
    (folder / MANIFEST).write_bytes(content)
    signing.sign(folder, {**digests, MANIFEST: hashlib.sha256(content).hexdigest()})
    return ModelPackage.open(folder)


def digest_at(path: str | os.PathLike[str]) -> str:
    """The digest of the package at `path`, of which nothing is verified or parsed.

    Raises:
        UserError: when there is none.
    """
    return hashlib.sha256(_manifest(Path(path))).hexdigest()


def _manifest(folder: Path) -> bytes:
    if not os.path.lexists(folder / MANIFEST):
        raise UserError(f"there is no model package at '{folder}'; expected a folder with {MANIFEST}, as train writes")
    return files.read(folder, MANIFEST, MANIFEST_BYTES)


def _verify(folder: Path, manifest: Manifest) -> None:
    known = {*FILES, *(set(OPTIONAL) & set(manifest.files))}
    missing = sorted(name for name in known if name not in manifest.files or not os.path.lexists(folder / name))
    if missing:
        raise UserError(
            f"the model package at '{folder}' lacks {missing[0]}; it is incomplete: train or fetch it again"
        )
    extra = next(iter(sorted(set(manifest.files) - known)), "") or files.unexpected_file(
        folder, {*known, MANIFEST, signing.MODEL_SIGNATURE}
    )
    if extra:
        raise UserError(f"the model package at '{folder}' holds {extra}, which its manifest does not name; remove it")
    for name in sorted(known):
        _same(folder, name, files.digest(folder, name, _MAX_BYTES[name], manifest.sizes.get(name)), manifest)


def _read(folder: Path, manifest: Manifest, name: str) -> bytes:
    content = files.read(folder, name, _MAX_BYTES[name], manifest.sizes.get(name))
    _same(folder, name, hashlib.sha256(content).hexdigest(), manifest)
    return content


def _same(folder: Path, name: str, digest: str, manifest: Manifest) -> None:
    if digest != manifest.files[name]:
        raise UserError(
            f"{name} of the model package at '{folder}' was changed after training: its SHA-256 is {digest[:12]}, "
            f"the manifest says {manifest.files[name][:12]}; do not use it, train or fetch it again"
        )
