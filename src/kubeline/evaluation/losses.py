"""How wrong single predictions are; needs NumPy alone."""

import numpy as np

from kubeline.typing import Array

# Served probabilities are float32, and so is the nearest to 0 or 1 that they are taken for in a logarithm.
_SMALLEST = float(np.finfo(np.float32).eps)


def log_losses(probabilities: Array, target: Array) -> Array:
    """(n,) minus the logarithm of the probability given to the true class.

    Args:
        probabilities: (n, k) of the classes.
        target: (n,) the true ones, by their position.
    """
    given = probabilities[np.arange(len(target)), target].astype(np.float64)
    losses: Array = -np.log(np.clip(given, _SMALLEST, 1 - _SMALLEST))
    return losses
