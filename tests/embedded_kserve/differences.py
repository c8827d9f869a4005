"""What the embedded KServe shows otherwise than the recorded one, each with its name in docs/embedded-kserve.md."""

from dataclasses import dataclass
from typing import Any, Literal

from tests.embedded_kserve.shown import Facet


@dataclass(frozen=True)
class Difference:
    """One difference.

    Attributes:
        name: as docs/embedded-kserve.md has it.
        only: who shows it.
        kinds: of the objects; empty for all.
        aspects: of them; empty for all.
        values: text of which one is in the value; empty for all values.
        chance: whether it is there in some plays only.
    """

    name: str
    only: Literal["recorded", "embedded"]
    kinds: tuple[str, ...] = ()
    aspects: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    chance: bool = False

    def explains(self, facet: Facet, value: Any, only: str) -> bool:
        """Whether this is it."""
        reported = str(value)
        return (
            self.only == only
            and (not self.kinds or facet.kind in self.kinds)
            and (not self.aspects or facet.aspect in self.aspects)
            and (not self.values or any(text in reported for text in self.values))
        )


_SEEN_BY_KSERVE = (
    "PredictorReady",
    "PredictorConfigurationReady",
    "PredictorRouteReady",
    "RoutesReady",
    "Ready",
    "LatestDeploymentReady",
)

DIFFERENCES = (
    Difference("No nodes", "recorded", values=("Unschedulable", "RevisionFailed")),
    Difference("No nodes", "recorded", ("InferenceService",), ("LatestDeploymentReady",), ("'False'",)),
    Difference("No conflicts between controllers", "recorded", ("InferenceService",), values=("ReconcileFailed",)),
    Difference("No ServerlessServices", "recorded", ("Revision",), ("Active",), ("NotReady",)),
    Difference("A metrics server", "recorded", ("HorizontalPodAutoscaler",), ("ScalingActive",)),
    Difference("A metrics server", "embedded", ("Deployment",), ("replicas",)),
    Difference(
        "Moments that are seen by chance", "recorded", ("InferenceService",), _SEEN_BY_KSERVE, ("Unknown",), chance=True
    ),
    Difference(
        "Moments that are seen by chance", "embedded", ("InferenceService",), _SEEN_BY_KSERVE, ("Unknown",), chance=True
    ),
    Difference(
        "Moments that are seen by chance", "recorded", ("InferenceService",), ("model",), ("InProgress",), chance=True
    ),
    Difference(
        "Time to zero",
        "recorded",
        ("Revision", "Deployment"),
        ("Active", "replicas"),
        ("NoTraffic", "(0,)"),
        chance=True,
    ),
)


def named(facet: Facet, value: Any, only: str) -> Difference | None:
    """The difference that this is; None when it has no name."""
    return next((one for one in DIFFERENCES if one.explains(facet, value, only)), None)
