"""Interface of `take_alarm`."""

from kfp import dsl
from kfp.dsl import Artifact, Output

from components.images import image


@dsl.component(base_image=image("steps"), install_kfp_package=False)
def take_alarm(
    decision: Output[Artifact],
    history: str,
    name: str,
    run: str,
    tracking_uri: str = "",
) -> str:
    """Take the last alarm that `alarm` has raised, so that this run answers it with another model.

    An alarm is answered once: of two runs that meet one takes it, and a later one finds it taken. So a retraining that
    fails is reported, not repeated; where the trouble persists, the next alarm comes after the cool-down. An alarm
    about a model that is no longer the champion, because it was rolled back or replaced meanwhile, is not answered.

    Args:
        history: The folder that ``alarm`` keeps, a path or an address.
        name: The registered model whose champion the windows were compared with.
        run: Who takes it: the name of the run. A step that is run again takes the same alarm again.
        tracking_uri: As of ``register``.

    Returns:
        decision: JSON with the verdict (``due`` or ``quiet``), the reasons and the windows; metadata verdict.
        Output: The end of the window that raised the alarm, as an ISO 8601 time; empty when there is nothing to do.
    """
    from kubeline.drift.alarm import answer

    return answer.run(decision, history=history, name=name, run_name=run, tracking_uri=tracking_uri)
