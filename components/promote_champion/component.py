"""Interface of `promote_champion`."""

from typing import Any

from kfp import dsl
from kfp.dsl import HTML, Artifact, Input, Output

from components.images import image


@dsl.component(base_image=image("steps"), install_kfp_package=False)
def promote_champion(
    registration: Output[Artifact],
    model_card: Output[HTML],
    name: str,
    version: str,
    decision: Input[Artifact] = None,
    outcome: str = "",
    promote: bool = True,
    tracking_uri: str = "",
    gate: dict[str, Any] = {},
) -> None:
    """Make a registered version the champion when it serves.

    The version gets the alias `champion`, in the place of the one that was, and is no longer the `challenger`. When
    its rollout ended otherwise, the champion stays the one that serves. Only a version that `register` filed with both
    blessings is taken; a repetition changes nothing. Whatever the outcome, the model card of the version gets the
    evidence of its rollout, beside the package too.

    Args:
        name: Registered model.
        version: Number of the version, as `register` gives it.
        decision: Decision of its `rollout`, for the model card. None: there was none, and the card stays as it is.
        outcome: Outcome of its `rollout`: `promoted` and `unchanged` make it the champion. Empty: there was none, and
            it is made the champion.
        promote: False leaves the champion as it is, whatever the outcome.
        tracking_uri: As of `register`.
        gate: The gate of a pipeline, whose promote counts where it has one.

    Returns:
        registration: As of `register`: JSON with name, version, uri, aliases, package_digest, source, run_id and tags.
        model_card: The card, with smoke test, outcome and the judge's verdicts of the rollout.
    """
    from kubeline.options import of_gate
    from kubeline.registry import promote_champion as implementation

    implementation.run(
        registration,
        model_card,
        name=name,
        version=version,
        decision=decision,
        outcome=outcome,
        promote=of_gate(gate, "promote", promote),
        tracking_uri=tracking_uri,
    )
