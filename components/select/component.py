"""Interface of `select`."""

from typing import List  # noqa: UP035  KFP reads the generic alias of typing

from kfp import dsl
from kfp.dsl import Input, Markdown, Model, Output

from components.images import image


@dsl.component(base_image=image("steps"), install_kfp_package=False)
def select(models: Input[List[Model]], model: Output[Model], report: Output[Markdown]) -> None:  # noqa: UP006
    """Pick the best of several candidate models.

    Candidates are compared by the score in their manifests, on the rows that training held out; the test set is not
    used. Every package is verified, and all must be of the same table, target, task, held-out rows and seed. The
    best one is copied whole, so its digest stays what it was; the first of equals is taken.

    Args:
        models: Model packages, as ``train`` writes them, from a loop or a list.

    Returns:
        model: The package with the best score; metadata as of ``train``.
        report: Table of all candidates with their scores, best first.
    """
    from kubeline.training import select as implementation

    implementation.run(models, model, report)
