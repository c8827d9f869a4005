"""Quantities as Kubernetes writes them."""

import re
from decimal import Decimal

from kubeline.errors import UserError

QUANTITY = re.compile(r"\+?(?:\d+\.?\d*|\.\d+)(?:[numkMGTPE]|[KMGTPE]i|[eE][+-]?\d+)?")


def read_quantity(name: str, text: str, expected: str = "a Kubernetes quantity, such as 500m or 4Gi") -> Decimal:
    """A Kubernetes quantity as a number.

    Raises:
        UserError: when it is none.
    """
    from kubernetes.utils.quantity import parse_quantity

    if not QUANTITY.fullmatch(text):  # the parser takes blanks and words for infinity, too
        raise UserError(f"{name} is '{text}'; expected {expected}")
    return Decimal(parse_quantity(text))
