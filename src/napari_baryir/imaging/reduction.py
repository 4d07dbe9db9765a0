"""Reduce a plane to a small picture of all of it, by means over areas, row by row if need be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def area_weights(length: int, size: int) -> NDArray[np.float32]:
    """Return how much each of `length` pixels counts in each of `size` equal areas.

    (size, length) float32; each row sums to 1. A pixel on the border of two areas is shared.
    """
    edges = np.arange(size + 1) * (length / size)
    pixels = np.arange(length)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    weights: NDArray[np.float32] = (np.clip(covered, 0, None) * (size / length)).astype(np.float32)
    return weights


class Reduction:
    """Reduces a plane (`height`, `width`, `colours`) that is read in bands of rows to `size`,
    pixels.
    """

    def __init__(self, height: int, width: int, size: tuple[int, int], colours: int) -> None:
        self._down = area_weights(height, size[0])
        self._right = area_weights(width, size[1])
        self.picture = np.zeros((*size, colours), np.float32)
        """The reduced picture of the rows that have been added so far."""

    def add(self, start: int, rows: NDArray[np.float32]) -> None:
        """Add rows (h, W, C) of the plane, the first of them number `start`."""
        narrow = np.einsum("hwc,jw->hjc", rows, self._right, optimize=True)
        weights = self._down[:, start : start + len(rows)]
        self.picture += np.einsum("ih,hjc->ijc", weights, narrow, optimize=True)


def reduced(plane: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Reduce a whole plane (H, W, C) to `size` by means over areas."""
    height, width, colours = plane.shape
    reduction = Reduction(height, width, size, colours)
    reduction.add(0, plane)
    return reduction.picture
