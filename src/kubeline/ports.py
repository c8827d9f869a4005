"""Ports of this machine."""

import contextlib
import socket


def free_ports(count: int) -> list[int]:
    """Different ports that are free now, at any address of this machine."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind(("", 0))
        return [probe.getsockname()[1] for probe in sockets]
