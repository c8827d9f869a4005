"""A blessed model: a package with right digests (nothing here runs the model) and the two blessings for it."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kubeline.model_package import Feature, ModelPackage, Predictions, Signature
from kubeline.model_package.blessing import BlessedStep, Blessing, Verdict
from kubeline.model_package.golden_rows import to_bytes
from kubeline.model_package.manifest import Parity
from tests.support.artifacts import make_artifact
from tests.support.handmade_packages import write_by_hand

SIGNATURE = Signature(
    features=[Feature(name="distance", kind="number")], target="late", task="binary", classes=["False", "True"]
)


class Blessed(NamedTuple):
    """What `register` and `deploy` take."""

    model: Any
    evaluation: Any
    infra_validation: Any
    package: ModelPackage


def blessed(folder: Path, seed: int = 0, verdict: Verdict = "promote") -> Blessed:
    """Packages of different seeds have different digests."""
    folder = folder / f"blessed-{seed}"
    model = make_artifact(folder, "Model", "model")
    weights = f"weights {seed}".encode()
    package = write_by_hand(
        Path(model.path),
        SIGNATURE,
        weights,
        weights,
        golden=_golden(),
        dataset_fingerprint="f" * 64,
        estimator="hist_gradient_boosting",
        params={"max_iter": 20, "monotonic": {"distance": 1}, "loss": "log_loss"},
        metrics={"auc": 0.79},
        score_name="auc",
        score=0.79,
        held_out="h" * 64,
        parity=Parity(rows=10, max_difference=1e-7, tolerance=1e-5),
        git_revision="0123abc",
        seed=seed,
    )
    model.metadata.update(package.metadata())
    return Blessed(
        model,
        blessing(folder, package, "evaluation", verdict),
        blessing(folder, package, "infra_validation", verdict),
        package,
    )


def _golden() -> bytes:
    answers = Predictions(np.array(["False", "True"], object), np.array([[0.9, 0.1], [0.2, 0.8]]))
    return to_bytes([{"distance": 100.0}, {"distance": None}], answers)


def blessing(folder: Path, package: ModelPackage, check: BlessedStep, verdict: Verdict = "promote") -> Any:
    artifact = make_artifact(folder, "Artifact", check)
    evidence = {"metrics": {"auc": {"value": 0.78, "lower": 0.77, "upper": 0.79}}, "rows": 100, "passed": True}
    Blessing(
        check=check, verdict=verdict, package_digest=package.digest, reasons=["it is good"], evidence=evidence
    ).write(artifact)
    return artifact
