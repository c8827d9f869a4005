"""Types that many rooms share."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
"""An array of whatever its docstring says."""

Mask = NDArray[np.bool_]
"""True where something holds."""
