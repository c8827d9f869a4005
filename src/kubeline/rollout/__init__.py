"""What brings a blessed model to KServe."""

from typing import TYPE_CHECKING

from kubeline.lazy import attribute_of

if TYPE_CHECKING:
    from kubeline.rollout.rollout_report import page_of
    from kubeline.rollout.spec import RolloutSpec
    from kubeline.rollout.status import RolloutStatus, State, TimelineEvent
    from kubeline.rollout.step import roll_out
    from kubeline.rollout.store import StatusStore

__all__ = ["RolloutSpec", "RolloutStatus", "State", "StatusStore", "TimelineEvent", "page_of", "roll_out"]

if not TYPE_CHECKING:
    __getattr__ = attribute_of(
        __name__,
        {
            **dict.fromkeys(("TimelineEvent", "RolloutStatus", "State"), "status"),
            "RolloutSpec": "spec",
            "StatusStore": "store",
            "page_of": "rollout_report",
            "roll_out": "step",
        },
    )
