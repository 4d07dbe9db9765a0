"""Find the value of pixels that hold nothing: padding, missing tiles of a mosaic, GDAL's no data.

They are not dark places. Taken for these, they would make a camera's offset look like light that is
out of focus, and the network would take it away.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

BELOW, ABOVE = (0.005, 0.02), (0.05, 1.0)
"""Least share of the values that are the very same, and least distance from the others, of their
range. Fewer below are dead pixels; above, saturated pixels are common."""
MOST_SHARE = 0.7
"""Largest share: more are a background."""
STEPS = 8
"""Least distance in steps between other values: photons that are counted are 0, 1, 2."""
LOOKED_AT = 2**17
"""Values that are looked at."""


def no_data_value(values: NDArray[Any]) -> float | None:
    """Return the value that stands for no data among finite values, (N,), real; None without one.

    It is the least or the greatest value, many have it, and none comes close to it.
    """
    some = values[:: max(1, values.size // LOOKED_AT)].astype(np.float64)
    if some.size == 0:
        return None
    for value, (least, gap) in ((some.min(), BELOW), (some.max(), ABOVE)):
        rest = np.abs(some[some != value] - value)
        share = 1 - rest.size / some.size
        if least <= share <= MOST_SHARE and _is_far(rest, gap):
            return float(value)
    return None


def _is_far(distances: NDArray[np.float64], gap: float) -> bool:
    """Return whether all but a few distances are large beside their range and their steps."""
    near, far = np.percentile(distances, (0.1, 99.9))
    steps = np.unique(distances[distances >= near])[:STEPS]
    step = (steps[-1] - steps[0]) / max(1, len(steps) - 1)
    return bool(near < far and near >= gap * (far - near) and near > STEPS * step)
