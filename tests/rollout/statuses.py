"""What a record says of a rollout."""

from kubeline.rollout.status import RolloutStatus


def states(record: RolloutStatus) -> list[str]:
    seen = [event.state.value for event in record.timeline]
    return [state for number, state in enumerate(seen) if number == 0 or seen[number - 1] != state]


def shares(record: RolloutStatus) -> list[int]:
    seen = [event.share for event in record.timeline if event.share is not None]
    return [share for number, share in enumerate(seen) if number == 0 or seen[number - 1] != share]


class Killed(BaseException):
    """Stands for the end of the process."""
