"""A lease that runs for longer than any does: the API server's clock was set back while it was held.

Its time says nothing then. As leader election in Kubernetes does, who waits for it watches for as long as a lease lasts
whether it is renewed: a holder that lives renews it when a third of that time is over.
"""

from dataclasses import replace

from kubeline.rollout.clock import Clock
from kubeline.rollout.status import Lease, State
from kubeline.rollout.store import StatusStore, StoredStatus
from kubeline.serving_platform.interface import ServingPlatform

_SLACK_SECONDS = 5.0  # the time of an API server is in whole seconds
_READINGS = 12  # while one lease lasts


def settled(cluster: ServingPlatform, store: StatusStore, found: StoredStatus, clock: Clock) -> StoredStatus:
    """The status, whose lease is over, in the record as well, where it ran too long and was not renewed meanwhile.

    Args:
        cluster: where.
        store: of the status.
        found: as it was read.
        clock: that the wait is measured by.

    Raises:
        ConflictError: when it was renewed at the last moment.
    """
    status, longest = found.status, found.status.spec.lease_seconds
    driven = not status.ended and status.state not in {State.HELD, State.FAILED}
    if not driven or status.lease.expires - clock.now() <= longest + _SLACK_SECONDS:
        return found
    waited_until = clock.now() + longest
    while clock.now() < waited_until and not clock.cancelled.is_set():
        clock.sleep(longest / _READINGS)
        again = cluster.attempt(store.read, "the record of the rollout")
        if again is None or again.status.lease != status.lease:
            return again or found
    over = replace(status, lease=Lease(status.lease.holder, clock.now()))
    over = over.with_event(clock.now(), f"the lease of {status.lease.holder} ran too long, and was not renewed")
    return cluster.attempt(lambda: store.write(over, found.version), "the record of the rollout")
