"""Interface of `alarm`."""

from typing import Any

from kfp import dsl
from kfp.dsl import Artifact, Input, Output

from components.images import image


@dsl.component(base_image=image("steps"), install_kfp_package=False)
def alarm(
    result: Input[Artifact],
    decision: Output[Artifact],
    history: str,
    needed: int = 2,
    of: int = 3,
    cool_down: str = "7d",
    signals: list[str] = ["drift", "performance"],
    options: dict[str, Any] = {},
) -> str:
    """Decide whether what windows showed persists and calls for another model.

    One window may go wrong by chance, or by a day off. The alarm is raised when at least `needed` of the last `of`
    windows were wrong and the latest is one of them, unless one was raised within the cool-down before. Windows that
    were compared with another model do not count: after a retraining the count begins anew.

    Each run leaves what its window showed in a folder, as one file for each window and model, so that a run that is
    repeated changes nothing and decides the same. Alarms are numbered, and each number can be taken once, on a disk as
    in S3, Google Cloud Storage and Azure: of two runs that meet, one raises it, and the other one is cooling down.

    Args:
        result: The `result` of ``drift_check`` for a window that was loaded with `at` and `length`.
        history: The folder that all runs reach: a path or an address (s3://, gs://, abfs://). One for each schedule.
        needed: How many windows must have been wrong. 1 or more.
        of: Of how many, the latest included. Windows further back than so many lengths do not count.
        cool_down: How long after an alarm no other one is raised, in the time of the windows: `24h`, `7d`, `1mo`.
        signals: What makes a window wrong: `drift` when it has drifted, `performance` when the model does surely worse
            on its labels, or by its estimate, than in validation.
        options: Any of the inputs by name, over them: for a pipeline that has them as one parameter.

    Returns:
        decision: JSON with the verdict, the reasons and the windows that were judged; metadata verdict, window.
        Output: ``quiet``, ``watch`` (wrong, but not often enough), ``alarm``, ``cooling_down``, or ``unknown`` (too few
            rows to decide).
    """
    given = {**locals()}

    from kubeline.drift.alarm import step
    from kubeline.options import inputs_of

    return step.run(**inputs_of(given))
