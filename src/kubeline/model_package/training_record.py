"""How a package came to be the one that was taken: of which table, beside which candidates, after which trials.

It lies in the file of the metrics that ``train`` writes, not in the package, whose digest is that of a model alone.
"""

from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ValidationError

from kubeline import json_files
from kubeline.artifacts import Artifact, publish
from kubeline.errors import UserError


class Trial(BaseModel, frozen=True):
    """One trial of tuning: what was tried, and its mean score over the folds.

    The score is None when it was stopped after some folds, or its processes were lost.
    """

    params: dict[str, Any]
    score: float | None = None


class Candidate(BaseModel, frozen=True):
    """One candidate as it was trained; `params` are settled, with those that tuning found."""

    estimator: str
    params: dict[str, Any]
    metrics: dict[str, float]
    score: float | None = None
    parity: float
    chosen: bool
    trials: list[Trial] = []


class TrainingRecord(BaseModel, frozen=True):
    """The document. `table` is the metadata of the table that was learned from: fingerprint, rows, source and more."""

    package_digest: str
    score_name: str
    table: dict[str, Any]
    candidates: list[Candidate]

    def write(self, artifact: Artifact) -> None:
        """Write as JSON."""
        with publish(artifact.path) as path:
            path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def of(cls, artifact: Artifact | None, package_digest: str) -> Self | None:
        """The record of a package; None where there is none, as of packages that no ``train`` of today made.

        Raises:
            UserError: when the file is no record, or that of another package.
        """
        if artifact is None or not Path(artifact.path).is_file():
            return None
        path = artifact.path
        try:
            found = cls.model_validate_json(json_files.contents_of(path, f"the record of the training '{path}'"))
        except ValidationError as error:
            raise UserError(f"'{path}' is no record of a training; give the metrics that train wrote") from error
        if found.package_digest != package_digest:
            raise UserError(
                f"the record of the training speaks of package {found.package_digest[:12]}, but the model given is "
                f"{package_digest[:12]}; give the metrics that train wrote beside this model"
            )
        return found
