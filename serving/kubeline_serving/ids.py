"""Request ids: the client's own, or a new one."""

import random

_LONGEST = 128


def usable(given: str) -> str:
    """A client's id as far as it can stand in a header and a log; may be empty."""
    return "".join(each for each in given[:_LONGEST] if each.isascii() and each.isprintable())


def new_id() -> str:
    """A unique id; it need not be unguessable."""
    return f"{random.getrandbits(128):032x}"
