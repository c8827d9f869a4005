"""Interface of `promote_champion`."""

from kfp import dsl
from kfp.dsl import Artifact, Output

from components.images import image


@dsl.component(base_image=image("steps"), install_kfp_package=False)
def promote_champion(
    registration: Output[Artifact],
    name: str,
    version: str,
    outcome: str = "",
    promote: bool = True,
    tracking_uri: str = "",
) -> None:
    """Make a registered version the champion when it serves.

    The version gets the alias `champion`, in the place of the one that was, and is no longer the `challenger`. When
    its rollout ended otherwise, the champion stays the one that serves. Only a version that `register` filed with both
    blessings is taken; a repetition changes nothing.

    Args:
        name: Registered model.
        version: Number of the version, as `register` gives it.
        outcome: Outcome of its `rollout`: `promoted` and `unchanged` make it the champion. Empty: there was none, and
            it is made the champion.
        promote: False leaves the champion as it is, whatever the outcome.
        tracking_uri: As of `register`.

    Returns:
        registration: As of `register`: JSON with name, version, uri, aliases, package_digest, source, run_id and tags.
    """
    from kubeline.registry import promote_champion as implementation

    implementation.run(
        registration, name=name, version=version, outcome=outcome, promote=promote, tracking_uri=tracking_uri
    )
