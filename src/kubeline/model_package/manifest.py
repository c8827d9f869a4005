"""``manifest.json``: the digest of every file of a package, and what made it."""

from typing import Annotated, Any

from pydantic import BaseModel, Field, SerializerFunctionWrapHandler, model_serializer

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Parity(BaseModel, frozen=True, extra="forbid"):
    """How far scikit-learn and ONNX are apart on the held-out rows.

    `max_difference` is of probabilities, or for regression of predictions divided by `scale`, the standard deviation of
    the target in the rows of the training: whoever compares answers of this model divides by it.
    """

    rows: int
    max_difference: float
    tolerance: float
    scale: float = 1.0


class ManifestRoles(BaseModel, frozen=True, extra="forbid"):
    """What the columns that are no features are for; an empty name is no column. The target is in ``schema.json``.

    `personal` are columns, features or not, that hold personal data, whose values no page shows. Where there are none
    it is not written, as before there was the field.
    """

    weight: str = ""
    group: str = ""
    time: str = ""
    exclude: list[str] = []
    personal: list[str] = []

    @model_serializer(mode="wrap")
    def _written(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in plain(self).items() if value or name != "personal"}


class Manifest(BaseModel, frozen=True, extra="forbid"):
    """What is in a model package and where it comes from.

    It holds no time: the same input and seed give the same bytes, and their SHA-256 names the package.
    `metrics` and `score` are of the rows that training held out; a greater `score` is better. `held_out` is the digest
    of these rows' positions and weights: scores compare only where it is the same. `roles` are known to every later
    step. `sizes` are the bytes of each file, so that a file of another size is not even read. `format` is that of
    the package, see :mod:`kubeline.model_package.formats`.
    """

    format: int
    files: dict[str, Digest]
    sizes: dict[str, Annotated[int, Field(ge=0)]] = {}
    versions: dict[str, str]
    dataset_fingerprint: str
    estimator: str
    params: dict[str, Any]
    metrics: dict[str, float]
    score_name: str
    score: float
    held_out: str
    parity: Parity
    git_revision: str
    seed: int
    roles: ManifestRoles = ManifestRoles()
