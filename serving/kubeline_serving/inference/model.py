"""A verified model package that answers."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from kubeline.errors import UserError
from kubeline.model_package.explanations import Explainer, Explanation
from kubeline.model_package.package import ModelPackage, digest_at, version_of
from kubeline.model_package.predictor import Predictions, ServingPredictor
from kubeline.model_package.signature import Signature
from kubeline_serving.codec.columns import Encoder
from kubeline_serving.codec.inputs import InputColumns, Inputs
from kubeline_serving.errors import TooLarge
from kubeline_serving.memory import trim_memory

_MOST_PREDICTIONS = 50_000  # for the explanations of one request
_MOST_EXPLAINED = 100  # rows of one


class ServedModel:
    """The model of one package, which is verified before any of it is loaded.

    Args:
        name: of the model in URLs.
        folder: the model package.
        threads: that ONNX Runtime takes for one prediction.
        digest: of the only package that may be served; empty for any.

    Raises:
        UserError: when a file of the package is missing or was changed, it is another package than the blessed one, it
            is of a format that no server reads, or ONNX Runtime cannot run it.
    """

    def __init__(self, name: str, folder: Path, threads: int = 1, digest: str = ""):
        self.name = name
        self.package = verified(folder, digest)
        self.digest = self.package.digest
        self.version = version_of(self.digest)
        self.ready = True
        self._predictor = _load(self.package, threads)
        self._columns = InputColumns(self.package.signature)
        self._explainer: Explainer | None = None
        self._lock = threading.Lock()
        self._folder, self._threads, self._required = folder, threads, digest

    @property
    def signature(self) -> Signature:
        """What the model reads and answers."""
        return self._predictor.signature

    def predict(self, requests: Sequence[Inputs]) -> Predictions:
        """Answer the rows of some requests, one after the other."""
        return self._predictor.predict_blocks(self._columns.tensors(self._columns.joined(requests)))

    def explain(self, inputs: Inputs, go_on: Callable[[], None]) -> tuple[list[str], list[Explanation]]:
        """The names of the columns, and why each row is answered as it is, beside the golden rows of the package.

        Args:
            inputs: the rows.
            go_on: is called every few milliseconds, and may raise.

        Raises:
            TooLarge: when it would take too many predictions.
        """
        explainer = self._explainer = self._explainer or self._make_explainer()
        most = max(1, min(_MOST_EXPLAINED, _MOST_PREDICTIONS // explainer.cost))
        if inputs.rows > most:
            raise TooLarge(
                f"the request has {inputs.rows:,} rows, but of this model at most {most:,} are explained at a time"
            )
        blocks = self._columns.tensors(inputs)
        return explainer.names, [explainer.explain(blocks, place, go_on) for place in range(inputs.rows)]

    def _make_explainer(self) -> Explainer:
        records, _ = self.package.golden_rows()
        if not records:
            raise UserError("the package has no golden rows to explain a prediction beside; train it again")
        columns = [[record[name] for record in records] for name in self.signature.names]
        return Explainer(self._predictor, self._columns.tensors(Encoder(self.signature).encode(columns, len(records))))

    def unload(self) -> None:
        """Answer no more requests until it is loaded again."""
        self.ready = False

    def reload(self) -> None:
        """Verify and load the package anew, and be ready again; on failure, what was loaded stays as it was.

        Raises:
            UserError: as when it was first loaded, and when the folder holds another package by now: metrics, logs and
                blessings speak of the one that was started with.
        """
        with self._lock:
            package = verified(self._folder, self._required or self.digest)
            self._predictor = _load(package, self._threads)
            self._explainer = None
            self.ready = True


def verified(folder: Path, digest: str = "") -> ModelPackage:
    """Open a package, every digest checked, and refuse another one than `digest` names."""
    if digest and (found := digest_at(folder)) != digest:
        raise UserError(
            f"the package at '{folder}' is {version_of(found)}, but {version_of(digest)} was blessed for this "
            "deployment; deploy this package with blessings of its own, or correct the storage URI"
        )
    return ModelPackage.open(folder, digest)


def _load(package: ModelPackage, threads: int) -> ServingPredictor:
    """Load the model and let it answer one row of missing values, so that the first request finds it warm."""
    signature = package.signature
    nothing = Encoder(signature).encode([[None]] * len(signature.features), 1)
    try:
        predictor = package.predictor(threads)
        predictor.predict_blocks(InputColumns(signature).tensors(nothing))
    except UserError:
        raise
    except Exception as error:  # ONNX Runtime's exceptions have no common base
        raise UserError(f"ONNX Runtime cannot run serving.onnx of the package at '{package.path}': {error}") from error
    trim_memory()  # what only loading took
    return predictor
