"""What all protocols of one worker share: limits, the budget of memory, and whether it is about to stop."""

from dataclasses import dataclass, field

from kubeline_serving.budget import Budget
from kubeline_serving.connections import Connections
from kubeline_serving.limits import RequestLimits


@dataclass
class ServerState:
    """The state of one worker.

    Attributes:
        limits: of one request.
        draining: whether the worker is about to stop.
        budget: the memory of all requests together.
        connections: of HTTP.
    """

    limits: RequestLimits = field(default_factory=RequestLimits)
    draining: bool = False
    budget: Budget = field(init=False)
    connections: Connections = field(init=False)

    def __post_init__(self) -> None:
        self.budget = Budget(self.limits.buffered_bytes)
        self.connections = Connections(self.limits.connections)
